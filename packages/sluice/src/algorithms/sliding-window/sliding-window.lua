-- Twin of sliding-window.ts: same names, same order; the log is a ring at the end of the same string.
-- The string: a header, then the ring. Header: a mark, with which the text of no row begins, newest, seen (moments),
-- base, top (what was logged before the oldest call and up to the newest, modulo), first (where in the ring the oldest
-- call is), count, capacity, width of a call.
-- A call: its start (6 bytes, modulo 2^48, read relative to the newest) and what was logged up to and with it (2 bytes,
-- or 6 where a window is charged more than 65 535). Sums of a window are differences, so a decision reads and
-- writes the ends of the ring, and a few calls between them by bisection when many have left the window at once.
-- Only a correction of a call in the middle changes more: the sums on the shorter side of it. See README.md for
-- figures. Parameters: limit, window.
local headerFormat = ">BddddI4I4I4I4"
local headerSize = 49
local mark = 1
local stampRange = 281474976710656
-- as in the twin
local mostLogged = 140737488355328
local narrow, wide = 8, 12
-- calls that are read and written at once: one at a time would take a hundred times as long
local batch = 500

local function callFormat(width)
  return width == narrow and "I6I2" or "I6I6"
end

local function costRange(width)
  return width == narrow and 65536 or stampRange
end

local function offsetOf(log, index)
  return headerSize + ((log.first + index - 1) % log.capacity) * log.width
end

local function momentOf(log, kept)
  return log.newest - (log.newest % stampRange - kept) % stampRange
end

-- start and running sum of the call at `index`, 1 being the oldest
local function callAt(log, index)
  local offset = offsetOf(log, index)
  local bytes = redis.call("GETRANGE", log.key, offset, offset + log.width - 1)
  local kept, sum = struct.unpack(">" .. callFormat(log.width), bytes)
  return momentOf(log, kept), sum
end

local function writeCall(log, index, stamp, sum)
  local bytes = struct.pack(">" .. callFormat(log.width), stamp % stampRange, sum)
  redis.call("SETRANGE", log.key, offsetOf(log, index), bytes)
end

-- the bytes of the calls `from` to `to`, and where they stand, a few hundred calls at a time
local function eachPiece(log, from, to, use)
  while from <= to do
    local turn = log.capacity - (log.first + from - 1) % log.capacity
    local count = math.min(to - from + 1, turn, batch)
    local offset = offsetOf(log, from)
    use(redis.call("GETRANGE", log.key, offset, offset + count * log.width - 1), offset)
    from = from + count
  end
end

-- a piece as `change(kept, sum)` says, in calls of `width`
local function recoded(log, bytes, width, change)
  local count = #bytes / log.width
  local figures = { struct.unpack(">" .. string.rep(callFormat(log.width), count), bytes) }
  for at = 1, 2 * count, 2 do
    figures[at], figures[at + 1] = change(figures[at], figures[at + 1])
  end
  return struct.pack(">" .. string.rep(callFormat(width), count), unpack(figures, 1, 2 * count))
end

-- changes the calls `from` to `to` where they stand
local function rewrite(log, from, to, change)
  eachPiece(log, from, to, function(bytes, offset)
    redis.call("SETRANGE", log.key, offset, recoded(log, bytes, log.width, change))
  end)
  log.changed = true
end

-- the whole string anew, oldest call first, with room for `capacity` calls
local function writeAll(log, calls, capacity)
  table.insert(calls, 1, string.rep("\0", headerSize))
  calls[#calls + 1] = string.rep("\0", (capacity - log.count) * log.width)
  redis.call("SET", log.key, table.concat(calls))
  log.first = 0
  log.capacity = capacity
  log.changed = true
end

-- room for as many calls as there are, for the next, and for an eighth more; copied as they are
local function resize(log)
  local calls = {}
  eachPiece(log, 1, log.count, function(bytes)
    calls[#calls + 1] = bytes
  end)
  writeAll(log, calls, log.count + 1 + math.floor(log.count / 8))
end

-- what lies between two running sums
local function between(log, from, to)
  return (to - from) % costRange(log.width)
end

-- costs of more than two bytes
local function widen(log)
  local calls = {}
  local sum, last = 0, log.base
  eachPiece(log, 1, log.count, function(bytes)
    calls[#calls + 1] = recoded(log, bytes, wide, function(kept, top)
      sum = (sum + between(log, last, top)) % costRange(wide)
      last = top
      return kept, sum
    end)
  end)
  log.base = 0
  log.top = sum
  log.width = wide
  writeAll(log, calls, log.capacity)
end

-- how many calls, from the oldest on, satisfy `holds(stamp, sum)`, which holds for a prefix; and the sum of the last
local function prefix(log, holds)
  local low, high, lowSum = 0, 1, log.base
  while high <= log.count do
    local stamp, sum = callAt(log, high)
    if not holds(stamp, sum) then
      break
    end
    low = high
    lowSum = sum
    high = high * 2
  end
  high = math.min(high, log.count + 1)
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    local stamp, sum = callAt(log, middle)
    if holds(stamp, sum) then
      low = middle
      lowSum = sum
    else
      high = middle
    end
  end
  return low, lowSum
end

local function through(log, past)
  if log.newest <= past then
    return log.count, log.top
  end
  return prefix(log, function(stamp)
    return stamp <= past
  end)
end

local function dropThrough(log, past)
  if log.count == 0 then
    return
  end
  local gone, sum = through(log, past)
  if gone > 0 then
    log.first = (log.first + gone) % log.capacity
    log.count = log.count - gone
    log.newest = log.count > 0 and log.newest or 0
    log.base = sum
    log.changed = true
  end
end

local function push(log, stamp, cost)
  log.top = (log.top + cost) % costRange(log.width)
  log.changed = true
  if log.count > 0 and log.newest == stamp then
    writeCall(log, log.count, stamp, log.top)
    return
  end
  -- a ring of which three quarters have been empty gives them back
  if log.count == log.capacity or (log.capacity > 16 and log.count < log.capacity / 4) then
    resize(log)
  end
  log.newest = stamp
  log.count = log.count + 1
  writeCall(log, log.count, stamp, log.top)
end

-- the call at `count` is the newest from now on; what it costs is told by `top`
local function cut(log, count)
  log.newest = count > 0 and callAt(log, count) or 0
  log.count = count
  log.changed = true
  if count == 0 then
    log.base = log.top
  end
end

-- forgets the calls at the end that cost nothing any more; one before the newest stays until it leaves the window
local function trim(log, p)
  while log.count > 0 do
    -- only the sums of one window can be told apart
    local past = log.newest - p[2]
    local kept, sum = prefix(log, function(stamp, each)
      return stamp <= past or each ~= log.top
    end)
    if sum ~= log.top then
      cut(log, kept + 1)
      return
    end
    cut(log, kept)
  end
end

-- takes up to `cost` from the newest calls, when none is ahead: all are of one window
local function takeNewest(log, cost)
  local used = between(log, log.base, log.top)
  local left = math.max(0, used - cost)
  if left == used then
    return
  end
  local whole = left == 0 and -1 or prefix(log, function(_, sum)
    return between(log, log.base, sum) < left
  end)
  log.top = (log.base + left) % costRange(log.width)
  cut(log, whole + 1)
  if log.count > 0 then
    writeCall(log, log.count, log.newest, log.top)
  end
end

-- the call at `index` costs so much more. Only differences of sums count: those from it on rise, or those before fall
local function correct(log, index, change)
  local range = costRange(log.width)
  local from, to = index, log.count
  if index <= log.count / 2 then
    from, to, change = 1, index - 1, -change
    log.base = (log.base + change) % range
  else
    log.top = (log.top + change) % range
  end
  rewrite(log, from, to, function(kept, sum)
    return kept, (sum + change) % range
  end)
end

-- the same as takeNewest, of the calls that have started while others are ahead
local function takeStarted(log, cost, now)
  local last, sum = through(log, now)
  local used = between(log, log.base, sum)
  local left = math.max(0, used - cost)
  if left == used then
    return
  end
  local whole = prefix(log, function(stamp, each)
    return stamp <= now and between(log, log.base, each) < left
  end)
  -- the first that is not left whole costs what they cost together, less what is taken
  rewrite(log, whole + 1, last, function(kept)
    return kept, sum
  end)
  correct(log, whole + 1, left - used)
end

-- where the call is that started at `stamp`, if there is one, and the sums before and with it
local function find(log, stamp)
  local before, base = prefix(log, function(each)
    return each < stamp
  end)
  if before == log.count then
    return nil
  end
  local found, sum = callAt(log, before + 1)
  return found == stamp and before + 1 or nil, base, sum
end

local function takeAt(log, stamp, cost, p)
  local index, before, sum = find(log, stamp)
  if not index then
    return
  end
  local whole = between(log, before, sum)
  correct(log, index, -math.min(cost, whole))
  if index == log.count and cost >= whole then
    trim(log, p)
  end
end

local function addAt(log, stamp, added, now, p)
  local index, before, sum = find(log, stamp)
  if not index then
    return
  end
  if log.newest > now then
    -- behind a line, the windows around the call are not the last one, for which there is room
    local _, gone = through(log, stamp - p[2])
    local _, last = through(log, stamp + p[2] - 1)
    local around = between(log, gone, before) + between(log, before, sum) + between(log, sum, last)
    if around + added >= costRange(log.width) and log.width == narrow then
      widen(log)
    end
    added = math.max(0, math.min(added, costRange(log.width) - 1 - around))
  end
  correct(log, index, added)
end

local function heal(log, clock, p)
  local seen = log.seen > 0 and log.seen or log.newest
  if clock >= seen then
    return clock
  end
  local back = seen - clock
  if back <= p[2] then
    return seen
  end
  rewrite(log, 1, log.count, function(kept, sum)
    return math.max(0, momentOf(log, kept) - back) % stampRange, sum
  end)
  log.newest = math.max(0, log.newest - back)
  if log.seen > 0 then
    log.seen = clock
  end
  return clock
end

local function usedAt(log, moment, p)
  local past = moment - p[2]
  if log.count == 0 or log.newest <= past then
    return 0
  end
  local _, sum = through(log, past)
  return between(log, sum, log.top)
end

local function firstFit(log, from, cost, p)
  local past = from - p[2]
  if log.count == 0 or log.newest <= past then
    return from
  end
  local _, gone = through(log, past)
  local over = between(log, gone, log.top) + cost - p[1]
  if over <= 0 then
    return from
  end
  local index = prefix(log, function(stamp, sum)
    return stamp <= past or between(log, gone, sum) < over
  end)
  return callAt(log, index + 1) + p[2]
end

return {
  open = function(key, p)
    local header = redis.call("GETRANGE", key, 0, headerSize - 1)
    -- a limit that two bytes can hold twice is logged in fewer bytes, until there is a debt that they cannot hold
    local width = p[1] <= 32767 and narrow or wide
    local log =
      { key = key, newest = 0, seen = 0, base = 0, top = 0, first = 0, count = 0, capacity = 0, width = width }
    -- what another algorithm has left is as good as nothing
    if #header < headerSize or string.byte(header) ~= mark then
      return log
    end
    local _
    _, log.newest, log.seen, log.base, log.top, log.first, log.count, log.capacity, log.width =
      struct.unpack(headerFormat, header)
    -- the limit has been raised beyond what two bytes hold, or the debt paid
    if log.width ~= width and log.count == 0 then
      log.base, log.top, log.capacity, log.width = 0, 0, 0, width
    elseif log.width < width then
      widen(log)
    end
    return log
  end,

  save = function(log, lifetime)
    if log.changed then
      local header = struct.pack(
        headerFormat,
        mark,
        log.newest,
        log.seen,
        log.base,
        log.top,
        log.first,
        log.count,
        log.capacity,
        log.width
      )
      redis.call("SETRANGE", log.key, 0, header)
      redis.call("PEXPIRE", log.key, lifetime)
    end
  end,

  step = function(log, clock, earliest, latest, cost, p)
    local now = heal(log, clock, p)
    local start = cost > p[1] and math.huge or firstFit(log, math.max(now, earliest, log.newest), cost, p)
    local waits = start > now
    if (waits and start or clock) <= latest then
      dropThrough(log, now - p[2])
      push(log, start, cost)
      log.seen = waits and now or 0
    end
    return waits and start or clock
  end,

  amend = function(log, clock, stamp, delta, p)
    local now = heal(log, clock, p)
    dropThrough(log, now - p[2])
    -- a grant that has left the window cannot be corrected any more, and what has not started yet is not given back
    if delta < 0 and stamp ~= -1 then
      takeAt(log, stamp, -delta, p)
    elseif delta < 0 and log.newest <= now then
      takeNewest(log, -delta)
    elseif delta < 0 then
      takeStarted(log, -delta, now)
    else
      local used = usedAt(log, math.max(now, log.newest), p)
      local added = math.max(0, math.min(delta, mostLogged - used))
      if used + added >= costRange(log.width) then
        widen(log)
      end
      if added > 0 and stamp == -1 then
        push(log, math.max(now, log.newest), added)
      elseif added > 0 then
        addAt(log, stamp, added, now, p)
      end
    end
    log.seen = log.newest > now and now or 0
    log.changed = true
  end,

  remaining = function(log, moment, p)
    local now = heal(log, moment, p)
    return log.newest > now and 0 or math.max(0, p[1] - usedAt(log, now, p))
  end,

  resetAt = function(log, p)
    return log.count == 0 and 0 or log.newest + p[2]
  end,
}
