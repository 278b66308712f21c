// Written by scripts/programs.mjs from semaphore/semaphore.lua. Do not edit.
import type { Script } from "../core/store.js";

export const semaphoreScript: Script = {
  text:
    "local key, verb = KEYS[1], ARGV[1]\n" +
    "local never = 4503599627370496\n" +
    "local tolerance = 1000000\n" +
    "local memory = 60000000\n" +
    "local function text(number)\n" +
    "return string.format(\"%.0f\", number)\n" +
    "end\n" +
    "local time = redis.call(\"TIME\")\n" +
    "local now = time[1] * 1000000 + time[2]\n" +
    "if verb == \"inspect\" then\n" +
    "local all = redis.call(\"HGETALL\", key)\n" +
    "local permits, held, waiting = 0, 0, 0\n" +
    "for at = 1, #all, 2 do\n" +
    "local kind = string.sub(all[at], 1, 2)\n" +
    "if all[at] == \"state\" then\n" +
    "permits = tonumber(string.match(all[at + 1], \"^%d+ %d+ (%d+)\"))\n" +
    "elseif kind == \"h:\" or kind == \"w:\" then\n" +
    "local moment, count = string.match(all[at + 1], \"^(%d+) (%d+)\")\n" +
    "if tonumber(moment) > now then\n" +
    "if kind == \"h:\" then\n" +
    "held = held + tonumber(count)\n" +
    "else\n" +
    "waiting = waiting + 1\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "return { now, permits, held, waiting }\n" +
    "end\n" +
    "local seen, token, permits, held, waiting, head, tail, soonest, kept = 0, 0, 0, 0, 0, 1, 0, never, 0\n" +
    "local state = redis.call(\"HGET\", key, \"state\")\n" +
    "if state then\n" +
    "local row = {}\n" +
    "for number in string.gmatch(state, \"%d+\") do\n" +
    "row[#row + 1] = tonumber(number)\n" +
    "end\n" +
    "seen, token, permits, held, waiting, head, tail, soonest, kept = unpack(row)\n" +
    "end\n" +
    "local function leave(id, place)\n" +
    "redis.call(\"HDEL\", key, \"w:\" .. id, \"p:\" .. place)\n" +
    "waiting = waiting - 1\n" +
    "end\n" +
    "local function grant(id, count, expiry)\n" +
    "token = math.max(token + 1, now)\n" +
    "held = held + count\n" +
    "soonest = math.min(soonest, expiry)\n" +
    "redis.call(\"HSET\", key, \"h:\" .. id, text(expiry) .. \" \" .. text(count) .. \" \" .. text(token))\n" +
    "end\n" +
    "local function extend(id, entry, lease)\n" +
    "local count, first = string.match(entry, \"^%d+ (%d+) (%d+)$\")\n" +
    "local expiry = now + lease\n" +
    "redis.call(\"HSET\", key, \"h:\" .. id, text(expiry) .. \" \" .. count .. \" \" .. first)\n" +
    "return tonumber(first), expiry\n" +
    "end\n" +
    "local function sweep(back)\n" +
    "local all = redis.call(\"HGETALL\", key)\n" +
    "held, waiting, soonest = 0, 0, never\n" +
    "for at = 1, #all, 2 do\n" +
    "local field = all[at]\n" +
    "local kind = string.sub(field, 1, 2)\n" +
    "if kind == \"h:\" or kind == \"w:\" then\n" +
    "local moment, count, third, rest = string.match(all[at + 1], \"^(%d+) (%d+) (%d+)(.*)$\")\n" +
    "moment = tonumber(moment) - back\n" +
    "if moment <= now then\n" +
    "redis.call(\"HDEL\", key, field)\n" +
    "if kind == \"w:\" then\n" +
    "redis.call(\"HDEL\", key, \"p:\" .. third)\n" +
    "end\n" +
    "else\n" +
    "soonest = math.min(soonest, moment)\n" +
    "if kind == \"h:\" then\n" +
    "held = held + tonumber(count)\n" +
    "else\n" +
    "waiting = waiting + 1\n" +
    "end\n" +
    "if back > 0 then\n" +
    "redis.call(\"HSET\", key, field, text(moment) .. \" \" .. count .. \" \" .. third .. rest)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "local news = {}\n" +
    "local function tell(channel, id, first, expiry)\n" +
    "local moment = expiry > 0 and now or 0\n" +
    "local message = id .. \" \" .. text(first) .. \" \" .. text(moment) .. \" \" .. text(expiry)\n" +
    "news[channel] = news[channel] and news[channel] .. \";\" .. message or message\n" +
    "end\n" +
    "local function serve()\n" +
    "while waiting > 0 and held < permits do\n" +
    "local place = text(head)\n" +
    "local id = redis.call(\"HGET\", key, \"p:\" .. place)\n" +
    "if id then\n" +
    "local deadline, size, _, lease, channel =\n" +
    "string.match(redis.call(\"HGET\", key, \"w:\" .. id), \"^(%d+) (%d+) (%d+) (%d+) (.*)$\")\n" +
    "local count = tonumber(size)\n" +
    "if count > permits then\n" +
    "leave(id, place)\n" +
    "tell(channel, id, 0, 0)\n" +
    "elseif held + count > permits then\n" +
    "return\n" +
    "else\n" +
    "leave(id, place)\n" +
    "local expiry = math.min(now + tonumber(lease), tonumber(deadline))\n" +
    "grant(id, count, expiry)\n" +
    "tell(channel, id, token, expiry)\n" +
    "end\n" +
    "elseif head > tail then\n" +
    "waiting = 0\n" +
    "return\n" +
    "end\n" +
    "head = head + 1\n" +
    "end\n" +
    "end\n" +
    "local function finish(lasting)\n" +
    "if seen == 0 and verb ~= \"take\" then\n" +
    "return\n" +
    "end\n" +
    "serve()\n" +
    "local short = now + lasting + memory > kept\n" +
    "if short then\n" +
    "kept = now + 2 * (lasting + memory)\n" +
    "end\n" +
    "local form = \"%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f\"\n" +
    "state = string.format(form, now, token, permits, held, waiting, head, tail, soonest, kept)\n" +
    "redis.call(\"HSET\", key, \"state\", state)\n" +
    "if short then\n" +
    "redis.call(\"PEXPIREAT\", key, text(math.ceil(kept / 1000)))\n" +
    "end\n" +
    "for channel, message in pairs(news) do\n" +
    "redis.pcall(\"PUBLISH\", channel, message)\n" +
    "end\n" +
    "end\n" +
    "if verb == \"renew\" then\n" +
    "redis.call(\"PEXPIREAT\", key, text(math.ceil(kept / 1000)))\n" +
    "end\n" +
    "if seen - now > tolerance then\n" +
    "sweep(seen - now)\n" +
    "else\n" +
    "now = math.max(now, seen)\n" +
    "if now >= soonest then\n" +
    "sweep(0)\n" +
    "end\n" +
    "end\n" +
    "if verb == \"take\" then\n" +
    "local lease, patience, channel = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]\n" +
    "if ARGV[3] == \"1\" or permits == 0 then\n" +
    "permits = tonumber(ARGV[2])\n" +
    "end\n" +
    "serve()\n" +
    "local reply = { now, 0 }\n" +
    "for at = 7, #ARGV, 2 do\n" +
    "local id, count = ARGV[at], tonumber(ARGV[at + 1])\n" +
    "local answer, expiry = -1, 0\n" +
    "local known = redis.call(\"HMGET\", key, \"h:\" .. id, \"w:\" .. id)\n" +
    "if known[1] then\n" +
    "answer, expiry = extend(id, known[1], lease)\n" +
    "elseif known[2] then\n" +
    "answer = 0\n" +
    "elseif count > permits then\n" +
    "answer = -2\n" +
    "elseif waiting == 0 and held + count <= permits then\n" +
    "expiry = now + lease\n" +
    "grant(id, count, expiry)\n" +
    "answer = token\n" +
    "elseif patience > 0 then\n" +
    "tail = tail + 1\n" +
    "if waiting == 0 then\n" +
    "head = tail\n" +
    "end\n" +
    "waiting = waiting + 1\n" +
    "soonest = math.min(soonest, now + patience)\n" +
    "local entry = { text(now + patience), text(count), text(tail), text(lease), channel }\n" +
    "redis.call(\"HSET\", key, \"w:\" .. id, table.concat(entry, \" \"), \"p:\" .. text(tail), id)\n" +
    "answer = 0\n" +
    "end\n" +
    "reply[at - 4], reply[at - 3] = answer, expiry\n" +
    "end\n" +
    "finish(math.max(lease, patience))\n" +
    "reply[2] = soonest\n" +
    "return reply\n" +
    "end\n" +
    "if verb == \"beat\" then\n" +
    "local lease, patience = tonumber(ARGV[2]), tonumber(ARGV[3])\n" +
    "serve()\n" +
    "local reply = { now, 0 }\n" +
    "for at = 4, #ARGV do\n" +
    "local id = ARGV[at]\n" +
    "local answer, expiry = -3, 0\n" +
    "local known = redis.call(\"HMGET\", key, \"h:\" .. id, \"w:\" .. id)\n" +
    "if known[1] then\n" +
    "answer, expiry = extend(id, known[1], lease)\n" +
    "elseif known[2] then\n" +
    "local count, place, rest = string.match(known[2], \"^%d+ (%d+) (%d+)(.*)$\")\n" +
    "if tonumber(count) > permits then\n" +
    "answer = -2\n" +
    "leave(id, place)\n" +
    "else\n" +
    "answer = 0\n" +
    "redis.call(\"HSET\", key, \"w:\" .. id, text(now + patience) .. \" \" .. count .. \" \" .. place .. rest)\n" +
    "end\n" +
    "end\n" +
    "reply[#reply + 1] = answer\n" +
    "reply[#reply + 1] = expiry\n" +
    "end\n" +
    "finish(math.max(lease, patience))\n" +
    "reply[2] = soonest\n" +
    "return reply\n" +
    "end\n" +
    "if verb == \"renew\" then\n" +
    "local lease = tonumber(ARGV[2])\n" +
    "local reply = { now }\n" +
    "for at = 3, #ARGV do\n" +
    "local id = ARGV[at]\n" +
    "local known = redis.call(\"HGET\", key, \"h:\" .. id)\n" +
    "reply[#reply + 1] = known and select(2, extend(id, known, lease)) or 0\n" +
    "end\n" +
    "finish(lease)\n" +
    "return reply\n" +
    "end\n" +
    "local reply = { now }\n" +
    "for at = 2, #ARGV do\n" +
    "local id = ARGV[at]\n" +
    "local known = redis.call(\"HMGET\", key, \"h:\" .. id, \"w:\" .. id)\n" +
    "reply[#reply + 1] = known[1] and 1 or 0\n" +
    "if known[1] then\n" +
    "redis.call(\"HDEL\", key, \"h:\" .. id)\n" +
    "held = held - tonumber(string.match(known[1], \"^%d+ (%d+)\"))\n" +
    "elseif known[2] then\n" +
    "leave(id, string.match(known[2], \"^%d+ %d+ (%d+)\"))\n" +
    "end\n" +
    "end\n" +
    "finish(0)\n" +
    "return reply\n",
  sha: "a1cfe7404877f0a07b90ca6a035782e15a0797ee",
};
