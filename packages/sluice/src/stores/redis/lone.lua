-- The lone call: one key is asked once, at a cost of 1, by the server's own clock, of a limiter with one policy. It
-- comes first because most of what driver.lua makes at its start it does not need.
--
-- KEYS: its row. ARGV: its policy, written as in driver.lua, which goes on where the policy or the row has no short
--   form, and with every other call. (A limiter would do: a list within a list takes 0.4 µs more to decode.)
-- Returns the moment and, where there was a row, a space and that, as one text: a table that is returned takes the
--   server half a µs more, for it looks for eight fields in it.
-- luacheck: read globals newSingle

-- Functions are made anew at each call: these capture nothing, and there are as few as can be.

-- Takes the short form of the step for a key that holds `value`, or nothing. Returns whether that was enough. It reads
-- a row as its twin in TypeScript does; of texts that nothing here writes, e.g. "1e3 5", `fill` takes fewer for rows.
--
-- A row lives until the second mark after the moment at which it has nothing more to say; there is a mark every
-- `margin` µs. So most calls on a busy key need not set its time to live anew: to add in place takes the server 0.3 µs,
-- to write a text 0.6, and to set the time to live with it 1.0.
local function takeShort(key, value, short, policy, now, margin)
  local one, two = 0, 0
  if value then
    one = tonumber(value)
    if not one then
      local gap = string.find(value, " ", 1, true)
      if gap then
        one, two = tonumber(string.sub(value, 1, gap - 1)), tonumber(string.sub(value, gap + 1))
      end
    end
    local fits = one and two and one >= 0 and two >= 0 and one <= 9007199254740991 and two <= 9007199254740991
    if not fits or one % 1 ~= 0 or two % 1 ~= 0 then
      return false
    end
  end
  local after, rest, resetAt, before = short(one, two, now, policy)
  if after then
    local mark = resetAt - resetAt % margin
    local lives = value and before - before % margin == mark
    -- in place, unless the server takes it for no whole number, e.g. "1e3"
    local added = lives and two == 0 and rest == 0 and redis.pcall("INCRBY", key, string.format("%d", after - one))
    if type(added) ~= "number" then
      local text = rest > 0 and string.format("%d %d", after, rest) or string.format("%d", after)
      if lives then
        redis.call("SET", key, text, "KEEPTTL")
      else
        redis.call("SET", key, text, "PX", string.format("%d", (mark + 2 * margin - now) / 1000 + 1))
      end
    end
  end
  return after ~= nil
end

-- The limiter that driver.lua reads next, where it has been decoded already.
local decoded -- luacheck: ignore

if not ARGV[2] then
  local only = cjson.decode(ARGV[1])
  local short = newSingle(only[#only])
  if short then
    local time = redis.call("TIME")
    local now = time[1] * 1000000 + time[2]
    -- an error is a table: what the key holds is not ours, and is told of by what follows
    local value = redis.pcall("GET", KEYS[1])
    if type(value) ~= "table" and takeShort(KEYS[1], value, short, only, now, only[#only - 1] * 1000) then
      return value and string.format("%d %s", now, value) or string.format("%d", now)
    end
  end
  decoded = { only }
end
