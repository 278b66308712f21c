-- Twin of sliding-counter.ts: same names, same order.
-- Row: start of the window, what was used in the one before and in it, then only while a start lies ahead: seen,
-- latest.
-- Parameters: limit, window.
local OPENED, BEFORE, USED, SEEN, LATEST = 1, 2, 3, 4, 5
local largestExact = 9007199254740991

-- a·b - product, exactly (Dekker)
local function productError(a, b, product)
  local splitA = 134217729 * a
  local highA = splitA - (splitA - a)
  local lowA = a - highA
  local splitB = 134217729 * b
  local highB = splitB - (splitB - b)
  local lowB = b - highB
  return highA * highB - product + highA * lowB + lowA * highB + lowA * lowB
end

local function floorMulDiv(a, b, c)
  local product = a * b
  local quotient = math.floor(product / c)
  if product <= largestExact then
    return quotient
  end
  local back = quotient * c
  local remainder = product - back + (productError(a, b, product) - productError(quotient, c, back))
  while remainder < 0 do
    quotient = quotient - 1
    remainder = remainder + c
  end
  while remainder >= c do
    quotient = quotient + 1
    remainder = remainder - c
  end
  return quotient
end

local function ceilMulDiv(a, b, c)
  local down = floorMulDiv(a, b, c)
  local product = a * b
  local back = down * c
  if product - back + (productError(a, b, product) - productError(down, c, back)) == 0 then
    return down
  end
  return down + 1
end

local function heal(row, clock, p)
  local seen = row[LATEST] > 0 and row[SEEN] or row[OPENED]
  if clock >= seen then
    return clock
  end
  local back = seen - clock
  if back <= p[2] then
    return seen
  end
  row.changed = true
  local opened = math.max(0, row[OPENED] - back)
  row[OPENED] = opened - opened % p[2]
  if row[SEEN] > 0 then
    row[SEEN] = clock
  end
  if row[LATEST] > 0 then
    row[LATEST] = math.max(0, row[LATEST] - back)
  end
  return clock
end

local function faded(before, elapsed, p)
  return before == 0 and 0 or ceilMulDiv(before, p[2] - elapsed, p[2])
end

local function openedAt(row, moment, p)
  return moment < row[OPENED] + p[2] and row[OPENED] or moment - moment % p[2]
end

local function beforeAt(row, moment, p)
  local age = moment - row[OPENED]
  return age < p[2] and row[BEFORE] or age < 2 * p[2] and row[USED] or 0
end

local function usedAt(row, moment, p)
  return moment - row[OPENED] < p[2] and row[USED] or 0
end

local function firstFit(row, from, cost, p)
  local opened = openedAt(row, from, p)
  local before = beforeAt(row, from, p)
  local used = usedAt(row, from, p)
  local free = p[1] - used - cost
  if free >= 0 then
    if faded(before, from - opened, p) <= free then
      return from
    end
    return opened + p[2] - floorMulDiv(free, p[2], before)
  end
  return opened + 2 * p[2] - floorMulDiv(p[1] - cost, p[2], used)
end

local function turn(row, moment, p)
  local opened = openedAt(row, moment, p)
  local before = beforeAt(row, moment, p)
  row[USED] = usedAt(row, moment, p)
  row[BEFORE] = before
  row[OPENED] = opened
end

local function takeFrom(row, column, cost)
  local taken = math.min(cost, row[column])
  row[column] = row[column] - taken
  return taken
end

return {
  columns = 5,

  step = function(row, clock, earliest, latest, cost, p)
    local now = heal(row, clock, p)
    local start = cost > p[1] and math.huge or firstFit(row, math.max(now, earliest, row[LATEST]), cost, p)
    local waits = start > now
    if (waits and start or clock) <= latest then
      row[SEEN] = waits and now or 0
      row[LATEST] = waits and start or 0
      turn(row, start, p)
      row[USED] = row[USED] + cost
    end
    return waits and start or clock
  end,

  amend = function(row, clock, stamp, delta, p)
    local now = heal(row, clock, p)
    local latest = row[LATEST]
    if latest <= now then
      row[SEEN] = 0
      row[LATEST] = 0
      turn(row, now, p)
    end
    local opened = row[OPENED]
    local inCurrent = stamp == -1 or stamp >= opened
    local inBefore = stamp == -1 or (stamp < opened and stamp >= opened - p[2])
    if delta > 0 then
      if inCurrent then
        row[USED] = math.min(row[USED] + delta, largestExact)
      elseif inBefore then
        row[BEFORE] = math.min(row[BEFORE] + delta, largestExact)
      end
    elseif stamp ~= -1 or latest <= now then
      local left = -delta
      if inCurrent then
        left = left - takeFrom(row, USED, left)
      end
      if inBefore then
        takeFrom(row, BEFORE, left)
      end
    end
  end,

  remaining = function(row, clock, p)
    local now = heal(row, clock, p)
    if row[LATEST] > now then
      return 0
    end
    local elapsed = now - openedAt(row, now, p)
    return math.max(0, p[1] - usedAt(row, now, p) - faded(beforeAt(row, now, p), elapsed, p))
  end,

  resetAt = function(row, p)
    if row[USED] > 0 then
      return row[OPENED] + 2 * p[2]
    end
    return row[BEFORE] > 0 and row[OPENED] + p[2] or row[LATEST]
  end,
}
