// Written by scripts/programs.mjs from algorithms/fixed-window/single.lua, algorithms/token-bucket/single.lua, stores/redis/lone.lua, algorithms/fixed-window/fixed-window.lua, algorithms/sliding-counter/sliding-counter.lua, algorithms/sliding-window/sliding-window.lua, algorithms/token-bucket/continuous.lua, algorithms/token-bucket/interval.lua, stores/redis/driver.lua. Do not edit.
import type { Script } from "../../core/store.js";

export const limiterScript: Script = {
  text:
    "local function newSingle(name)\n" +
    "if name == \"fixed-window\" then\n" +
    "return function(opened, used, now, p)\n" +
    "local ends = opened + p[2]\n" +
    "if now < opened then\n" +
    "return nil\n" +
    "end\n" +
    "if used == 0 or now >= ends then\n" +
    "local start = p[3] == 1 and now - now % p[2] or now\n" +
    "return start, 1, start + p[2], used > 0 and ends or 0\n" +
    "end\n" +
    "if used >= p[1] then\n" +
    "return false\n" +
    "end\n" +
    "return opened, used + 1, ends, ends\n" +
    "end\n" +
    "end\n" +
    "if name == \"token-bucket\" then\n" +
    "return function(tat, part, now, p)\n" +
    "local before = tat\n" +
    "if now < tat - p[5] + (part > p[6] and 1 or 0) then\n" +
    "return nil\n" +
    "end\n" +
    "if tat < now then\n" +
    "tat, part = now, 0\n" +
    "end\n" +
    "tat, part = tat + p[2], part + p[3]\n" +
    "if part >= p[4] then\n" +
    "tat, part = tat + 1, part - p[4]\n" +
    "end\n" +
    "if tat - p[5] + (part > p[6] and 1 or 0) > now then\n" +
    "return false\n" +
    "end\n" +
    "return tat, part, tat, before\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "local function takeShort(key, value, short, policy, now, margin)\n" +
    "local one, two = 0, 0\n" +
    "if value then\n" +
    "one = tonumber(value)\n" +
    "if not one then\n" +
    "local gap = string.find(value, \" \", 1, true)\n" +
    "if gap then\n" +
    "one, two = tonumber(string.sub(value, 1, gap - 1)), tonumber(string.sub(value, gap + 1))\n" +
    "end\n" +
    "end\n" +
    "local fits = one and two and one >= 0 and two >= 0 and one <= 9007199254740991 and two <= 9007199254740991\n" +
    "if not fits or one % 1 ~= 0 or two % 1 ~= 0 then\n" +
    "return false\n" +
    "end\n" +
    "end\n" +
    "local after, rest, resetAt, before = short(one, two, now, policy)\n" +
    "if after then\n" +
    "local mark = resetAt - resetAt % margin\n" +
    "local lives = value and before - before % margin == mark\n" +
    "local added = lives and two == 0 and rest == 0 and redis.pcall(\"INCRBY\", key, string.format(\"%d\", after - one))\n" +
    "if type(added) ~= \"number\" then\n" +
    "local text = rest > 0 and string.format(\"%d %d\", after, rest) or string.format(\"%d\", after)\n" +
    "if lives then\n" +
    "redis.call(\"SET\", key, text, \"KEEPTTL\")\n" +
    "else\n" +
    "redis.call(\"SET\", key, text, \"PX\", string.format(\"%d\", (mark + 2 * margin - now) / 1000 + 1))\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "return after ~= nil\n" +
    "end\n" +
    "local decoded -- luacheck: ignore\n" +
    "if not ARGV[2] then\n" +
    "local only = cjson.decode(ARGV[1])\n" +
    "local short = newSingle(only[#only])\n" +
    "if short then\n" +
    "local time = redis.call(\"TIME\")\n" +
    "local now = time[1] * 1000000 + time[2]\n" +
    "local value = redis.pcall(\"GET\", KEYS[1])\n" +
    "if type(value) ~= \"table\" and takeShort(KEYS[1], value, short, only, now, only[#only - 1] * 1000) then\n" +
    "return value and string.format(\"%d %s\", now, value) or string.format(\"%d\", now)\n" +
    "end\n" +
    "end\n" +
    "decoded = { only }\n" +
    "end\n" +
    "local function newAlgorithm(name)\n" +
    "if name == \"fixed-window\" then\n" +
    "local OPENED, USED, SEEN, LATEST = 1, 2, 3, 4\n" +
    "local function heal(row, clock, p)\n" +
    "local seen = row[LATEST] > 0 and row[SEEN] or row[OPENED]\n" +
    "if clock >= seen then\n" +
    "return clock\n" +
    "end\n" +
    "local back = seen - clock\n" +
    "if back <= p[2] then\n" +
    "return seen\n" +
    "end\n" +
    "row.changed = true\n" +
    "local opened = math.max(0, row[OPENED] - back)\n" +
    "row[OPENED] = p[3] == 1 and opened - opened % p[2] or opened\n" +
    "if row[SEEN] > 0 then\n" +
    "row[SEEN] = clock\n" +
    "end\n" +
    "if row[LATEST] > 0 then\n" +
    "row[LATEST] = math.max(0, row[LATEST] - back)\n" +
    "end\n" +
    "return clock\n" +
    "end\n" +
    "local function usedAt(row, moment, p)\n" +
    "return moment < row[OPENED] + p[2] and row[USED] or 0\n" +
    "end\n" +
    "local function spend(row, start, cost, p)\n" +
    "local used = usedAt(row, start, p)\n" +
    "if used == 0 then\n" +
    "row[OPENED] = p[3] == 1 and start - start % p[2] or start\n" +
    "end\n" +
    "row[USED] = math.min(used + cost, 9007199254740991)\n" +
    "end\n" +
    "return {\n" +
    "columns = 4,\n" +
    "step = function(row, clock, earliest, latest, cost, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "local start = math.max(now, earliest, row[LATEST])\n" +
    "if cost > p[1] then\n" +
    "start = math.huge\n" +
    "elseif usedAt(row, start, p) + cost > p[1] then\n" +
    "start = row[OPENED] + p[2]\n" +
    "end\n" +
    "local waits = start > now\n" +
    "if (waits and start or clock) <= latest then\n" +
    "row[SEEN] = waits and now or 0\n" +
    "row[LATEST] = waits and start or 0\n" +
    "spend(row, start, cost, p)\n" +
    "end\n" +
    "return waits and start or clock\n" +
    "end,\n" +
    "amend = function(row, clock, stamp, delta, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "local latest = row[LATEST]\n" +
    "local moment = math.max(now, latest)\n" +
    "if latest <= now then\n" +
    "row[SEEN] = 0\n" +
    "row[LATEST] = 0\n" +
    "end\n" +
    "local opened = row[OPENED]\n" +
    "local correctable = usedAt(row, moment, p) > 0\n" +
    "and (stamp == -1 and latest <= now or (stamp >= opened and stamp < opened + p[2]))\n" +
    "if delta > 0 and (correctable or stamp == -1) then\n" +
    "spend(row, moment, delta, p)\n" +
    "elseif delta < 0 and correctable then\n" +
    "row[USED] = math.max(0, row[USED] + delta)\n" +
    "end\n" +
    "end,\n" +
    "remaining = function(row, clock, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "return row[LATEST] > now and 0 or math.max(0, p[1] - usedAt(row, now, p))\n" +
    "end,\n" +
    "resetAt = function(row, p)\n" +
    "return row[USED] == 0 and row[LATEST] or row[OPENED] + p[2]\n" +
    "end,\n" +
    "}\n" +
    "end\n" +
    "if name == \"sliding-counter\" then\n" +
    "local OPENED, BEFORE, USED, SEEN, LATEST = 1, 2, 3, 4, 5\n" +
    "local largestExact = 9007199254740991\n" +
    "local function productError(a, b, product)\n" +
    "local splitA = 134217729 * a\n" +
    "local highA = splitA - (splitA - a)\n" +
    "local lowA = a - highA\n" +
    "local splitB = 134217729 * b\n" +
    "local highB = splitB - (splitB - b)\n" +
    "local lowB = b - highB\n" +
    "return highA * highB - product + highA * lowB + lowA * highB + lowA * lowB\n" +
    "end\n" +
    "local function floorMulDiv(a, b, c)\n" +
    "local product = a * b\n" +
    "local quotient = math.floor(product / c)\n" +
    "if product <= largestExact then\n" +
    "return quotient\n" +
    "end\n" +
    "local back = quotient * c\n" +
    "local remainder = product - back + (productError(a, b, product) - productError(quotient, c, back))\n" +
    "while remainder < 0 do\n" +
    "quotient = quotient - 1\n" +
    "remainder = remainder + c\n" +
    "end\n" +
    "while remainder >= c do\n" +
    "quotient = quotient + 1\n" +
    "remainder = remainder - c\n" +
    "end\n" +
    "return quotient\n" +
    "end\n" +
    "local function ceilMulDiv(a, b, c)\n" +
    "local down = floorMulDiv(a, b, c)\n" +
    "local product = a * b\n" +
    "local back = down * c\n" +
    "if product - back + (productError(a, b, product) - productError(down, c, back)) == 0 then\n" +
    "return down\n" +
    "end\n" +
    "return down + 1\n" +
    "end\n" +
    "local function heal(row, clock, p)\n" +
    "local seen = row[LATEST] > 0 and row[SEEN] or row[OPENED]\n" +
    "if clock >= seen then\n" +
    "return clock\n" +
    "end\n" +
    "local back = seen - clock\n" +
    "if back <= p[2] then\n" +
    "return seen\n" +
    "end\n" +
    "row.changed = true\n" +
    "local opened = math.max(0, row[OPENED] - back)\n" +
    "row[OPENED] = opened - opened % p[2]\n" +
    "if row[SEEN] > 0 then\n" +
    "row[SEEN] = clock\n" +
    "end\n" +
    "if row[LATEST] > 0 then\n" +
    "row[LATEST] = math.max(0, row[LATEST] - back)\n" +
    "end\n" +
    "return clock\n" +
    "end\n" +
    "local function faded(before, elapsed, p)\n" +
    "return before == 0 and 0 or ceilMulDiv(before, p[2] - elapsed, p[2])\n" +
    "end\n" +
    "local function openedAt(row, moment, p)\n" +
    "return moment < row[OPENED] + p[2] and row[OPENED] or moment - moment % p[2]\n" +
    "end\n" +
    "local function beforeAt(row, moment, p)\n" +
    "local age = moment - row[OPENED]\n" +
    "return age < p[2] and row[BEFORE] or age < 2 * p[2] and row[USED] or 0\n" +
    "end\n" +
    "local function usedAt(row, moment, p)\n" +
    "return moment - row[OPENED] < p[2] and row[USED] or 0\n" +
    "end\n" +
    "local function firstFit(row, from, cost, p)\n" +
    "local opened = openedAt(row, from, p)\n" +
    "local before = beforeAt(row, from, p)\n" +
    "local used = usedAt(row, from, p)\n" +
    "local free = p[1] - used - cost\n" +
    "if free >= 0 then\n" +
    "if faded(before, from - opened, p) <= free then\n" +
    "return from\n" +
    "end\n" +
    "return opened + p[2] - floorMulDiv(free, p[2], before)\n" +
    "end\n" +
    "return opened + 2 * p[2] - floorMulDiv(p[1] - cost, p[2], used)\n" +
    "end\n" +
    "local function turn(row, moment, p)\n" +
    "local opened = openedAt(row, moment, p)\n" +
    "local before = beforeAt(row, moment, p)\n" +
    "row[USED] = usedAt(row, moment, p)\n" +
    "row[BEFORE] = before\n" +
    "row[OPENED] = opened\n" +
    "end\n" +
    "local function takeFrom(row, column, cost)\n" +
    "local taken = math.min(cost, row[column])\n" +
    "row[column] = row[column] - taken\n" +
    "return taken\n" +
    "end\n" +
    "return {\n" +
    "columns = 5,\n" +
    "step = function(row, clock, earliest, latest, cost, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "local start = cost > p[1] and math.huge or firstFit(row, math.max(now, earliest, row[LATEST]), cost, p)\n" +
    "local waits = start > now\n" +
    "if (waits and start or clock) <= latest then\n" +
    "row[SEEN] = waits and now or 0\n" +
    "row[LATEST] = waits and start or 0\n" +
    "turn(row, start, p)\n" +
    "row[USED] = row[USED] + cost\n" +
    "end\n" +
    "return waits and start or clock\n" +
    "end,\n" +
    "amend = function(row, clock, stamp, delta, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "local latest = row[LATEST]\n" +
    "if latest <= now then\n" +
    "row[SEEN] = 0\n" +
    "row[LATEST] = 0\n" +
    "turn(row, now, p)\n" +
    "end\n" +
    "local opened = row[OPENED]\n" +
    "local inCurrent = stamp == -1 or stamp >= opened\n" +
    "local inBefore = stamp == -1 or (stamp < opened and stamp >= opened - p[2])\n" +
    "if delta > 0 then\n" +
    "if inCurrent then\n" +
    "row[USED] = math.min(row[USED] + delta, largestExact)\n" +
    "elseif inBefore then\n" +
    "row[BEFORE] = math.min(row[BEFORE] + delta, largestExact)\n" +
    "end\n" +
    "elseif stamp ~= -1 or latest <= now then\n" +
    "local left = -delta\n" +
    "if inCurrent then\n" +
    "left = left - takeFrom(row, USED, left)\n" +
    "end\n" +
    "if inBefore then\n" +
    "takeFrom(row, BEFORE, left)\n" +
    "end\n" +
    "end\n" +
    "end,\n" +
    "remaining = function(row, clock, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "if row[LATEST] > now then\n" +
    "return 0\n" +
    "end\n" +
    "local elapsed = now - openedAt(row, now, p)\n" +
    "return math.max(0, p[1] - usedAt(row, now, p) - faded(beforeAt(row, now, p), elapsed, p))\n" +
    "end,\n" +
    "resetAt = function(row, p)\n" +
    "if row[USED] > 0 then\n" +
    "return row[OPENED] + 2 * p[2]\n" +
    "end\n" +
    "return row[BEFORE] > 0 and row[OPENED] + p[2] or row[LATEST]\n" +
    "end,\n" +
    "}\n" +
    "end\n" +
    "if name == \"sliding-window\" then\n" +
    "local headerFormat = \">BddddI4I4I4I4\"\n" +
    "local headerSize = 49\n" +
    "local mark = 1\n" +
    "local stampRange = 281474976710656\n" +
    "local mostLogged = 140737488355328\n" +
    "local narrow, wide = 8, 12\n" +
    "local batch = 500\n" +
    "local function callFormat(width)\n" +
    "return width == narrow and \"I6I2\" or \"I6I6\"\n" +
    "end\n" +
    "local function costRange(width)\n" +
    "return width == narrow and 65536 or stampRange\n" +
    "end\n" +
    "local function offsetOf(log, index)\n" +
    "return headerSize + ((log.first + index - 1) % log.capacity) * log.width\n" +
    "end\n" +
    "local function momentOf(log, kept)\n" +
    "return log.newest - (log.newest % stampRange - kept) % stampRange\n" +
    "end\n" +
    "local function callAt(log, index)\n" +
    "local offset = offsetOf(log, index)\n" +
    "local bytes = redis.call(\"GETRANGE\", log.key, offset, offset + log.width - 1)\n" +
    "local kept, sum = struct.unpack(\">\" .. callFormat(log.width), bytes)\n" +
    "return momentOf(log, kept), sum\n" +
    "end\n" +
    "local function writeCall(log, index, stamp, sum)\n" +
    "local bytes = struct.pack(\">\" .. callFormat(log.width), stamp % stampRange, sum)\n" +
    "redis.call(\"SETRANGE\", log.key, offsetOf(log, index), bytes)\n" +
    "end\n" +
    "local function eachPiece(log, from, to, use)\n" +
    "while from <= to do\n" +
    "local turn = log.capacity - (log.first + from - 1) % log.capacity\n" +
    "local count = math.min(to - from + 1, turn, batch)\n" +
    "local offset = offsetOf(log, from)\n" +
    "use(redis.call(\"GETRANGE\", log.key, offset, offset + count * log.width - 1), offset)\n" +
    "from = from + count\n" +
    "end\n" +
    "end\n" +
    "local function recoded(log, bytes, width, change)\n" +
    "local count = #bytes / log.width\n" +
    "local figures = { struct.unpack(\">\" .. string.rep(callFormat(log.width), count), bytes) }\n" +
    "for at = 1, 2 * count, 2 do\n" +
    "figures[at], figures[at + 1] = change(figures[at], figures[at + 1])\n" +
    "end\n" +
    "return struct.pack(\">\" .. string.rep(callFormat(width), count), unpack(figures, 1, 2 * count))\n" +
    "end\n" +
    "local function rewrite(log, from, to, change)\n" +
    "eachPiece(log, from, to, function(bytes, offset)\n" +
    "redis.call(\"SETRANGE\", log.key, offset, recoded(log, bytes, log.width, change))\n" +
    "end)\n" +
    "log.changed = true\n" +
    "end\n" +
    "local function writeAll(log, calls, capacity)\n" +
    "table.insert(calls, 1, string.rep(\"\\0\", headerSize))\n" +
    "calls[#calls + 1] = string.rep(\"\\0\", (capacity - log.count) * log.width)\n" +
    "redis.call(\"SET\", log.key, table.concat(calls))\n" +
    "log.first = 0\n" +
    "log.capacity = capacity\n" +
    "log.changed = true\n" +
    "end\n" +
    "local function resize(log)\n" +
    "local calls = {}\n" +
    "eachPiece(log, 1, log.count, function(bytes)\n" +
    "calls[#calls + 1] = bytes\n" +
    "end)\n" +
    "writeAll(log, calls, log.count + 1 + math.floor(log.count / 8))\n" +
    "end\n" +
    "local function between(log, from, to)\n" +
    "return (to - from) % costRange(log.width)\n" +
    "end\n" +
    "local function widen(log)\n" +
    "local calls = {}\n" +
    "local sum, last = 0, log.base\n" +
    "eachPiece(log, 1, log.count, function(bytes)\n" +
    "calls[#calls + 1] = recoded(log, bytes, wide, function(kept, top)\n" +
    "sum = (sum + between(log, last, top)) % costRange(wide)\n" +
    "last = top\n" +
    "return kept, sum\n" +
    "end)\n" +
    "end)\n" +
    "log.base = 0\n" +
    "log.top = sum\n" +
    "log.width = wide\n" +
    "writeAll(log, calls, log.capacity)\n" +
    "end\n" +
    "local function prefix(log, holds)\n" +
    "local low, high, lowSum = 0, 1, log.base\n" +
    "while high <= log.count do\n" +
    "local stamp, sum = callAt(log, high)\n" +
    "if not holds(stamp, sum) then\n" +
    "break\n" +
    "end\n" +
    "low = high\n" +
    "lowSum = sum\n" +
    "high = high * 2\n" +
    "end\n" +
    "high = math.min(high, log.count + 1)\n" +
    "while high - low > 1 do\n" +
    "local middle = math.floor((low + high) / 2)\n" +
    "local stamp, sum = callAt(log, middle)\n" +
    "if holds(stamp, sum) then\n" +
    "low = middle\n" +
    "lowSum = sum\n" +
    "else\n" +
    "high = middle\n" +
    "end\n" +
    "end\n" +
    "return low, lowSum\n" +
    "end\n" +
    "local function through(log, past)\n" +
    "if log.newest <= past then\n" +
    "return log.count, log.top\n" +
    "end\n" +
    "return prefix(log, function(stamp)\n" +
    "return stamp <= past\n" +
    "end)\n" +
    "end\n" +
    "local function dropThrough(log, past)\n" +
    "if log.count == 0 then\n" +
    "return\n" +
    "end\n" +
    "local gone, sum = through(log, past)\n" +
    "if gone > 0 then\n" +
    "log.first = (log.first + gone) % log.capacity\n" +
    "log.count = log.count - gone\n" +
    "log.newest = log.count > 0 and log.newest or 0\n" +
    "log.base = sum\n" +
    "log.changed = true\n" +
    "end\n" +
    "end\n" +
    "local function push(log, stamp, cost)\n" +
    "log.top = (log.top + cost) % costRange(log.width)\n" +
    "log.changed = true\n" +
    "if log.count > 0 and log.newest == stamp then\n" +
    "writeCall(log, log.count, stamp, log.top)\n" +
    "return\n" +
    "end\n" +
    "if log.count == log.capacity or (log.capacity > 16 and log.count < log.capacity / 4) then\n" +
    "resize(log)\n" +
    "end\n" +
    "log.newest = stamp\n" +
    "log.count = log.count + 1\n" +
    "writeCall(log, log.count, stamp, log.top)\n" +
    "end\n" +
    "local function cut(log, count)\n" +
    "log.newest = count > 0 and callAt(log, count) or 0\n" +
    "log.count = count\n" +
    "log.changed = true\n" +
    "if count == 0 then\n" +
    "log.base = log.top\n" +
    "end\n" +
    "end\n" +
    "local function trim(log, p)\n" +
    "while log.count > 0 do\n" +
    "local past = log.newest - p[2]\n" +
    "local kept, sum = prefix(log, function(stamp, each)\n" +
    "return stamp <= past or each ~= log.top\n" +
    "end)\n" +
    "if sum ~= log.top then\n" +
    "cut(log, kept + 1)\n" +
    "return\n" +
    "end\n" +
    "cut(log, kept)\n" +
    "end\n" +
    "end\n" +
    "local function takeNewest(log, cost)\n" +
    "local used = between(log, log.base, log.top)\n" +
    "local left = math.max(0, used - cost)\n" +
    "if left == used then\n" +
    "return\n" +
    "end\n" +
    "local whole = left == 0 and -1 or prefix(log, function(_, sum)\n" +
    "return between(log, log.base, sum) < left\n" +
    "end)\n" +
    "log.top = (log.base + left) % costRange(log.width)\n" +
    "cut(log, whole + 1)\n" +
    "if log.count > 0 then\n" +
    "writeCall(log, log.count, log.newest, log.top)\n" +
    "end\n" +
    "end\n" +
    "local function correct(log, index, change)\n" +
    "local range = costRange(log.width)\n" +
    "local from, to = index, log.count\n" +
    "if index <= log.count / 2 then\n" +
    "from, to, change = 1, index - 1, -change\n" +
    "log.base = (log.base + change) % range\n" +
    "else\n" +
    "log.top = (log.top + change) % range\n" +
    "end\n" +
    "rewrite(log, from, to, function(kept, sum)\n" +
    "return kept, (sum + change) % range\n" +
    "end)\n" +
    "end\n" +
    "local function takeStarted(log, cost, now)\n" +
    "local last, sum = through(log, now)\n" +
    "local used = between(log, log.base, sum)\n" +
    "local left = math.max(0, used - cost)\n" +
    "if left == used then\n" +
    "return\n" +
    "end\n" +
    "local whole = prefix(log, function(stamp, each)\n" +
    "return stamp <= now and between(log, log.base, each) < left\n" +
    "end)\n" +
    "rewrite(log, whole + 1, last, function(kept)\n" +
    "return kept, sum\n" +
    "end)\n" +
    "correct(log, whole + 1, left - used)\n" +
    "end\n" +
    "local function find(log, stamp)\n" +
    "local before, base = prefix(log, function(each)\n" +
    "return each < stamp\n" +
    "end)\n" +
    "if before == log.count then\n" +
    "return nil\n" +
    "end\n" +
    "local found, sum = callAt(log, before + 1)\n" +
    "return found == stamp and before + 1 or nil, base, sum\n" +
    "end\n" +
    "local function takeAt(log, stamp, cost, p)\n" +
    "local index, before, sum = find(log, stamp)\n" +
    "if not index then\n" +
    "return\n" +
    "end\n" +
    "local whole = between(log, before, sum)\n" +
    "correct(log, index, -math.min(cost, whole))\n" +
    "if index == log.count and cost >= whole then\n" +
    "trim(log, p)\n" +
    "end\n" +
    "end\n" +
    "local function addAt(log, stamp, added, now, p)\n" +
    "local index, before, sum = find(log, stamp)\n" +
    "if not index then\n" +
    "return\n" +
    "end\n" +
    "if log.newest > now then\n" +
    "local _, gone = through(log, stamp - p[2])\n" +
    "local _, last = through(log, stamp + p[2] - 1)\n" +
    "local around = between(log, gone, before) + between(log, before, sum) + between(log, sum, last)\n" +
    "if around + added >= costRange(log.width) and log.width == narrow then\n" +
    "widen(log)\n" +
    "end\n" +
    "added = math.max(0, math.min(added, costRange(log.width) - 1 - around))\n" +
    "end\n" +
    "correct(log, index, added)\n" +
    "end\n" +
    "local function heal(log, clock, p)\n" +
    "local seen = log.seen > 0 and log.seen or log.newest\n" +
    "if clock >= seen then\n" +
    "return clock\n" +
    "end\n" +
    "local back = seen - clock\n" +
    "if back <= p[2] then\n" +
    "return seen\n" +
    "end\n" +
    "rewrite(log, 1, log.count, function(kept, sum)\n" +
    "return math.max(0, momentOf(log, kept) - back) % stampRange, sum\n" +
    "end)\n" +
    "log.newest = math.max(0, log.newest - back)\n" +
    "if log.seen > 0 then\n" +
    "log.seen = clock\n" +
    "end\n" +
    "return clock\n" +
    "end\n" +
    "local function usedAt(log, moment, p)\n" +
    "local past = moment - p[2]\n" +
    "if log.count == 0 or log.newest <= past then\n" +
    "return 0\n" +
    "end\n" +
    "local _, sum = through(log, past)\n" +
    "return between(log, sum, log.top)\n" +
    "end\n" +
    "local function firstFit(log, from, cost, p)\n" +
    "local past = from - p[2]\n" +
    "if log.count == 0 or log.newest <= past then\n" +
    "return from\n" +
    "end\n" +
    "local _, gone = through(log, past)\n" +
    "local over = between(log, gone, log.top) + cost - p[1]\n" +
    "if over <= 0 then\n" +
    "return from\n" +
    "end\n" +
    "local index = prefix(log, function(stamp, sum)\n" +
    "return stamp <= past or between(log, gone, sum) < over\n" +
    "end)\n" +
    "return callAt(log, index + 1) + p[2]\n" +
    "end\n" +
    "return {\n" +
    "open = function(key, p)\n" +
    "local header = redis.call(\"GETRANGE\", key, 0, headerSize - 1)\n" +
    "local width = p[1] <= 32767 and narrow or wide\n" +
    "local log =\n" +
    "{ key = key, newest = 0, seen = 0, base = 0, top = 0, first = 0, count = 0, capacity = 0, width = width }\n" +
    "if #header < headerSize or string.byte(header) ~= mark then\n" +
    "return log\n" +
    "end\n" +
    "local _\n" +
    "_, log.newest, log.seen, log.base, log.top, log.first, log.count, log.capacity, log.width =\n" +
    "struct.unpack(headerFormat, header)\n" +
    "if log.width ~= width and log.count == 0 then\n" +
    "log.base, log.top, log.capacity, log.width = 0, 0, 0, width\n" +
    "elseif log.width < width then\n" +
    "widen(log)\n" +
    "end\n" +
    "return log\n" +
    "end,\n" +
    "save = function(log, lifetime)\n" +
    "if log.changed then\n" +
    "local header = struct.pack(\n" +
    "headerFormat,\n" +
    "mark,\n" +
    "log.newest,\n" +
    "log.seen,\n" +
    "log.base,\n" +
    "log.top,\n" +
    "log.first,\n" +
    "log.count,\n" +
    "log.capacity,\n" +
    "log.width\n" +
    ")\n" +
    "redis.call(\"SETRANGE\", log.key, 0, header)\n" +
    "redis.call(\"PEXPIRE\", log.key, lifetime)\n" +
    "end\n" +
    "end,\n" +
    "step = function(log, clock, earliest, latest, cost, p)\n" +
    "local now = heal(log, clock, p)\n" +
    "local start = cost > p[1] and math.huge or firstFit(log, math.max(now, earliest, log.newest), cost, p)\n" +
    "local waits = start > now\n" +
    "if (waits and start or clock) <= latest then\n" +
    "dropThrough(log, now - p[2])\n" +
    "push(log, start, cost)\n" +
    "log.seen = waits and now or 0\n" +
    "end\n" +
    "return waits and start or clock\n" +
    "end,\n" +
    "amend = function(log, clock, stamp, delta, p)\n" +
    "local now = heal(log, clock, p)\n" +
    "dropThrough(log, now - p[2])\n" +
    "if delta < 0 and stamp ~= -1 then\n" +
    "takeAt(log, stamp, -delta, p)\n" +
    "elseif delta < 0 and log.newest <= now then\n" +
    "takeNewest(log, -delta)\n" +
    "elseif delta < 0 then\n" +
    "takeStarted(log, -delta, now)\n" +
    "else\n" +
    "local used = usedAt(log, math.max(now, log.newest), p)\n" +
    "local added = math.max(0, math.min(delta, mostLogged - used))\n" +
    "if used + added >= costRange(log.width) then\n" +
    "widen(log)\n" +
    "end\n" +
    "if added > 0 and stamp == -1 then\n" +
    "push(log, math.max(now, log.newest), added)\n" +
    "elseif added > 0 then\n" +
    "addAt(log, stamp, added, now, p)\n" +
    "end\n" +
    "end\n" +
    "log.seen = log.newest > now and now or 0\n" +
    "log.changed = true\n" +
    "end,\n" +
    "remaining = function(log, moment, p)\n" +
    "local now = heal(log, moment, p)\n" +
    "return log.newest > now and 0 or math.max(0, p[1] - usedAt(log, now, p))\n" +
    "end,\n" +
    "resetAt = function(log, p)\n" +
    "return log.count == 0 and 0 or log.newest + p[2]\n" +
    "end,\n" +
    "}\n" +
    "end\n" +
    "if name == \"token-bucket\" then\n" +
    "local TAT, PART, SEEN, LATEST, LEAST = 1, 2, 3, 4, 5\n" +
    "local horizon = 4503599627370496\n" +
    "local function ticks(cost, p)\n" +
    "local parts = cost * p[3]\n" +
    "if parts < p[4] then\n" +
    "return cost * p[2], parts\n" +
    "end\n" +
    "local part = parts % p[4]\n" +
    "return cost * p[2] + (parts - part) / p[4], part\n" +
    "end\n" +
    "local function earliestOf(row, p)\n" +
    "return row[TAT] - p[5] + (row[PART] > p[6] and 1 or 0)\n" +
    "end\n" +
    "local function heal(row, clock, p)\n" +
    "local seen = row[SEEN]\n" +
    "if seen == 0 and row[LATEST] == 0 then\n" +
    "seen = earliestOf(row, p)\n" +
    "end\n" +
    "if clock >= seen then\n" +
    "return clock\n" +
    "end\n" +
    "local back = seen - clock\n" +
    "if back <= p[5] + (p[6] > 0 and 1 or 0) then\n" +
    "return seen\n" +
    "end\n" +
    "row.changed = true\n" +
    "row[TAT] = row[TAT] - back\n" +
    "if row[SEEN] > 0 then\n" +
    "row[SEEN] = clock\n" +
    "end\n" +
    "if row[LATEST] > 0 then\n" +
    "row[LATEST] = math.max(0, row[LATEST] - back)\n" +
    "row[LEAST] = math.max(0, row[LEAST] - back)\n" +
    "end\n" +
    "return clock\n" +
    "end\n" +
    "local function spend(row, start, whole, part, p)\n" +
    "local tat, tatPart = row[TAT], row[PART]\n" +
    "if tat < start then\n" +
    "tat, tatPart = start, 0\n" +
    "end\n" +
    "tat, tatPart = tat + whole, tatPart + part\n" +
    "if tatPart >= p[4] then\n" +
    "tat, tatPart = tat + 1, tatPart - p[4]\n" +
    "end\n" +
    "row[TAT] = tat < horizon and tat or horizon\n" +
    "row[PART] = tatPart\n" +
    "end\n" +
    "local function giveBack(row, now, cost, p)\n" +
    "local tat, tatPart = row[TAT], row[PART]\n" +
    "local whole, part = ticks(cost, p)\n" +
    "row[TAT] = tat - whole - (part > tatPart and 1 or 0)\n" +
    "row[PART] = tatPart - part + (part > tatPart and p[4] or 0)\n" +
    "local least = row[LEAST]\n" +
    "if row[LATEST] > now and row[TAT] < least then\n" +
    "row[TAT] = math.min(tat, least)\n" +
    "row[PART] = tat < least and tatPart or 0\n" +
    "end\n" +
    "if row[TAT] < 0 then\n" +
    "row[TAT] = 0\n" +
    "row[PART] = 0\n" +
    "end\n" +
    "end\n" +
    "local function affordable(count, whole, part, p)\n" +
    "local needWhole, needPart = ticks(count, p)\n" +
    "return needWhole < whole or (needWhole == whole and needPart <= part)\n" +
    "end\n" +
    "return {\n" +
    "columns = 5,\n" +
    "step = function(row, clock, earliest, latest, cost, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "local start = earliest > now and earliest or now\n" +
    "if row[LATEST] > start then\n" +
    "start = row[LATEST]\n" +
    "end\n" +
    "local whole, part = ticks(cost, p)\n" +
    "if cost > p[1] then\n" +
    "start = math.huge\n" +
    "else\n" +
    "local over = row[PART] + part - p[6]\n" +
    "local due = row[TAT] + whole - p[5] + (over > p[4] and 2 or over > 0 and 1 or 0)\n" +
    "if due > start then\n" +
    "start = due < horizon and due or math.huge\n" +
    "end\n" +
    "end\n" +
    "local waits = start > now\n" +
    "if (waits and start or clock) <= latest then\n" +
    "if waits then\n" +
    "local least = row[LATEST] > now and row[LEAST] or 0\n" +
    "row[LEAST] = math.min(math.max(least, start) + whole + (part > 0 and 1 or 0), horizon)\n" +
    "row[SEEN] = now\n" +
    "row[LATEST] = start\n" +
    "else\n" +
    "row[LEAST] = 0\n" +
    "row[SEEN] = 0\n" +
    "row[LATEST] = 0\n" +
    "end\n" +
    "spend(row, start, whole, part, p)\n" +
    "end\n" +
    "return waits and start or clock\n" +
    "end,\n" +
    "amend = function(row, clock, stamp, delta, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "if delta > 0 then\n" +
    "local whole, part = ticks(math.min(delta, p[7]), p)\n" +
    "spend(row, stamp == -1 and now or 0, whole, part, p)\n" +
    "if row[LATEST] > now then\n" +
    "row[LEAST] = math.min(row[LEAST] + whole + (part > 0 and 1 or 0), horizon)\n" +
    "end\n" +
    "else\n" +
    "giveBack(row, now, math.min(-delta, p[7]), p)\n" +
    "end\n" +
    "if earliestOf(row, p) > now then\n" +
    "row[SEEN] = math.max(now, 1)\n" +
    "elseif row[LATEST] <= now then\n" +
    "row[SEEN] = 0\n" +
    "row[LATEST] = 0\n" +
    "row[LEAST] = 0\n" +
    "end\n" +
    "end,\n" +
    "remaining = function(row, clock, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "if row[LATEST] > now then\n" +
    "return 0\n" +
    "end\n" +
    "local tat = row[TAT]\n" +
    "if tat < now or (tat == now and row[PART] == 0) then\n" +
    "return p[1]\n" +
    "end\n" +
    "local whole = p[5] + now - tat\n" +
    "if p[4] == 1 then\n" +
    "return whole > 0 and math.floor(whole / p[2]) or 0\n" +
    "end\n" +
    "local part = p[6] - row[PART]\n" +
    "if part < 0 then\n" +
    "whole = whole - 1\n" +
    "part = part + p[4]\n" +
    "end\n" +
    "if whole < 0 then\n" +
    "return 0\n" +
    "end\n" +
    "local count = math.min(p[1], math.floor((whole + part / p[4]) / (p[2] + p[3] / p[4])))\n" +
    "while not affordable(count, whole, part, p) do\n" +
    "count = count - 1\n" +
    "end\n" +
    "while affordable(count + 1, whole, part, p) do\n" +
    "count = count + 1\n" +
    "end\n" +
    "return count\n" +
    "end,\n" +
    "resetAt = function(row)\n" +
    "return row[PART] > 0 and row[TAT] + 1 or row[TAT]\n" +
    "end,\n" +
    "}\n" +
    "end\n" +
    "if name == \"token-bucket-interval\" then\n" +
    "local REFILL, MISSING, SEEN, LATEST, LEAST = 1, 2, 3, 4, 5\n" +
    "local function heal(row, clock, p)\n" +
    "local written = row[MISSING] == 0 and 0 or row[REFILL]\n" +
    "local seen = row[LATEST] > 0 and row[SEEN] or written\n" +
    "if clock >= seen then\n" +
    "return clock\n" +
    "end\n" +
    "local back = seen - clock\n" +
    "if back <= p[4] then\n" +
    "return seen\n" +
    "end\n" +
    "row.changed = true\n" +
    "row[REFILL] = math.max(0, row[REFILL] - back)\n" +
    "if row[SEEN] > 0 then\n" +
    "row[SEEN] = clock\n" +
    "end\n" +
    "if row[LATEST] > 0 then\n" +
    "row[LATEST] = math.max(0, row[LATEST] - back)\n" +
    "end\n" +
    "return clock\n" +
    "end\n" +
    "local function refillsUntil(row, moment, p)\n" +
    "return math.max(0, math.floor((moment - row[REFILL]) / p[3]))\n" +
    "end\n" +
    "local function advance(row, moment, p)\n" +
    "local missing = row[MISSING]\n" +
    "local refills = refillsUntil(row, moment, p)\n" +
    "if refills >= math.ceil(missing / p[2]) then\n" +
    "row[REFILL] = moment\n" +
    "row[MISSING] = 0\n" +
    "elseif refills > 0 then\n" +
    "row[REFILL] = row[REFILL] + refills * p[3]\n" +
    "row[MISSING] = missing - refills * p[2]\n" +
    "end\n" +
    "end\n" +
    "return {\n" +
    "columns = 5,\n" +
    "step = function(row, clock, earliest, latest, cost, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "local start = math.max(now, earliest, row[LATEST])\n" +
    "if cost > p[1] then\n" +
    "start = math.huge\n" +
    "else\n" +
    "local short = row[MISSING] + cost - p[1]\n" +
    "if short > 0 then\n" +
    "start = math.max(start, row[REFILL] + math.ceil(short / p[2]) * p[3])\n" +
    "end\n" +
    "end\n" +
    "local waits = start > now\n" +
    "if (waits and start or clock) <= latest then\n" +
    "if waits then\n" +
    "local least = row[LATEST] > now and row[LEAST] or 0\n" +
    "row[LEAST] = math.max(0, least - refillsUntil(row, start, p) * p[2]) + cost\n" +
    "row[SEEN] = now\n" +
    "row[LATEST] = start\n" +
    "else\n" +
    "row[LEAST] = 0\n" +
    "row[SEEN] = 0\n" +
    "row[LATEST] = 0\n" +
    "end\n" +
    "advance(row, start, p)\n" +
    "row[MISSING] = row[MISSING] + cost\n" +
    "end\n" +
    "return waits and start or clock\n" +
    "end,\n" +
    "amend = function(row, clock, stamp, delta, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "local waiting = row[LATEST] > now\n" +
    "local correction = delta > 0 and stamp ~= -1\n" +
    "if waiting then\n" +
    "row[LEAST] = math.min(row[LEAST] + math.max(0, delta), p[5])\n" +
    "else\n" +
    "row[SEEN] = 0\n" +
    "row[LATEST] = 0\n" +
    "row[LEAST] = 0\n" +
    "if not correction then\n" +
    "advance(row, now, p)\n" +
    "end\n" +
    "end\n" +
    "row[MISSING] = math.max(row[LEAST], math.min(row[MISSING] + delta, p[5]))\n" +
    "if correction and not waiting then\n" +
    "advance(row, now, p)\n" +
    "end\n" +
    "end,\n" +
    "remaining = function(row, clock, p)\n" +
    "local now = heal(row, clock, p)\n" +
    "if row[LATEST] > now then\n" +
    "return 0\n" +
    "end\n" +
    "local missing = row[MISSING]\n" +
    "local refills = refillsUntil(row, now, p)\n" +
    "if refills >= math.ceil(missing / p[2]) then\n" +
    "return p[1]\n" +
    "end\n" +
    "return math.max(0, p[1] - missing + refills * p[2])\n" +
    "end,\n" +
    "resetAt = function(row, p)\n" +
    "local missing = row[MISSING]\n" +
    "return missing == 0 and row[LATEST] or row[REFILL] + math.ceil(missing / p[2]) * p[3]\n" +
    "end,\n" +
    "}\n" +
    "end\n" +
    "end\n" +
    "local call, tonumber, format = redis.call, tonumber, string.format\n" +
    "local arguments = decoded and { \"consume\", \"0\", \"\", \"-1\" } or ARGV\n" +
    "local verb = arguments[1]\n" +
    "local now = tonumber(arguments[2])\n" +
    "local isGiven = now ~= 0\n" +
    "if not isGiven then\n" +
    "local time = call(\"TIME\")\n" +
    "now = time[1] * 1000000 + time[2]\n" +
    "end\n" +
    "local function marginOf(policy)\n" +
    "return isGiven and 3600000000 or policy[#policy - 1] * 1000\n" +
    "end\n" +
    "local largest = 9007199254740991\n" +
    "local reached = 2\n" +
    "local reply = { now }\n" +
    "local taken = 0\n" +
    "local odd\n" +
    "local foreign = \"!WRONGTYPE Operation against a key holding the wrong kind of value\"\n" +
    "while verb == \"consume\" and reached < #arguments do\n" +
    "decoded = decoded or cjson.decode(arguments[reached + 1])\n" +
    "local only, keys = decoded[1], -arguments[reached + 2]\n" +
    "local short = keys > 0 and not decoded[2] and newSingle(only[#only])\n" +
    "if not short then\n" +
    "break\n" +
    "end\n" +
    "decoded = nil\n" +
    "reached = reached + 2\n" +
    "local margin = marginOf(only)\n" +
    "local newValue, newExpiry\n" +
    "local told = #reply\n" +
    "local values = call(\"MGET\", unpack(KEYS, taken + 1, taken + keys))\n" +
    "for index = 1, keys do\n" +
    "local key, value = KEYS[taken + index], values[index]\n" +
    "if value then\n" +
    "reply[told + index] = value\n" +
    "if not takeShort(key, value, short, only, now, margin) then\n" +
    "odd = odd or {}\n" +
    "odd[#odd + 1] = { place = told + index, key = key, value = value, policy = only }\n" +
    "end\n" +
    "else\n" +
    "if not newValue then\n" +
    "local after, rest, resetAt = short(0, 0, now, only)\n" +
    "newValue = rest > 0 and format(\"%d %d\", after, rest) or format(\"%d\", after)\n" +
    "newExpiry = format(\"%d\", (resetAt - resetAt % margin + 2 * margin - now) / 1000 + 1)\n" +
    "end\n" +
    "reply[told + index] = not call(\"SET\", key, newValue, \"PX\", newExpiry, \"NX\") and foreign\n" +
    "end\n" +
    "end\n" +
    "taken = taken + keys\n" +
    "end\n" +
    "if verb == \"consume\" and reached == #arguments and not odd then\n" +
    "return reply\n" +
    "end\n" +
    "local match, gmatch = string.match, string.gmatch\n" +
    "local function read()\n" +
    "reached = reached + 1\n" +
    "return arguments[reached]\n" +
    "end\n" +
    "local function number()\n" +
    "reached = reached + 1\n" +
    "return tonumber(arguments[reached])\n" +
    "end\n" +
    "local function isWhole(value)\n" +
    "return value and value >= 0 and value <= largest and value % 1 == 0\n" +
    "end\n" +
    "local loaded = {}\n" +
    "local function prepare(policy)\n" +
    "local name = policy[#policy]\n" +
    "loaded[name] = loaded[name] or newAlgorithm(name)\n" +
    "policy.algorithm = loaded[name]\n" +
    "policy.margin = marginOf(policy)\n" +
    "end\n" +
    "local function limiter()\n" +
    "local text = read()\n" +
    "local policies = decoded or cjson.decode(text)\n" +
    "decoded = nil\n" +
    "for index = 1, #policies do\n" +
    "prepare(policies[index])\n" +
    "end\n" +
    "return policies\n" +
    "end\n" +
    "local function lifetime(resetAt, policy)\n" +
    "local latest = math.max(resetAt, now)\n" +
    "return format(\"%d\", (latest - latest % policy.margin + 2 * policy.margin - now) / 1000 + 1)\n" +
    "end\n" +
    "local function fill(row, value)\n" +
    "local one = tonumber(value)\n" +
    "row[1], row[2], row[3], row[4], row[5] = one or 0, 0, 0, 0, 0\n" +
    "if one then\n" +
    "if isWhole(one) then\n" +
    "return value\n" +
    "end\n" +
    "row[1] = 0\n" +
    "return false\n" +
    "end\n" +
    "if not value then\n" +
    "return false\n" +
    "end\n" +
    "local first, second = match(value, \"^(%d+) (%d+)$\")\n" +
    "if first then\n" +
    "first, second = tonumber(first), tonumber(second)\n" +
    "if first <= largest and second <= largest then\n" +
    "row[1], row[2] = first, second\n" +
    "return value\n" +
    "end\n" +
    "return false\n" +
    "end\n" +
    "local column = 0\n" +
    "for text in gmatch(value, \"%S+\") do\n" +
    "column = column + 1\n" +
    "local figure = match(text, \"^%d+$\") and tonumber(text)\n" +
    "if column > 5 or not figure or figure > largest then\n" +
    "row[1], row[2], row[3], row[4], row[5] = 0, 0, 0, 0, 0\n" +
    "return false\n" +
    "end\n" +
    "row[column] = figure\n" +
    "end\n" +
    "return value\n" +
    "end\n" +
    "local function newRow(key, value)\n" +
    "local row = { key = key }\n" +
    "row.was = fill(row, value)\n" +
    "return row\n" +
    "end\n" +
    "local function open(key, policy)\n" +
    "local program = policy.algorithm\n" +
    "if program.open then\n" +
    "return program.open(key, policy)\n" +
    "end\n" +
    "return newRow(key, call(\"GET\", key))\n" +
    "end\n" +
    "local function openAll(at, policies)\n" +
    "local states = {}\n" +
    "for index, policy in ipairs(policies) do\n" +
    "states[index] = open(KEYS[at + index], policy)\n" +
    "end\n" +
    "return states\n" +
    "end\n" +
    "local formats = { \"%d\", \"%d %d\", \"%d %d %d\", \"%d %d %d %d\", \"%d %d %d %d %d\" }\n" +
    "local function textOf(row)\n" +
    "local one, two, three, four, five = row[1], row[2], row[3], row[4], row[5]\n" +
    "local columns = five ~= 0 and 5 or four ~= 0 and 4 or three ~= 0 and 3 or two ~= 0 and 2 or 1\n" +
    "return format(formats[columns], one, two, three, four, five)\n" +
    "end\n" +
    "local function save(state, policy)\n" +
    "local program = policy.algorithm\n" +
    "local resetAt = program.resetAt(state, policy)\n" +
    "if program.save then\n" +
    "program.save(state, lifetime(resetAt, policy))\n" +
    "else\n" +
    "call(\"SET\", state.key, textOf(state), \"PX\", lifetime(resetAt, policy))\n" +
    "end\n" +
    "end\n" +
    "local function report(state, policy, granted, start, moment)\n" +
    "local program = policy.algorithm\n" +
    "local wait = start == math.huge and -1 or start - now\n" +
    "local reset = math.max(0, program.resetAt(state, policy) - moment)\n" +
    "return granted, wait, program.remaining(state, moment, policy), reset\n" +
    "end\n" +
    "local function consumeEach(first, policies, plain, keys)\n" +
    "local function consume(states, asked, cost)\n" +
    "local granted = asked\n" +
    "local starts = {}\n" +
    "for index, policy in ipairs(policies) do\n" +
    "local program = policy.algorithm\n" +
    "starts[index] = program.step(states[index], now, now, -1, cost, policy)\n" +
    "if starts[index] > now then\n" +
    "granted = 0\n" +
    "elseif asked > 1 then\n" +
    "granted = math.min(granted, math.floor(program.remaining(states[index], now, policy) / cost))\n" +
    "end\n" +
    "end\n" +
    "if granted > 0 then\n" +
    "for index, policy in ipairs(policies) do\n" +
    "local program = policy.algorithm\n" +
    "program.step(states[index], now, now, now, cost * granted, policy)\n" +
    "states[index].changed = true\n" +
    "if granted < asked then\n" +
    "starts[index] = program.step(states[index], now, now, -1, cost, policy)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "return granted, starts\n" +
    "end\n" +
    "local function consumeKey(at, runs)\n" +
    "local states = openAll(at, policies)\n" +
    "for index = 1, #policies do\n" +
    "reply[#reply + 1] = states[index].was\n" +
    "end\n" +
    "for run = 1, #runs, 2 do\n" +
    "local granted, starts = consume(states, runs[run + 1], runs[run])\n" +
    "for index, policy in ipairs(policies) do\n" +
    "if policy.algorithm.open then\n" +
    "for _, figure in ipairs({ report(states[index], policy, granted, starts[index], now) }) do\n" +
    "reply[#reply + 1] = figure\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "for index, policy in ipairs(policies) do\n" +
    "if states[index].changed then\n" +
    "save(states[index], policy)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "local function readRuns()\n" +
    "local runs = {}\n" +
    "local more = true\n" +
    "while more do\n" +
    "local cost, asked = number(), number()\n" +
    "more = asked < 0\n" +
    "runs[#runs + 1] = cost\n" +
    "runs[#runs + 1] = math.abs(asked)\n" +
    "end\n" +
    "return runs\n" +
    "end\n" +
    "local function placesOf(runs)\n" +
    "local places = 0\n" +
    "for _, policy in ipairs(policies) do\n" +
    "places = places + (policy.algorithm.open and 2 * #runs or 1)\n" +
    "end\n" +
    "return places\n" +
    "end\n" +
    "local at = first\n" +
    "for _ = 1, keys do\n" +
    "local asked = plain and { 1, 1 } or readRuns()\n" +
    "local told = #reply\n" +
    "local fine, thrown = pcall(consumeKey, at, asked)\n" +
    "if not fine then\n" +
    "local text = type(thrown) == \"table\" and thrown.err or tostring(thrown)\n" +
    "local code = match(text, \"%u%u%u+\")\n" +
    "if code and code ~= \"WRONGTYPE\" then\n" +
    "return at, text\n" +
    "end\n" +
    "for place = told + 1, told + placesOf(asked) do\n" +
    "reply[place] = \"!\" .. text\n" +
    "end\n" +
    "end\n" +
    "at = at + #policies\n" +
    "end\n" +
    "return at\n" +
    "end\n" +
    "if odd then\n" +
    "for _, each in ipairs(odd) do\n" +
    "local policy = each.policy\n" +
    "prepare(policy)\n" +
    "local row = newRow(each.key, each.value)\n" +
    "reply[each.place] = row.was\n" +
    "if policy.algorithm.step(row, now, now, now, 1, policy) <= now or row.changed then\n" +
    "save(row, policy)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "if verb == \"consume\" then\n" +
    "while reached < #arguments do\n" +
    "local policies, keys = limiter(), number()\n" +
    "local only = policies[1]\n" +
    "local program = only.algorithm\n" +
    "if keys < 0 and not policies[2] and not program.open then\n" +
    "local row = {}\n" +
    "local newValue, newExpiry\n" +
    "local told = #reply\n" +
    "local values = call(\"MGET\", unpack(KEYS, taken + 1, taken - keys))\n" +
    "for index = 1, -keys do\n" +
    "local value = values[index]\n" +
    "reply[told + index] = fill(row, value)\n" +
    "row.changed = false\n" +
    "if value then\n" +
    "local before = program.resetAt(row, only)\n" +
    "if program.step(row, now, now, now, 1, only) <= now or row.changed then\n" +
    "local resetAt = program.resetAt(row, only)\n" +
    "if resetAt == before and resetAt > now and reply[told + index] then\n" +
    "call(\"SET\", KEYS[taken + index], textOf(row), \"KEEPTTL\")\n" +
    "else\n" +
    "call(\"SET\", KEYS[taken + index], textOf(row), \"PX\", lifetime(resetAt, only))\n" +
    "end\n" +
    "end\n" +
    "else\n" +
    "if not newValue then\n" +
    "program.step(row, now, now, now, 1, only)\n" +
    "newValue, newExpiry = textOf(row), lifetime(program.resetAt(row, only), only)\n" +
    "end\n" +
    "reply[told + index] = not call(\"SET\", KEYS[taken + index], newValue, \"PX\", newExpiry, \"NX\") and foreign\n" +
    "end\n" +
    "end\n" +
    "taken = taken - keys\n" +
    "else\n" +
    "local failed\n" +
    "taken, failed = consumeEach(taken, policies, keys < 0, math.abs(keys))\n" +
    "if failed then\n" +
    "return redis.error_reply(failed)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "return reply\n" +
    "end\n" +
    "local function isKnown(state)\n" +
    "return state.was or (state.count or 0) > 0\n" +
    "end\n" +
    "local longestLine = 65536\n" +
    "local tooLate = -2\n" +
    "local function hasLine(policies)\n" +
    "for _, policy in ipairs(policies) do\n" +
    "if not policy.algorithm.open then\n" +
    "return true\n" +
    "end\n" +
    "end\n" +
    "return false\n" +
    "end\n" +
    "local function readLine(key, policies, last)\n" +
    "return hasLine(policies) and call(\"LRANGE\", key, 0, last) or {}\n" +
    "end\n" +
    "local function rowsText(states, policies)\n" +
    "local texts = {}\n" +
    "for index, policy in ipairs(policies) do\n" +
    "texts[index] = policy.algorithm.open and \"-\" or textOf(states[index])\n" +
    "end\n" +
    "return table.concat(texts, \",\")\n" +
    "end\n" +
    "local function rowsOf(text)\n" +
    "local rows = {}\n" +
    "for row in gmatch(text, \"[^,]+\") do\n" +
    "rows[#rows + 1] = newRow(nil, row)\n" +
    "end\n" +
    "return rows\n" +
    "end\n" +
    "local function stands(line, states, policies)\n" +
    "return line[2] == rowsText(states, policies) and tonumber(line[3]) > now\n" +
    "end\n" +
    "local function startOf(event)\n" +
    "return match(event, \"^%*\") and 0 or tonumber(match(event, \"%d+$\"))\n" +
    "end\n" +
    "local function replay(rows, policies, event)\n" +
    "local name, moment, cost, rest = match(event, \"^(%S+) (%d+) (%-?%d+) (.*)$\")\n" +
    "moment, cost = tonumber(moment), tonumber(cost)\n" +
    "local stamps = gmatch(rest, \"%S+\")\n" +
    "local start = name ~= \"*\" and tonumber(rest)\n" +
    "for index, policy in ipairs(policies) do\n" +
    "local program = policy.algorithm\n" +
    "local stamp = start or tonumber(stamps())\n" +
    "if start and not program.open then\n" +
    "program.step(rows[index], moment, start, largest, cost, policy)\n" +
    "elseif not program.open and stamp ~= tooLate then\n" +
    "program.amend(rows[index], moment, stamp, cost, policy)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "local function expire(key, states, policies)\n" +
    "local resetAt = 0\n" +
    "for index, policy in ipairs(policies) do\n" +
    "resetAt = math.max(resetAt, policy.algorithm.resetAt(states[index], policy))\n" +
    "end\n" +
    "call(\"PEXPIRE\", key, lifetime(resetAt, policies[1]))\n" +
    "end\n" +
    "local function enter(key, line, before, name, cost, start, states, policies)\n" +
    "local first = 3\n" +
    "if line[2] == before and tonumber(line[3]) > now then\n" +
    "local event = line[4]\n" +
    "local rows = rowsOf(line[1])\n" +
    "while event and startOf(event) <= now do\n" +
    "replay(rows, policies, event)\n" +
    "first = first + 1\n" +
    "event = call(\"LINDEX\", key, first)\n" +
    "end\n" +
    "before = rowsText(rows, policies)\n" +
    "call(\"LTRIM\", key, first, -1)\n" +
    "else\n" +
    "call(\"DEL\", key)\n" +
    "end\n" +
    "call(\"LPUSH\", key, format(\"%d\", start), rowsText(states, policies), before)\n" +
    "call(\"RPUSH\", key, format(\"%s %d %d %d\", name, now, cost, start))\n" +
    "expire(key, states, policies)\n" +
    "end\n" +
    "local function correctionOf(delta, stamps)\n" +
    "local texts = {}\n" +
    "for index, stamp in ipairs(stamps) do\n" +
    "texts[index] = format(\"%d\", stamp)\n" +
    "end\n" +
    "return format(\"* %d %d %s\", now, delta, table.concat(texts, \" \"))\n" +
    "end\n" +
    "local function record(key, corrections, states, policies)\n" +
    "call(\"LSET\", key, 1, rowsText(states, policies))\n" +
    "if call(\"RPUSH\", key, unpack(corrections)) > longestLine then\n" +
    "call(\"LTRIM\", key, 0, -1 - #corrections)\n" +
    "call(\"LSET\", key, 1, \"\")\n" +
    "end\n" +
    "expire(key, states, policies)\n" +
    "end\n" +
    "local function correct(state, policy, stamp, delta)\n" +
    "if stamp ~= tooLate and (isKnown(state) or (delta > 0 and stamp == -1)) then\n" +
    "policy.algorithm.amend(state, now, stamp, delta, policy)\n" +
    "state.amended = true\n" +
    "end\n" +
    "end\n" +
    "local function saveAmended(states, policies)\n" +
    "for index, policy in ipairs(policies) do\n" +
    "local state = states[index]\n" +
    "if state.amended or state.changed then\n" +
    "if not policy.algorithm.open and textOf(state) == \"0\" then\n" +
    "call(\"DEL\", state.key)\n" +
    "else\n" +
    "save(state, policy)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "local function readGrant(states, policies)\n" +
    "local still, stamps, resets = true, {}, {}\n" +
    "for index, policy in ipairs(policies) do\n" +
    "local after = read()\n" +
    "stamps[index], resets[index] = number(), number()\n" +
    "still = still and (policy.algorithm.open or states[index].was == after)\n" +
    "end\n" +
    "for index, policy in ipairs(policies) do\n" +
    "if not still and not policy.algorithm.open and (resets[index] <= now or not states[index].was) then\n" +
    "stamps[index] = tooLate\n" +
    "end\n" +
    "end\n" +
    "return still, stamps\n" +
    "end\n" +
    "if verb == \"decide\" then\n" +
    "local maxWait, shortest, name = number(), number(), read()\n" +
    "local asks = {}\n" +
    "local start = now + shortest\n" +
    "local at = 0\n" +
    "for index = 1, number() do\n" +
    "local ask = { cost = number(), policies = limiter(), starts = {} }\n" +
    "ask.states = openAll(at, ask.policies)\n" +
    "for place, policy in ipairs(ask.policies) do\n" +
    "local own = policy.algorithm.step(ask.states[place], now, now, -1, ask.cost, policy)\n" +
    "ask.starts[place] = own\n" +
    "start = math.max(start, own)\n" +
    "end\n" +
    "at = at + #ask.policies\n" +
    "if maxWait > 0 then\n" +
    "at = at + 1\n" +
    "ask.key = KEYS[at]\n" +
    "ask.line = readLine(ask.key, ask.policies, 3)\n" +
    "end\n" +
    "asks[index] = ask\n" +
    "end\n" +
    "local granted = start <= now + maxWait and start < math.huge\n" +
    "for _, ask in ipairs(asks) do\n" +
    "local states, policies = ask.states, ask.policies\n" +
    "local waits = granted and start > now and hasLine(policies)\n" +
    "local before = waits and rowsText(states, policies)\n" +
    "for place, policy in ipairs(policies) do\n" +
    "local state = states[place]\n" +
    "if granted then\n" +
    "policy.algorithm.step(state, now, start, start, ask.cost, policy)\n" +
    "end\n" +
    "if granted or state.changed then\n" +
    "save(state, policy)\n" +
    "end\n" +
    "if policy.algorithm.open then\n" +
    "local moment = granted and start or now\n" +
    "for _, figure in ipairs({ report(state, policy, granted and 1 or 0, ask.starts[place], moment) }) do\n" +
    "reply[#reply + 1] = figure\n" +
    "end\n" +
    "else\n" +
    "reply[#reply + 1] = state.was\n" +
    "end\n" +
    "end\n" +
    "if waits then\n" +
    "enter(ask.key, ask.line, before, name, ask.cost, start, states, policies)\n" +
    "end\n" +
    "end\n" +
    "elseif verb == \"amend\" then\n" +
    "local delta, policies, stamps = number(), limiter(), {}\n" +
    "local key = KEYS[#policies + 1]\n" +
    "local states = openAll(0, policies)\n" +
    "local standing = stands(readLine(key, policies, 2), states, policies)\n" +
    "for index, policy in ipairs(policies) do\n" +
    "local state = states[index]\n" +
    "stamps[index] = number()\n" +
    "reply[#reply + 1] = state.was\n" +
    "correct(state, policy, stamps[index], delta)\n" +
    "if policy.algorithm.open then\n" +
    "for _, figure in ipairs({ report(state, policy, 1, now, now) }) do\n" +
    "reply[#reply + 1] = figure\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "saveAmended(states, policies)\n" +
    "if standing then\n" +
    "record(key, { correctionOf(delta, stamps) }, states, policies)\n" +
    "end\n" +
    "elseif verb == \"settle\" then\n" +
    "local delta, policies = number(), limiter()\n" +
    "local key = KEYS[#policies + 1]\n" +
    "local states = openAll(0, policies)\n" +
    "local standing = stands(readLine(key, policies, 2), states, policies)\n" +
    "local _, stamps = readGrant(states, policies)\n" +
    "local corrections = { correctionOf(delta, stamps) }\n" +
    "for index, policy in ipairs(policies) do\n" +
    "correct(states[index], policy, stamps[index], delta)\n" +
    "local backAt, limit, window = 0, 0, 1\n" +
    "if delta > 0 then\n" +
    "backAt, limit, window = number(), number(), number()\n" +
    "end\n" +
    "local owed = math.min(delta, math.ceil(math.max(0, backAt - now) * limit / window))\n" +
    "if stamps[index] == tooLate and owed > 0 then\n" +
    "correct(states[index], policy, -1, owed)\n" +
    "local only = {}\n" +
    "for place = 1, #policies do\n" +
    "only[place] = place == index and -1 or tooLate\n" +
    "end\n" +
    "corrections[#corrections + 1] = correctionOf(owed, only)\n" +
    "end\n" +
    "end\n" +
    "saveAmended(states, policies)\n" +
    "if standing then\n" +
    "record(key, corrections, states, policies)\n" +
    "end\n" +
    "elseif verb == \"undo\" then\n" +
    "local cost, policies = number(), limiter()\n" +
    "local key = KEYS[#policies + 1]\n" +
    "local states = openAll(0, policies)\n" +
    "local standing = stands(readLine(key, policies, 2), states, policies)\n" +
    "local still, stamps = readGrant(states, policies)\n" +
    "for index, policy in ipairs(policies) do\n" +
    "local before = read()\n" +
    "if still and not policy.algorithm.open then\n" +
    "fill(states[index], before)\n" +
    "states[index].amended = true\n" +
    "else\n" +
    "correct(states[index], policy, stamps[index], -cost)\n" +
    "end\n" +
    "end\n" +
    "saveAmended(states, policies)\n" +
    "if standing and not still then\n" +
    "record(key, { correctionOf(-cost, stamps) }, states, policies)\n" +
    "end\n" +
    "elseif verb == \"leave\" then\n" +
    "local policies = limiter()\n" +
    "local key = KEYS[#policies + 1]\n" +
    "local states = openAll(0, policies)\n" +
    "local line = readLine(key, policies, -1)\n" +
    "local whole = line[2] == rowsText(states, policies)\n" +
    "local leavers, byName = {}, {}\n" +
    "for index = 1, number() do\n" +
    "local leaver = { name = read(), cost = number(), stamps = {} }\n" +
    "for place, policy in ipairs(policies) do\n" +
    "local stamp, reset = number(), number()\n" +
    "leaver.stamps[place] = (policy.algorithm.open or reset > now) and stamp or tooLate\n" +
    "leaver.ahead = leaver.ahead or stamp > now\n" +
    "end\n" +
    "leavers[index] = leaver\n" +
    "byName[leaver.name] = leaver\n" +
    "end\n" +
    "local events, newest = {}, 0\n" +
    "local rows = whole and rowsOf(line[1])\n" +
    "for index = 4, #line do\n" +
    "local event = line[index]\n" +
    "local leaver = byName[match(event, \"^%S+\")]\n" +
    "if leaver then\n" +
    "leaver.found = true\n" +
    "else\n" +
    "events[#events + 1] = event\n" +
    "newest = math.max(newest, startOf(event))\n" +
    "if whole then\n" +
    "replay(rows, policies, event)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "for index, policy in ipairs(policies) do\n" +
    "if whole and not policy.algorithm.open then\n" +
    "local state = states[index]\n" +
    "for column = 1, 5 do\n" +
    "state[column] = rows[index][column]\n" +
    "end\n" +
    "state.amended = true\n" +
    "end\n" +
    "end\n" +
    "for _, leaver in ipairs(leavers) do\n" +
    "local inLine = whole and leaver.found\n" +
    "if leaver.found or not leaver.ahead or not hasLine(policies) then\n" +
    "for index, policy in ipairs(policies) do\n" +
    "if policy.algorithm.open or not inLine then\n" +
    "correct(states[index], policy, leaver.stamps[index], -leaver.cost)\n" +
    "end\n" +
    "end\n" +
    "if whole and not inLine then\n" +
    "events[#events + 1] = correctionOf(-leaver.cost, leaver.stamps)\n" +
    "end\n" +
    "end\n" +
    "end\n" +
    "saveAmended(states, policies)\n" +
    "if whole then\n" +
    "call(\"DEL\", key)\n" +
    "if newest > now then\n" +
    "call(\"RPUSH\", key, line[1], rowsText(states, policies), format(\"%d\", newest))\n" +
    "for from = 1, #events, 1000 do\n" +
    "call(\"RPUSH\", key, unpack(events, from, math.min(from + 999, #events)))\n" +
    "end\n" +
    "expire(key, states, policies)\n" +
    "end\n" +
    "end\n" +
    "else\n" +
    "return redis.error_reply(\"ERR unknown verb\")\n" +
    "end\n" +
    "return reply\n",
  sha: "a0181a22404489cfe19fdd32d1bf26c94a291b5b",
};
