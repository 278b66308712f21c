-- A semaphore on one key: who holds its permits, and who stands in line for them.
--
-- KEYS[1]  a hash with everything below. One key, so that it expires, is evicted and changes nodes as a whole.
-- ARGV[1]  the channel of the caller, and after it what is asked, one verb after another, in this order:
--   take     n, permits, new, lease, patience, then n times id, count
--              Takes `count` permits for each `id`, or with patience > 0 puts it in line. `new` is 1 when nobody has
--              heard of these ids: then `permits`, how many there are, counts from now on. Otherwise it says what
--              became of them, and holds on to what was granted for a whole lease from now.
--   beat     n, lease, patience, then n times id, place
--              Those who wait there are still alive; those who were granted meanwhile take it up, for a whole lease
--              from now. With n = 0 it only looks whether time has given something back.
--   renew    n, lease, then n ids
--   release  n, then n ids
--              Gives back what each holds, or its place in line.
-- or with ARGV[2] "inspect", which stands alone and changes nothing.
-- n, permits and count are whole numbers, lease and patience µs; ids have no blanks.
--
-- Returns {news, now, soonest, head}, and after it for each id
--   take, beat   a token and its expiry; or in place of a token 0 in line, -1 not now, -2 unknown, and for the one in
--                line its place. Nobody's turn comes by time alone before `soonest`, and who stands at `head` is first.
--   renew        its expiry, 0 when it was lost
--   release      1, or 0 when the id held nothing any more
-- and for inspect {"", now, permits, held, waiting}, permits 0 when the key knows of none.
-- All moments are µs on this server's clock. Whoever is granted permits while in line is told: in `news` when it has
-- the channel of the caller, else by a message there (PUBLISH: it reaches subscribers on every node of a cluster, so
-- that a process needs one subscription for all its keys): "<id> <token> <now> <expiry>", several joined by ";". Until
-- it is heard of, such a grant lasts no longer than its place in line would have.
--
-- Fields
--   state      "<seen> <token> <permits> <held> <waiting> <head> <tail> <soonest> <kept>": the latest moment seen,
--              the last fencing token, how many permits there are and how many are out, how many wait, the first place
--              in line that may be taken and the last given out, a moment before which nothing below runs out, and when
--              this key expires
--   h:<id>     "<expiry> <count> <token>": a holder
--   p:<place>  "<deadline> <count> <lease> <id> <channel>": one who waits there, dead at the deadline
--   w:<id>     the place where it waits

local key, own = KEYS[1], ARGV[1]
local never = 4503599627370496
-- a clock that is set back by less stands still for that long
local tolerance = 1000000
-- How much longer than its holders the key remembers the last token: tokens increase unless the clock is set back by
-- more than that, in one step, while nobody holds or waits.
local memory = 900000000

local function text(number)
  return string.format("%.0f", number)
end

local function numbers(row)
  local found = {}
  for number in string.gmatch(row, "%d+") do
    found[#found + 1] = tonumber(number)
  end
  return unpack(found)
end

local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]

if ARGV[2] == "inspect" then
  local all = redis.call("HGETALL", key)
  local permits, held, waiting, rows = 0, 0, 0, {}
  for at = 1, #all, 2 do
    rows[all[at]] = all[at + 1]
  end
  if rows.state then
    local seen, _, count = numbers(rows.state)
    now, permits = math.max(now, seen), count
  end
  for field, row in pairs(rows) do
    local kind = string.sub(field, 1, 2)
    if kind == "h:" or kind == "p:" then
      local moment, count = string.match(row, "^(%d+) (%d+)")
      if tonumber(moment) > now and kind == "p:" then
        waiting = waiting + 1
      elseif tonumber(moment) > now then
        held = held + tonumber(count)
      end
    end
  end
  return { "", now, permits, held, waiting }
end

-- How many arguments stand before the ids, and how many each of them has.
local terms = { take = 4, beat = 2, renew = 1, release = 0 }
local width = { take = 2, beat = 2, renew = 1, release = 1 }

-- Rows as they are now, false where there is none: read once, and written once in the end if they have changed.
local rows, changed = {}, {}

local function fetch(fields)
  local missing = {}
  for _, field in ipairs(fields) do
    if rows[field] == nil then
      missing[#missing + 1] = field
    end
  end
  if #missing > 0 then
    local found = redis.call("HMGET", key, unpack(missing))
    for at, field in ipairs(missing) do
      rows[field] = found[at]
    end
  end
end

local function put(field, row)
  rows[field] = row
  changed[field] = true
end

-- Whether something is asked that must not fail because memory is full.
local mild = false
local wanted = { "state" }
do
  local at = 2
  while at <= #ARGV do
    local verb, count = ARGV[at], tonumber(ARGV[at + 1])
    local first = at + 2 + terms[verb]
    at = first + count * width[verb]
    mild = mild or verb == "renew" or verb == "release"
    if verb ~= "take" or ARGV[first - 3] == "0" then
      for place = first, at - 1, width[verb] do
        wanted[#wanted + 1] = "h:" .. ARGV[place]
        wanted[#wanted + 1] = "w:" .. ARGV[place]
        if verb == "beat" then
          wanted[#wanted + 1] = "p:" .. ARGV[place + 1]
        end
      end
    end
  end
end
fetch(wanted)

local seen, token, permits, held, waiting, head, tail, soonest, kept = 0, 0, 0, 0, 0, 1, 0, never, 0
local state = rows.state
if state then
  seen, token, permits, held, waiting, head, tail, soonest, kept = numbers(state)
end

local function leave(id, place)
  put("w:" .. id, false)
  put("p:" .. text(place), false)
  waiting = waiting - 1
  if place == head then
    head = head + 1
  end
end

local function hold(id, count, expiry, own_token)
  soonest = math.min(soonest, expiry)
  put("h:" .. id, string.format("%.0f %.0f %.0f", expiry, count, own_token))
end

local function grant(id, count, expiry)
  token = math.max(token + 1, now)
  held = held + count
  hold(id, count, expiry, token)
end

-- Holds on to what `id` holds, for a whole lease from now. Returns its token and the new expiry.
local function extend(id, lease)
  local _, count, first = numbers(rows["h:" .. id])
  local expiry = now + lease
  hold(id, count, expiry, first)
  return first, expiry
end

-- Drops what has run out, counts what is left, and moves its moments back by `back`.
local function sweep(back)
  local all = redis.call("HGETALL", key)
  held, waiting, soonest = 0, 0, never
  for at = 1, #all, 2 do
    local field = all[at]
    local kind = string.sub(field, 1, 2)
    if kind == "h:" or kind == "p:" then
      rows[field] = all[at + 1]
      local moment, count, rest = string.match(all[at + 1], "^(%d+) (%d+)(.*)$")
      moment = tonumber(moment) - back
      if moment <= now then
        put(field, false)
        if kind == "p:" then
          put("w:" .. string.match(rest, "^ %d+ (%S+)"), false)
        end
      else
        soonest = math.min(soonest, moment)
        if kind == "h:" then
          held = held + tonumber(count)
        else
          waiting = waiting + 1
        end
        if back > 0 then
          put(field, text(moment) .. " " .. count .. rest)
        end
      end
    end
  end
  if back > 0 then
    -- the key itself is to expire by the clock as it is now
    kept = 0
  end
end

-- What is to be told, by channel.
local news = {}

-- Gives what is free to those in line, strictly in order.
local function serve()
  local many = math.min(permits - held, 100)
  while waiting > 0 and held < permits do
    local place = "p:" .. text(head)
    if rows[place] == nil then
      local line = {}
      for ahead = head, math.min(head + many - 1, tail) do
        line[#line + 1] = "p:" .. text(ahead)
      end
      fetch(line)
      many = math.min(2 * many, 100)
    end
    if rows[place] then
      local deadline, size, lease, id, channel = string.match(rows[place], "^(%d+) (%d+) (%d+) (%S+) (.*)$")
      local count = tonumber(size)
      if held + count > permits then
        return
      end
      leave(id, head)
      local expiry = math.min(now + tonumber(lease), tonumber(deadline))
      grant(id, count, expiry)
      local message = string.format("%s %.0f %.0f %.0f", id, token, now, expiry)
      news[channel] = news[channel] and news[channel] .. ";" .. message or message
    elseif head > tail then
      waiting = 0
    else
      head = head + 1
    end
  end
end

local function write(command, list)
  for first = 1, #list, 1000 do
    redis.call(command, key, unpack(list, first, math.min(first + 999, #list)))
  end
end

-- Writes what has changed, and lets the key live on for `lasting` at least.
local function save(lasting)
  local short = now + lasting + memory > kept
  if short then
    kept = now + 2 * (lasting + memory)
  end
  local rest = string.format(
    "%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f", --
    token,
    permits,
    held,
    waiting,
    head,
    tail,
    soonest,
    kept
  )
  if next(changed) == nil and (not state or string.match(state, "^%d+ (.*)$") == rest) then
    return
  end
  local sets, drops = { "state", text(now) .. " " .. rest }, {}
  for field in pairs(changed) do
    if rows[field] then
      sets[#sets + 1] = field
      sets[#sets + 1] = rows[field]
    else
      drops[#drops + 1] = field
    end
  end
  -- Redis asks whether memory is full at the first write of a script only, and of these never
  if mild and #drops == 0 then
    redis.call("PEXPIREAT", key, text(math.ceil(kept / 1000)))
  end
  write("HDEL", drops)
  write("HSET", sets)
  if short then
    redis.call("PEXPIREAT", key, text(math.ceil(kept / 1000)))
  end
end

if seen - now > tolerance then
  sweep(seen - now)
else
  now = math.max(now, seen)
  if now >= soonest then
    sweep(0)
  end
end

local reply = { "", now, 0, 0 }

local function answer(number)
  reply[#reply + 1] = number
end

-- Each gets the place of its first argument, and of its first and last id; and says how long what it did may last.
local verbs = {}

function verbs.take(at, first, last)
  local lease, patience = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  if ARGV[at + 1] == "1" or permits == 0 then
    permits = tonumber(ARGV[at])
  end
  serve()
  for place = first, last, 2 do
    local id, count = ARGV[place], tonumber(ARGV[place + 1])
    if rows["h:" .. id] then
      local own_token, expiry = extend(id, lease)
      answer(own_token)
      answer(expiry)
    elseif rows["w:" .. id] then
      answer(0)
      answer(tonumber(rows["w:" .. id]))
    elseif waiting == 0 and held + count <= permits then
      grant(id, count, now + lease)
      answer(token)
      answer(now + lease)
    elseif patience > 0 then
      tail = tail + 1
      if waiting == 0 then
        head = tail
      end
      waiting = waiting + 1
      soonest = math.min(soonest, now + patience)
      put("w:" .. id, text(tail))
      put("p:" .. text(tail), string.format("%.0f %.0f %.0f %s %s", now + patience, count, lease, id, own))
      answer(0)
      answer(tail)
    else
      answer(-1)
      answer(0)
    end
  end
  return math.max(lease, patience)
end

function verbs.beat(at, first, last)
  local lease, patience = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  serve()
  for place = first, last, 2 do
    local id = ARGV[place]
    local waits = rows["w:" .. id]
    if rows["h:" .. id] then
      local own_token, expiry = extend(id, lease)
      answer(own_token)
      answer(expiry)
    elseif waits then
      fetch({ "p:" .. waits })
      put("p:" .. waits, (string.gsub(rows["p:" .. waits], "^%d+", text(now + patience))))
      answer(0)
      answer(tonumber(waits))
    else
      answer(-2)
      answer(0)
    end
  end
  return last < first and 0 or math.max(lease, patience)
end

function verbs.renew(at, first, last)
  local lease = tonumber(ARGV[at])
  for place = first, last do
    answer(rows["h:" .. ARGV[place]] and select(2, extend(ARGV[place], lease)) or 0)
  end
  return lease
end

function verbs.release(_, first, last)
  for place = first, last do
    local id = ARGV[place]
    local waits = rows["w:" .. id]
    if rows["h:" .. id] then
      local _, count = numbers(rows["h:" .. id])
      held = held - count
      put("h:" .. id, false)
      answer(1)
    else
      if waits then
        leave(id, tonumber(waits))
      end
      answer(0)
    end
  end
  return 0
end

local lasting, at = 0, 2
while at <= #ARGV do
  local verb, count = ARGV[at], tonumber(ARGV[at + 1])
  local first = at + 2 + terms[verb]
  local after = first + count * width[verb]
  lasting = math.max(lasting, verbs[verb](at + 2, first, after - 1))
  at = after
end
serve()
save(lasting)
reply[1] = news[own] or ""
reply[3], reply[4] = soonest, head
for channel, message in pairs(news) do
  if channel ~= own then
    redis.pcall("PUBLISH", channel, message)
  end
end
return reply
