-- A semaphore on one key: who holds its permits, and who stands in line for them.
--
-- KEYS[1]  a hash with everything below. One key, so that it expires, is evicted and changes nodes as a whole.
-- ARGV[1]  the verb, and after it:
--   take     permits, set, lease, patience, channel, then id, count ...
--              Takes `count` permits for each `id`, or with patience > 0 puts it in line; asked again, it says what
--              became of it, and holds on to what was granted for a whole lease from now. `permits` is how many there
--              are: it counts from now on when `set` is 1, or when the key knows of none.
--   beat     lease, patience, then id ...
--              Those who wait are still there; those who were granted meanwhile take it up, for a whole lease from now.
--   renew    lease, then id ...
--   release  id ...
--              Gives back what each holds, or its place in line.
--   inspect
-- permits and count are whole numbers, lease and patience µs; ids have no blanks.
--
-- Returns
--   take, beat      {now, soonest, token, expiry ...}, a pair for each id. In place of a token: 0 in line, -1 not now,
--                   -2 never (more than there are), -3 unknown. Nobody's turn comes by time alone before `soonest`.
--   renew           {now, expiry ...}, expiry 0 when it was lost
--   release         {now, 1 or 0 ...}, 0 when the id held nothing any more
--   inspect         {now, permits, held, waiting}, permits 0 when the key knows of none
-- All moments are µs on this server's clock. Whoever is granted permits while in line is told on its channel (PUBLISH:
-- it reaches subscribers on every node of a cluster, so that a process needs one subscription for all its keys):
-- "<id> <token> <now> <expiry>", or "<id> 0 0 0" to ask again, several joined by ";". Until it is heard of, such a
-- grant lasts no longer than its place in line would have.
--
-- Fields
--   state      "<seen> <token> <permits> <held> <waiting> <head> <tail> <soonest> <kept>": the latest moment seen, the
--              last fencing token, how many permits there are and how many are out, how many wait, the first place in
--              line that may be taken and the last given out, a moment before which nothing below runs out, and when
--              this key expires
--   h:<id>     "<expiry> <count> <token>": a holder
--   w:<id>     "<deadline> <count> <place> <lease> <channel>": one who waits, dead at the deadline
--   p:<place>  the id that stands there

local key, verb = KEYS[1], ARGV[1]
local never = 4503599627370496
-- a clock that is set back by less stands still for that long
local tolerance = 1000000
-- how much longer than its holders the key remembers the last token, in case the clock is set back
local memory = 60000000

local function text(number)
  return string.format("%.0f", number)
end

local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]

if verb == "inspect" then
  local all = redis.call("HGETALL", key)
  local permits, held, waiting = 0, 0, 0
  for at = 1, #all, 2 do
    local kind = string.sub(all[at], 1, 2)
    if all[at] == "state" then
      permits = tonumber(string.match(all[at + 1], "^%d+ %d+ (%d+)"))
    elseif kind == "h:" or kind == "w:" then
      local moment, count = string.match(all[at + 1], "^(%d+) (%d+)")
      if tonumber(moment) > now then
        if kind == "h:" then
          held = held + tonumber(count)
        else
          waiting = waiting + 1
        end
      end
    end
  end
  return { now, permits, held, waiting }
end

local seen, token, permits, held, waiting, head, tail, soonest, kept = 0, 0, 0, 0, 0, 1, 0, never, 0
local state = redis.call("HGET", key, "state")
if state then
  local row = {}
  for number in string.gmatch(state, "%d+") do
    row[#row + 1] = tonumber(number)
  end
  seen, token, permits, held, waiting, head, tail, soonest, kept = unpack(row)
end

local function leave(id, place)
  redis.call("HDEL", key, "w:" .. id, "p:" .. place)
  waiting = waiting - 1
end

local function grant(id, count, expiry)
  token = math.max(token + 1, now)
  held = held + count
  soonest = math.min(soonest, expiry)
  redis.call("HSET", key, "h:" .. id, text(expiry) .. " " .. text(count) .. " " .. text(token))
end

-- Holds on to what `id` holds, for a whole lease from now. Returns its token and the new expiry.
local function extend(id, entry, lease)
  local count, first = string.match(entry, "^%d+ (%d+) (%d+)$")
  local expiry = now + lease
  redis.call("HSET", key, "h:" .. id, text(expiry) .. " " .. count .. " " .. first)
  return tonumber(first), expiry
end

-- Drops what has run out, counts what is left, and moves its moments back by `back`.
local function sweep(back)
  local all = redis.call("HGETALL", key)
  held, waiting, soonest = 0, 0, never
  for at = 1, #all, 2 do
    local field = all[at]
    local kind = string.sub(field, 1, 2)
    if kind == "h:" or kind == "w:" then
      local moment, count, third, rest = string.match(all[at + 1], "^(%d+) (%d+) (%d+)(.*)$")
      moment = tonumber(moment) - back
      if moment <= now then
        redis.call("HDEL", key, field)
        if kind == "w:" then
          redis.call("HDEL", key, "p:" .. third)
        end
      else
        soonest = math.min(soonest, moment)
        if kind == "h:" then
          held = held + tonumber(count)
        else
          waiting = waiting + 1
        end
        if back > 0 then
          redis.call("HSET", key, field, text(moment) .. " " .. count .. " " .. third .. rest)
        end
      end
    end
  end
end

-- What is to be told, by channel.
local news = {}

local function tell(channel, id, first, expiry)
  local moment = expiry > 0 and now or 0
  local message = id .. " " .. text(first) .. " " .. text(moment) .. " " .. text(expiry)
  news[channel] = news[channel] and news[channel] .. ";" .. message or message
end

-- Gives what is free to those in line, strictly in order.
local function serve()
  while waiting > 0 and held < permits do
    local place = text(head)
    local id = redis.call("HGET", key, "p:" .. place)
    if id then
      local deadline, size, _, lease, channel =
        string.match(redis.call("HGET", key, "w:" .. id), "^(%d+) (%d+) (%d+) (%d+) (.*)$")
      local count = tonumber(size)
      if count > permits then
        leave(id, place)
        tell(channel, id, 0, 0)
      elseif held + count > permits then
        return
      else
        leave(id, place)
        local expiry = math.min(now + tonumber(lease), tonumber(deadline))
        grant(id, count, expiry)
        tell(channel, id, token, expiry)
      end
    elseif head > tail then
      waiting = 0
      return
    end
    head = head + 1
  end
end

-- Serves the line, writes the state, lets the key live on for `lasting` at least, and tells those who are concerned.
local function finish(lasting)
  if seen == 0 and verb ~= "take" then
    return
  end
  serve()
  local short = now + lasting + memory > kept
  if short then
    kept = now + 2 * (lasting + memory)
  end
  local form = "%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f"
  state = string.format(form, now, token, permits, held, waiting, head, tail, soonest, kept)
  redis.call("HSET", key, "state", state)
  if short then
    redis.call("PEXPIREAT", key, text(math.ceil(kept / 1000)))
  end
  for channel, message in pairs(news) do
    redis.pcall("PUBLISH", channel, message)
  end
end

if verb == "renew" then
  -- may run when memory is full: Redis asks that of the first write of a script only, and never of this one
  redis.call("PEXPIREAT", key, text(math.ceil(kept / 1000)))
end

if seen - now > tolerance then
  sweep(seen - now)
else
  now = math.max(now, seen)
  if now >= soonest then
    sweep(0)
  end
end

if verb == "take" then
  local lease, patience, channel = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
  if ARGV[3] == "1" or permits == 0 then
    permits = tonumber(ARGV[2])
  end
  serve()
  local reply = { now, 0 }
  for at = 7, #ARGV, 2 do
    local id, count = ARGV[at], tonumber(ARGV[at + 1])
    local answer, expiry = -1, 0
    local known = redis.call("HMGET", key, "h:" .. id, "w:" .. id)
    if known[1] then
      answer, expiry = extend(id, known[1], lease)
    elseif known[2] then
      answer = 0
    elseif count > permits then
      answer = -2
    elseif waiting == 0 and held + count <= permits then
      expiry = now + lease
      grant(id, count, expiry)
      answer = token
    elseif patience > 0 then
      tail = tail + 1
      if waiting == 0 then
        head = tail
      end
      waiting = waiting + 1
      soonest = math.min(soonest, now + patience)
      local entry = { text(now + patience), text(count), text(tail), text(lease), channel }
      redis.call("HSET", key, "w:" .. id, table.concat(entry, " "), "p:" .. text(tail), id)
      answer = 0
    end
    reply[at - 4], reply[at - 3] = answer, expiry
  end
  finish(math.max(lease, patience))
  reply[2] = soonest
  return reply
end

if verb == "beat" then
  local lease, patience = tonumber(ARGV[2]), tonumber(ARGV[3])
  serve()
  local reply = { now, 0 }
  for at = 4, #ARGV do
    local id = ARGV[at]
    local answer, expiry = -3, 0
    local known = redis.call("HMGET", key, "h:" .. id, "w:" .. id)
    if known[1] then
      answer, expiry = extend(id, known[1], lease)
    elseif known[2] then
      local count, place, rest = string.match(known[2], "^%d+ (%d+) (%d+)(.*)$")
      if tonumber(count) > permits then
        answer = -2
        leave(id, place)
      else
        answer = 0
        redis.call("HSET", key, "w:" .. id, text(now + patience) .. " " .. count .. " " .. place .. rest)
      end
    end
    reply[#reply + 1] = answer
    reply[#reply + 1] = expiry
  end
  finish(math.max(lease, patience))
  reply[2] = soonest
  return reply
end

if verb == "renew" then
  local lease = tonumber(ARGV[2])
  local reply = { now }
  for at = 3, #ARGV do
    local id = ARGV[at]
    local known = redis.call("HGET", key, "h:" .. id)
    reply[#reply + 1] = known and select(2, extend(id, known, lease)) or 0
  end
  finish(lease)
  return reply
end

local reply = { now }
for at = 2, #ARGV do
  local id = ARGV[at]
  local known = redis.call("HMGET", key, "h:" .. id, "w:" .. id)
  reply[#reply + 1] = known[1] and 1 or 0
  if known[1] then
    redis.call("HDEL", key, "h:" .. id)
    held = held - tonumber(string.match(known[1], "^%d+ (%d+)"))
  elseif known[2] then
    leave(id, string.match(known[2], "^%d+ %d+ (%d+)"))
  end
end
finish(0)
return reply
