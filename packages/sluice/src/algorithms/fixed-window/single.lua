-- The `step` of fixed-window.lua for a cost of 1 that is to start now, on a row without waiters. Returns its two
-- numbers afterwards, the moment from which they say nothing, and that of the numbers before (0 where they said
-- nothing); false when it refuses, which changes nothing; nil when that takes the whole step.
return function(opened, used, now, p)
  local ends = opened + p[2]
  if now < opened then
    return nil
  end
  if used == 0 or now >= ends then
    local start = p[3] == 1 and now - now % p[2] or now
    return start, 1, start + p[2], used > 0 and ends or 0
  end
  if used >= p[1] then
    return false
  end
  return opened, used + 1, ends, ends
end
