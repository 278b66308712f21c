-- Twin of interval.ts: same names, same order.
-- Row: last refill counted, what is missing since then, then only while a start lies ahead: seen, latest, least.
-- Parameters: burst, rate, per, span, mostCost.
local REFILL, MISSING, SEEN, LATEST, LEAST = 1, 2, 3, 4, 5

local function heal(row, clock, p)
  local written = row[MISSING] == 0 and 0 or row[REFILL]
  local seen = row[LATEST] > 0 and row[SEEN] or written
  if clock >= seen then
    return clock
  end
  local back = seen - clock
  if back <= p[4] then
    return seen
  end
  row.changed = true
  row[REFILL] = math.max(0, row[REFILL] - back)
  if row[SEEN] > 0 then
    row[SEEN] = clock
  end
  if row[LATEST] > 0 then
    row[LATEST] = math.max(0, row[LATEST] - back)
  end
  return clock
end

local function refillsUntil(row, moment, p)
  return math.max(0, math.floor((moment - row[REFILL]) / p[3]))
end

local function advance(row, moment, p)
  local missing = row[MISSING]
  local refills = refillsUntil(row, moment, p)
  if refills >= math.ceil(missing / p[2]) then
    row[REFILL] = moment
    row[MISSING] = 0
  elseif refills > 0 then
    row[REFILL] = row[REFILL] + refills * p[3]
    row[MISSING] = missing - refills * p[2]
  end
end

return {
  columns = 5,

  step = function(row, clock, earliest, latest, cost, p)
    local now = heal(row, clock, p)
    local start = math.max(now, earliest, row[LATEST])
    if cost > p[1] then
      start = math.huge
    else
      local short = row[MISSING] + cost - p[1]
      if short > 0 then
        start = math.max(start, row[REFILL] + math.ceil(short / p[2]) * p[3])
      end
    end
    local waits = start > now
    if (waits and start or clock) <= latest then
      if waits then
        local least = row[LATEST] > now and row[LEAST] or 0
        row[LEAST] = math.max(0, least - refillsUntil(row, start, p) * p[2]) + cost
        row[SEEN] = now
        row[LATEST] = start
      else
        row[LEAST] = 0
        row[SEEN] = 0
        row[LATEST] = 0
      end
      advance(row, start, p)
      row[MISSING] = row[MISSING] + cost
    end
    return waits and start or clock
  end,

  amend = function(row, clock, stamp, delta, p)
    local now = heal(row, clock, p)
    local waiting = row[LATEST] > now
    local correction = delta > 0 and stamp ~= -1
    if waiting then
      row[LEAST] = math.min(row[LEAST] + math.max(0, delta), p[5])
    else
      row[SEEN] = 0
      row[LATEST] = 0
      row[LEAST] = 0
      if not correction then
        advance(row, now, p)
      end
    end
    row[MISSING] = math.max(row[LEAST], math.min(row[MISSING] + delta, p[5]))
    if correction and not waiting then
      advance(row, now, p)
    end
  end,

  remaining = function(row, clock, p)
    local now = heal(row, clock, p)
    if row[LATEST] > now then
      return 0
    end
    local missing = row[MISSING]
    local refills = refillsUntil(row, now, p)
    if refills >= math.ceil(missing / p[2]) then
      return p[1]
    end
    return math.max(0, p[1] - missing + refills * p[2])
  end,

  resetAt = function(row, p)
    local missing = row[MISSING]
    return missing == 0 and row[LATEST] or row[REFILL] + math.ceil(missing / p[2]) * p[3]
  end,
}
