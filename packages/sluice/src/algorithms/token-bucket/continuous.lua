-- Twin of continuous.ts: same names, same order.
-- Row: tat, its part, then only while a start lies ahead or a debt does: seen, latest, most.
-- Parameters: burst, tickWhole, tickPart, parts, spanWhole, spanPart, mostCost.
local TAT, PART, SEEN, LATEST, MOST = 1, 2, 3, 4, 5
local horizon = 4503599627370496

local function heal(row, clock, p)
  local seen = row[SEEN]
  if seen == 0 then
    seen = row[TAT] - p[5]
    if row[PART] > p[6] then
      seen = seen + 1
    end
  end
  if clock >= seen then
    return clock
  end
  local back = seen - clock
  if back <= p[5] then
    return seen
  end
  row[TAT] = row[TAT] - back
  if row[SEEN] > 0 then
    row[SEEN] = clock
  end
  if row[LATEST] > 0 then
    row[LATEST] = math.max(0, row[LATEST] - back)
  end
  return clock
end

local function spend(row, start, cost, p)
  local tat = row[TAT]
  if tat < start then
    tat = start
    row[PART] = 0
  end
  tat = tat + cost * p[2]
  if p[3] > 0 then
    local part = row[PART] + (cost * p[3]) % p[4]
    tat = tat + math.floor(cost * p[3] / p[4])
    if part >= p[4] then
      tat = tat + 1
      part = part - p[4]
    end
    row[PART] = part
  end
  row[TAT] = tat < horizon and tat or horizon
end

local function giveBack(row, now, stamp, cost, p)
  local latest = row[LATEST]
  local waiting = latest > now
  local part = row[PART] - (cost * p[3]) % p[4]
  row[TAT] = row[TAT] - cost * p[2] - math.floor(cost * p[3] / p[4])
  if part < 0 then
    row[TAT] = row[TAT] - 1
    part = part + p[4]
  end
  row[PART] = part
  if waiting and stamp == latest then
    row[LATEST] = math.max(0, row[TAT] - p[5] + (part > p[6] and 1 or 0))
  elseif waiting then
    local most = row[MOST]
    local floor = latest + most * p[2] + math.floor(most * p[3] / p[4])
    local floorPart = (most * p[3]) % p[4]
    if row[TAT] < floor or (row[TAT] == floor and part < floorPart) then
      row[TAT] = floor
      row[PART] = floorPart
    end
  end
  if row[TAT] < 0 then
    row[TAT] = 0
    row[PART] = 0
  end
end

local function affordable(count, whole, part, p)
  local needWhole = count * p[2] + math.floor(count * p[3] / p[4])
  return needWhole < whole or (needWhole == whole and (count * p[3]) % p[4] <= part)
end

return {
  columns = 5,

  step = function(row, clock, earliest, latest, cost, p)
    local now = heal(row, clock, p)
    local start = now
    if earliest > start then
      start = earliest
    end
    if row[LATEST] > start then
      start = row[LATEST]
    end
    if cost > p[1] then
      start = math.huge
    else
      local due = row[TAT] + cost * p[2] - p[5]
      if p[4] > 1 then
        local part = row[PART] + (cost * p[3]) % p[4] - p[6]
        due = due + math.floor(cost * p[3] / p[4]) + (part > p[4] and 2 or part > 0 and 1 or 0)
      end
      if due > start then
        start = due < horizon and due or math.huge
      end
    end
    local waits = start > now
    if (waits and start or clock) <= latest then
      if waits then
        row[MOST] = row[LATEST] > now and math.max(row[MOST], cost) or cost
        row[SEEN] = now
        row[LATEST] = start
      else
        row[MOST] = 0
        row[SEEN] = 0
        row[LATEST] = 0
      end
      spend(row, start, cost, p)
    end
    return waits and start or clock
  end,

  amend = function(row, clock, stamp, delta, p)
    local now = heal(row, clock, p)
    if delta > 0 then
      spend(row, stamp == -1 and now or 0, math.min(delta, p[7]), p)
    else
      giveBack(row, now, stamp, math.min(-delta, p[7]), p)
    end
    if row[TAT] > now + p[5] then
      row[SEEN] = now
    elseif row[LATEST] <= now then
      row[SEEN] = 0
      row[LATEST] = 0
      row[MOST] = 0
    end
  end,

  remaining = function(row, clock, p)
    local now = heal(row, clock, p)
    if row[LATEST] > now then
      return 0
    end
    local tat = row[TAT]
    if tat < now or (tat == now and row[PART] == 0) then
      return p[1]
    end
    local whole = p[5] + now - tat
    if p[4] == 1 then
      return whole > 0 and math.floor(whole / p[2]) or 0
    end
    local part = p[6] - row[PART]
    if part < 0 then
      whole = whole - 1
      part = part + p[4]
    end
    if whole < 0 then
      return 0
    end
    local count = math.min(p[1], math.floor((whole + part / p[4]) / (p[2] + p[3] / p[4])))
    while not affordable(count, whole, part, p) do
      count = count - 1
    end
    while affordable(count + 1, whole, part, p) do
      count = count + 1
    end
    return count
  end,

  resetAt = function(row)
    return row[PART] > 0 and row[TAT] + 1 or row[TAT]
  end,
}
