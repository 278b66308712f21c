-- Twin of sliding-window.ts: same names, same order; the log is a ring at the end of the same string.
-- The string: a header, then the ring. Header: newest, seen (moments), base, top (what was logged before the oldest
-- call and up to the newest, modulo), first (where in the ring the oldest call is), count, capacity, width of a call.
-- A call: its start (6 bytes, modulo 2^48, read relative to the newest) and what was logged up to and with it (2 bytes,
-- or 6 where a window can be charged more than 65 535). Sums of a window are differences, so a decision reads and
-- writes the ends of the ring, and a few calls between them by bisection when many have left the window at once.
-- Parameters: limit, window, most.
local headerFormat = ">ddddI4I4I4I4"
local headerSize = 48
local stampRange = 281474976710656

local function callFormat(width)
  return width == 8 and ">I6I2" or ">I6I6"
end

local function costRange(width)
  return width == 8 and 65536 or stampRange
end

local function offsetOf(log, index)
  return headerSize + ((log.first + index - 1) % log.capacity) * log.width
end

-- start and running sum of the call at `index`, 1 being the oldest
local function callAt(log, index)
  local offset = offsetOf(log, index)
  local bytes = redis.call("GETRANGE", log.key, offset, offset + log.width - 1)
  local kept, sum = struct.unpack(callFormat(log.width), bytes)
  return log.newest - (log.newest % stampRange - kept) % stampRange, sum
end

local function writeCall(log, index, stamp, sum)
  redis.call("SETRANGE", log.key, offsetOf(log, index), struct.pack(callFormat(log.width), stamp % stampRange, sum))
end

-- every call as lists of starts and sums; for the rare changes in the middle
local function readAll(log)
  local stamps, sums = {}, {}
  local ring = redis.call("GETRANGE", log.key, headerSize, -1)
  local form = callFormat(log.width)
  for index = 1, log.count do
    local kept, sum = struct.unpack(form, ring, ((log.first + index - 1) % log.capacity) * log.width + 1)
    stamps[index] = log.newest - (log.newest % stampRange - kept) % stampRange
    sums[index] = sum
  end
  return stamps, sums
end

-- the whole string anew, oldest call first, with room for `spare` more calls
local function writeAll(log, stamps, sums, width, spare)
  local form = callFormat(width)
  local calls = {}
  for index = 1, #stamps do
    calls[index] = struct.pack(form, stamps[index] % stampRange, sums[index])
  end
  log.width = width
  log.first = 0
  log.count = #stamps
  log.capacity = #stamps + spare
  redis.call("SET", log.key, string.rep("\0", headerSize) .. table.concat(calls) .. string.rep("\0", spare * width))
  log.changed = true
end

-- what lies between two running sums
local function between(log, from, to)
  return (to - from) % costRange(log.width)
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
  log.newest = stamp
  if log.count == log.capacity then
    local stamps, sums = readAll(log)
    stamps[log.count + 1] = stamp
    sums[log.count + 1] = log.top
    writeAll(log, stamps, sums, log.width, math.floor(log.count / 8))
    return
  end
  log.count = log.count + 1
  writeCall(log, log.count, stamp, log.top)
end

local function dropNewest(log)
  log.count = log.count - 1
  if log.count == 0 then
    log.newest = 0
    log.base = log.top
  else
    log.newest = callAt(log, log.count)
  end
end

-- takes up to `cost` from the newest calls
local function takeNewest(log, cost)
  while cost > 0 and log.count > 0 do
    local before = log.base
    if log.count > 1 then
      local _, sum = callAt(log, log.count - 1)
      before = sum
    end
    local taken = math.min(cost, between(log, before, log.top))
    cost = cost - taken
    log.top = (log.top - taken) % costRange(log.width)
    if log.top == before then
      dropNewest(log)
    else
      writeCall(log, log.count, log.newest, log.top)
    end
  end
end

-- adds to the newest call from `from` up to `last`, or takes from them, the newest first
local function correct(log, from, last, delta)
  local stamps, sums = readAll(log)
  local costs, before = {}, log.base
  for index = 1, #stamps do
    costs[index] = between(log, before, sums[index])
    before = sums[index]
  end
  local left = delta
  for index = #stamps, 1, -1 do
    if left ~= 0 and stamps[index] >= from and stamps[index] <= last then
      local change = math.max(left, -costs[index])
      costs[index] = costs[index] + change
      left = left - change
    end
  end
  if left == delta then
    return
  end
  -- a call before the newest stays, with a cost of 0, until it leaves the window
  local count = #stamps
  while count > 0 and costs[count] == 0 do
    stamps[count] = nil
    sums[count] = nil
    count = count - 1
  end
  local sum = log.base
  for index = 1, count do
    sum = (sum + costs[index]) % costRange(log.width)
    sums[index] = sum
  end
  log.newest = stamps[count] or 0
  log.top = sum
  writeAll(log, stamps, sums, log.width, log.capacity - count)
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
  local stamps, sums = readAll(log)
  for index = 1, #stamps do
    stamps[index] = math.max(0, stamps[index] - back)
  end
  log.newest = math.max(0, log.newest - back)
  if log.seen > 0 then
    log.seen = clock
  end
  writeAll(log, stamps, sums, log.width, log.capacity - #stamps)
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
    local log = { key = key, newest = 0, seen = 0, base = 0, top = 0, first = 0, count = 0, capacity = 0 }
    local width = p[3] <= 65535 and 8 or 12
    log.width = width
    if #header < headerSize then
      return log
    end
    log.newest, log.seen, log.base, log.top, log.first, log.count, log.capacity, log.width =
      struct.unpack(headerFormat, header)
    if log.width < width and log.count == 0 then
      log.base, log.top, log.capacity, log.width = 0, 0, 0, width
    elseif log.width < width then
      -- the limit has been raised beyond what two bytes hold
      local stamps, sums = readAll(log)
      local sum, last = 0, log.base
      for index = 1, #sums do
        sum = sum + between(log, last, sums[index])
        last = sums[index]
        sums[index] = sum
      end
      log.base = 0
      log.top = sum
      writeAll(log, stamps, sums, width, log.capacity - #stamps)
    end
    return log
  end,

  save = function(log, lifetime)
    if log.changed then
      local header = struct.pack(
        headerFormat,
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
    if delta < 0 and stamp == -1 and log.newest <= now then
      takeNewest(log, -delta)
    elseif delta < 0 then
      correct(log, stamp == -1 and 0 or stamp, stamp == -1 and now or stamp, delta)
    else
      local added = math.max(0, math.min(delta, p[3] - usedAt(log, math.max(now, log.newest), p)))
      if stamp == -1 then
        push(log, math.max(now, log.newest), added)
      else
        correct(log, stamp, stamp, added)
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
