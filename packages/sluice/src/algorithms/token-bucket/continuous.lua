-- Twin of continuous.ts: same names, same order.
-- Row: tat, its part, then only while a start lies ahead or a debt does: seen, latest, least.
-- Parameters: burst, tickWhole, tickPart, parts, spanWhole, spanPart, mostCost.
local TAT, PART, SEEN, LATEST, LEAST = 1, 2, 3, 4, 5
local horizon = 4503599627370496

local function ticks(cost, p)
  local parts = cost * p[3]
  if parts < p[4] then
    return cost * p[2], parts
  end
  local part = parts % p[4]
  return cost * p[2] + (parts - part) / p[4], part
end

local function earliestOf(row, p)
  return row[TAT] - p[5] + (row[PART] > p[6] and 1 or 0)
end

local function heal(row, clock, p)
  local seen = row[SEEN]
  if seen == 0 and row[LATEST] == 0 then
    seen = earliestOf(row, p)
  end
  if clock >= seen then
    return clock
  end
  local back = seen - clock
  if back <= p[5] + (p[6] > 0 and 1 or 0) then
    return seen
  end
  row.changed = true
  row[TAT] = row[TAT] - back
  if row[SEEN] > 0 then
    row[SEEN] = clock
  end
  if row[LATEST] > 0 then
    row[LATEST] = math.max(0, row[LATEST] - back)
    row[LEAST] = math.max(0, row[LEAST] - back)
  end
  return clock
end

local function spend(row, start, whole, part, p)
  local tat, tatPart = row[TAT], row[PART]
  if tat < start then
    tat, tatPart = start, 0
  end
  tat, tatPart = tat + whole, tatPart + part
  if tatPart >= p[4] then
    tat, tatPart = tat + 1, tatPart - p[4]
  end
  row[TAT] = tat < horizon and tat or horizon
  row[PART] = tatPart
end

local function giveBack(row, now, cost, p)
  local tat, tatPart = row[TAT], row[PART]
  local whole, part = ticks(cost, p)
  row[TAT] = tat - whole - (part > tatPart and 1 or 0)
  row[PART] = tatPart - part + (part > tatPart and p[4] or 0)
  local least = row[LEAST]
  if row[LATEST] > now and row[TAT] < least then
    row[TAT] = math.min(tat, least)
    row[PART] = tat < least and tatPart or 0
  end
  if row[TAT] < 0 then
    row[TAT] = 0
    row[PART] = 0
  end
end

local function affordable(count, whole, part, p)
  local needWhole, needPart = ticks(count, p)
  return needWhole < whole or (needWhole == whole and needPart <= part)
end

return {
  columns = 5,

  step = function(row, clock, earliest, latest, cost, p)
    local now = heal(row, clock, p)
    local start = earliest > now and earliest or now
    if row[LATEST] > start then
      start = row[LATEST]
    end
    local whole, part = ticks(cost, p)
    if cost > p[1] then
      start = math.huge
    else
      local over = row[PART] + part - p[6]
      local due = row[TAT] + whole - p[5] + (over > p[4] and 2 or over > 0 and 1 or 0)
      if due > start then
        start = due < horizon and due or math.huge
      end
    end
    local waits = start > now
    if (waits and start or clock) <= latest then
      if waits then
        local least = row[LATEST] > now and row[LEAST] or 0
        row[LEAST] = math.min(math.max(least, start) + whole + (part > 0 and 1 or 0), horizon)
        row[SEEN] = now
        row[LATEST] = start
      else
        row[LEAST] = 0
        row[SEEN] = 0
        row[LATEST] = 0
      end
      spend(row, start, whole, part, p)
    end
    return waits and start or clock
  end,

  amend = function(row, clock, stamp, delta, p)
    local now = heal(row, clock, p)
    if delta > 0 then
      local whole, part = ticks(math.min(delta, p[7]), p)
      spend(row, stamp == -1 and now or 0, whole, part, p)
      if row[LATEST] > now then
        row[LEAST] = math.min(row[LEAST] + whole + (part > 0 and 1 or 0), horizon)
      end
    else
      giveBack(row, now, math.min(-delta, p[7]), p)
    end
    if earliestOf(row, p) > now then
      row[SEEN] = math.max(now, 1)
    elseif row[LATEST] <= now then
      row[SEEN] = 0
      row[LATEST] = 0
      row[LEAST] = 0
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
