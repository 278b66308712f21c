// Written by scripts/programs.mjs from semaphore/semaphore.lua. Do not edit.
import type { Script } from "../core/store.js";

export const semaphoreScript: Script = {
  text:
    "local key, own = KEYS[1], ARGV[1]\n" +
    "local never = 4503599627370496\n" +
    "local tolerance = 1000000\n" +
    "local memory = 900000000\n" +
    "local function text(number)\n" +
    "return string.format(\"%.0f\", number)\n" +
    "end\n" +
    "local function numbers(row)\n" +
    "local found = {}\n" +
    "for number in string.gmatch(row, \"%d+\") do\n" +
    "found[#found + 1] = tonumber(number)\n" +
    "end\n" +
    "return unpack(found)\n" +
    "end\n" +
    "local time = redis.call(\"TIME\")\n" +
    "local now = time[1] * 1000000 + time[2]\n" +
    "if ARGV[2] == \"inspect\" then\n" +
    "local all = redis.call(\"HGETALL\", key)\n" +
    "local permits, held, waiting, rows = 0, 0, 0, {}\n" +
    "for at = 1, #all, 2 do\n" +
    "rows[all[at]] = all[at + 1]\n" +
    "end\n" +
    "if rows.state then\n" +
    "local seen, _, count = numbers(rows.state)\n" +
    "now, permits = math.max(now, seen), count\n" +
    "end\n" +
    "for field, row in pairs(rows) do\n" +
    "local kind = string.sub(field, 1, 2)\n" +
    "if kind == \"h:\" or kind == \"p:\" then\n" +
    "local moment, count = string.match(row, \"^(%d+) (%d+)\")\n" +
    "if tonumber(moment) > now and kind == \"p:\" then\n" +
    "waiting = waiting + 1\n" +
    "elseif tonumber(moment) > now then\n" +
    "held = held + tonumber(count)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "return { \"\", now, permits, held, waiting }\n" +
    "end\n" +
    "local terms = { take = 4, beat = 2, renew = 1, release = 0 }\n" +
    "local width = { take = 2, beat = 2, renew = 1, release = 1 }\n" +
    "local rows, changed = {}, {}\n" +
    "local function fetch(fields)\n" +
    "local missing = {}\n" +
    "for _, field in ipairs(fields) do\n" +
    "if rows[field] == nil then\n" +
    "missing[#missing + 1] = field\n" +
    "end\n" +
    "end\n" +
    "if #missing > 0 then\n" +
    "local found = redis.call(\"HMGET\", key, unpack(missing))\n" +
    "for at, field in ipairs(missing) do\n" +
    "rows[field] = found[at]\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "local function put(field, row)\n" +
    "rows[field] = row\n" +
    "changed[field] = true\n" +
    "end\n" +
    "local mild = false\n" +
    "local wanted = { \"state\" }\n" +
    "do\n" +
    "local at = 2\n" +
    "while at <= #ARGV do\n" +
    "local verb, count = ARGV[at], tonumber(ARGV[at + 1])\n" +
    "local first = at + 2 + terms[verb]\n" +
    "at = first + count * width[verb]\n" +
    "mild = mild or verb == \"renew\" or verb == \"release\"\n" +
    "if verb ~= \"take\" or ARGV[first - 3] == \"0\" then\n" +
    "for place = first, at - 1, width[verb] do\n" +
    "wanted[#wanted + 1] = \"h:\" .. ARGV[place]\n" +
    "wanted[#wanted + 1] = \"w:\" .. ARGV[place]\n" +
    "if verb == \"beat\" then\n" +
    "wanted[#wanted + 1] = \"p:\" .. ARGV[place + 1]\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "fetch(wanted)\n" +
    "local seen, token, permits, held, waiting, head, tail, soonest, kept = 0, 0, 0, 0, 0, 1, 0, never, 0\n" +
    "local state = rows.state\n" +
    "if state then\n" +
    "seen, token, permits, held, waiting, head, tail, soonest, kept = numbers(state)\n" +
    "end\n" +
    "local function leave(id, place)\n" +
    "put(\"w:\" .. id, false)\n" +
    "put(\"p:\" .. text(place), false)\n" +
    "waiting = waiting - 1\n" +
    "if place == head then\n" +
    "head = head + 1\n" +
    "end\n" +
    "end\n" +
    "local function hold(id, count, expiry, own_token)\n" +
    "soonest = math.min(soonest, expiry)\n" +
    "put(\"h:\" .. id, string.format(\"%.0f %.0f %.0f\", expiry, count, own_token))\n" +
    "end\n" +
    "local function grant(id, count, expiry)\n" +
    "token = math.max(token + 1, now)\n" +
    "held = held + count\n" +
    "hold(id, count, expiry, token)\n" +
    "end\n" +
    "local function extend(id, lease)\n" +
    "local _, count, first = numbers(rows[\"h:\" .. id])\n" +
    "local expiry = now + lease\n" +
    "hold(id, count, expiry, first)\n" +
    "return first, expiry\n" +
    "end\n" +
    "local function sweep(back)\n" +
    "local all = redis.call(\"HGETALL\", key)\n" +
    "held, waiting, soonest = 0, 0, never\n" +
    "for at = 1, #all, 2 do\n" +
    "local field = all[at]\n" +
    "local kind = string.sub(field, 1, 2)\n" +
    "if kind == \"h:\" or kind == \"p:\" then\n" +
    "rows[field] = all[at + 1]\n" +
    "local moment, count, rest = string.match(all[at + 1], \"^(%d+) (%d+)(.*)$\")\n" +
    "moment = tonumber(moment) - back\n" +
    "if moment <= now then\n" +
    "put(field, false)\n" +
    "if kind == \"p:\" then\n" +
    "put(\"w:\" .. string.match(rest, \"^ %d+ (%S+)\"), false)\n" +
    "end\n" +
    "else\n" +
    "soonest = math.min(soonest, moment)\n" +
    "if kind == \"h:\" then\n" +
    "held = held + tonumber(count)\n" +
    "else\n" +
    "waiting = waiting + 1\n" +
    "end\n" +
    "if back > 0 then\n" +
    "put(field, text(moment) .. \" \" .. count .. rest)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "if back > 0 then\n" +
    "kept = 0\n" +
    "end\n" +
    "end\n" +
    "local news = {}\n" +
    "local function serve()\n" +
    "local many = math.min(permits - held, 100)\n" +
    "while waiting > 0 and held < permits do\n" +
    "local place = \"p:\" .. text(head)\n" +
    "if rows[place] == nil then\n" +
    "local line = {}\n" +
    "for ahead = head, math.min(head + many - 1, tail) do\n" +
    "line[#line + 1] = \"p:\" .. text(ahead)\n" +
    "end\n" +
    "fetch(line)\n" +
    "many = math.min(2 * many, 100)\n" +
    "end\n" +
    "if rows[place] then\n" +
    "local deadline, size, lease, id, channel = string.match(rows[place], \"^(%d+) (%d+) (%d+) (%S+) (.*)$\")\n" +
    "local count = tonumber(size)\n" +
    "if held + count > permits then\n" +
    "return\n" +
    "end\n" +
    "leave(id, head)\n" +
    "local expiry = math.min(now + tonumber(lease), tonumber(deadline))\n" +
    "grant(id, count, expiry)\n" +
    "local message = string.format(\"%s %.0f %.0f %.0f\", id, token, now, expiry)\n" +
    "news[channel] = news[channel] and news[channel] .. \";\" .. message or message\n" +
    "elseif head > tail then\n" +
    "waiting = 0\n" +
    "else\n" +
    "head = head + 1\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "local function write(command, list)\n" +
    "for first = 1, #list, 1000 do\n" +
    "redis.call(command, key, unpack(list, first, math.min(first + 999, #list)))\n" +
    "end\n" +
    "end\n" +
    "local function save(lasting)\n" +
    "local short = now + lasting + memory > kept\n" +
    "if short then\n" +
    "kept = now + 2 * (lasting + memory)\n" +
    "end\n" +
    "local rest = string.format(\n" +
    "\"%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f\", --\n" +
    "token,\n" +
    "permits,\n" +
    "held,\n" +
    "waiting,\n" +
    "head,\n" +
    "tail,\n" +
    "soonest,\n" +
    "kept\n" +
    ")\n" +
    "if next(changed) == nil and (not state or string.match(state, \"^%d+ (.*)$\") == rest) then\n" +
    "return\n" +
    "end\n" +
    "local sets, drops = { \"state\", text(now) .. \" \" .. rest }, {}\n" +
    "for field in pairs(changed) do\n" +
    "if rows[field] then\n" +
    "sets[#sets + 1] = field\n" +
    "sets[#sets + 1] = rows[field]\n" +
    "else\n" +
    "drops[#drops + 1] = field\n" +
    "end\n" +
    "end\n" +
    "if mild and #drops == 0 then\n" +
    "redis.call(\"PEXPIREAT\", key, text(math.ceil(kept / 1000)))\n" +
    "end\n" +
    "write(\"HDEL\", drops)\n" +
    "write(\"HSET\", sets)\n" +
    "if short then\n" +
    "redis.call(\"PEXPIREAT\", key, text(math.ceil(kept / 1000)))\n" +
    "end\n" +
    "end\n" +
    "if seen - now > tolerance then\n" +
    "sweep(seen - now)\n" +
    "else\n" +
    "now = math.max(now, seen)\n" +
    "if now >= soonest then\n" +
    "sweep(0)\n" +
    "end\n" +
    "end\n" +
    "local reply = { \"\", now, 0, 0 }\n" +
    "local function answer(number)\n" +
    "reply[#reply + 1] = number\n" +
    "end\n" +
    "local verbs = {}\n" +
    "function verbs.take(at, first, last)\n" +
    "local lease, patience = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])\n" +
    "if ARGV[at + 1] == \"1\" or permits == 0 then\n" +
    "permits = tonumber(ARGV[at])\n" +
    "end\n" +
    "serve()\n" +
    "for place = first, last, 2 do\n" +
    "local id, count = ARGV[place], tonumber(ARGV[place + 1])\n" +
    "if rows[\"h:\" .. id] then\n" +
    "local own_token, expiry = extend(id, lease)\n" +
    "answer(own_token)\n" +
    "answer(expiry)\n" +
    "elseif rows[\"w:\" .. id] then\n" +
    "answer(0)\n" +
    "answer(tonumber(rows[\"w:\" .. id]))\n" +
    "elseif waiting == 0 and held + count <= permits then\n" +
    "grant(id, count, now + lease)\n" +
    "answer(token)\n" +
    "answer(now + lease)\n" +
    "elseif patience > 0 then\n" +
    "tail = tail + 1\n" +
    "if waiting == 0 then\n" +
    "head = tail\n" +
    "end\n" +
    "waiting = waiting + 1\n" +
    "soonest = math.min(soonest, now + patience)\n" +
    "put(\"w:\" .. id, text(tail))\n" +
    "put(\"p:\" .. text(tail), string.format(\"%.0f %.0f %.0f %s %s\", now + patience, count, lease, id, own))\n" +
    "answer(0)\n" +
    "answer(tail)\n" +
    "else\n" +
    "answer(-1)\n" +
    "answer(0)\n" +
    "end\n" +
    "end\n" +
    "return math.max(lease, patience)\n" +
    "end\n" +
    "function verbs.beat(at, first, last)\n" +
    "local lease, patience = tonumber(ARGV[at]), tonumber(ARGV[at + 1])\n" +
    "serve()\n" +
    "for place = first, last, 2 do\n" +
    "local id = ARGV[place]\n" +
    "local waits = rows[\"w:\" .. id]\n" +
    "if rows[\"h:\" .. id] then\n" +
    "local own_token, expiry = extend(id, lease)\n" +
    "answer(own_token)\n" +
    "answer(expiry)\n" +
    "elseif waits then\n" +
    "fetch({ \"p:\" .. waits })\n" +
    "put(\"p:\" .. waits, (string.gsub(rows[\"p:\" .. waits], \"^%d+\", text(now + patience))))\n" +
    "answer(0)\n" +
    "answer(tonumber(waits))\n" +
    "else\n" +
    "answer(-2)\n" +
    "answer(0)\n" +
    "end\n" +
    "end\n" +
    "return last < first and 0 or math.max(lease, patience)\n" +
    "end\n" +
    "function verbs.renew(at, first, last)\n" +
    "local lease = tonumber(ARGV[at])\n" +
    "for place = first, last do\n" +
    "answer(rows[\"h:\" .. ARGV[place]] and select(2, extend(ARGV[place], lease)) or 0)\n" +
    "end\n" +
    "return lease\n" +
    "end\n" +
    "function verbs.release(_, first, last)\n" +
    "for place = first, last do\n" +
    "local id = ARGV[place]\n" +
    "local waits = rows[\"w:\" .. id]\n" +
    "if rows[\"h:\" .. id] then\n" +
    "local _, count = numbers(rows[\"h:\" .. id])\n" +
    "held = held - count\n" +
    "put(\"h:\" .. id, false)\n" +
    "answer(1)\n" +
    "else\n" +
    "if waits then\n" +
    "leave(id, tonumber(waits))\n" +
    "end\n" +
    "answer(0)\n" +
    "end\n" +
    "end\n" +
    "return 0\n" +
    "end\n" +
    "local lasting, at = 0, 2\n" +
    "while at <= #ARGV do\n" +
    "local verb, count = ARGV[at], tonumber(ARGV[at + 1])\n" +
    "local first = at + 2 + terms[verb]\n" +
    "local after = first + count * width[verb]\n" +
    "lasting = math.max(lasting, verbs[verb](at + 2, first, after - 1))\n" +
    "at = after\n" +
    "end\n" +
    "serve()\n" +
    "save(lasting)\n" +
    "reply[1] = news[own] or \"\"\n" +
    "reply[3], reply[4] = soonest, head\n" +
    "for channel, message in pairs(news) do\n" +
    "if channel ~= own then\n" +
    "redis.pcall(\"PUBLISH\", channel, message)\n" +
    "end\n" +
    "end\n" +
    "return reply\n",
  sha: "e0ef9a7ffbdc6bccd1153ef365df5d04692c4a90",
};
