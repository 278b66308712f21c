-- Twin of fixed-window.ts: same names, same order.
-- Row: start of the window, what was used in it, then only while a start lies ahead: seen, latest.
-- Parameters: limit, window, aligned.
local OPENED, USED, SEEN, LATEST = 1, 2, 3, 4

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
  row[OPENED] = p[3] == 1 and opened - opened % p[2] or opened
  if row[SEEN] > 0 then
    row[SEEN] = clock
  end
  if row[LATEST] > 0 then
    row[LATEST] = math.max(0, row[LATEST] - back)
  end
  return clock
end

local function usedAt(row, moment, p)
  return moment < row[OPENED] + p[2] and row[USED] or 0
end

local function spend(row, start, cost, p)
  local used = usedAt(row, start, p)
  if used == 0 then
    row[OPENED] = p[3] == 1 and start - start % p[2] or start
  end
  row[USED] = math.min(used + cost, 9007199254740991)
end

return {
  columns = 4,

  step = function(row, clock, earliest, latest, cost, p)
    local now = heal(row, clock, p)
    local start = math.max(now, earliest, row[LATEST])
    if cost > p[1] then
      start = math.huge
    elseif usedAt(row, start, p) + cost > p[1] then
      start = row[OPENED] + p[2]
    end
    local waits = start > now
    if (waits and start or clock) <= latest then
      row[SEEN] = waits and now or 0
      row[LATEST] = waits and start or 0
      spend(row, start, cost, p)
    end
    return waits and start or clock
  end,

  amend = function(row, clock, stamp, delta, p)
    local now = heal(row, clock, p)
    local latest = row[LATEST]
    local moment = math.max(now, latest)
    if latest <= now then
      row[SEEN] = 0
      row[LATEST] = 0
    end
    local opened = row[OPENED]
    local correctable = usedAt(row, moment, p) > 0
      and (stamp == -1 and latest <= now or (stamp >= opened and stamp < opened + p[2]))
    if delta > 0 and (correctable or stamp == -1) then
      spend(row, moment, delta, p)
    elseif delta < 0 and correctable then
      row[USED] = math.max(0, row[USED] + delta)
    end
  end,

  remaining = function(row, clock, p)
    local now = heal(row, clock, p)
    return row[LATEST] > now and 0 or math.max(0, p[1] - usedAt(row, now, p))
  end,

  resetAt = function(row, p)
    return row[USED] == 0 and row[LATEST] or row[OPENED] + p[2]
  end,
}
