-- The one script of the Redis store: reads rows, runs the steps in order, writes back what changed.
--
-- KEYS: the rows of the asks, in order; for each ask one key for each policy of its limiter. All in one slot.
-- ARGV: a verb, the moment (µs; 0 for the server's own clock), then what the verb reads. A limiter is written in
--   JSON, as a list of its policies, each a list of its parameters and, last, its algorithm.
--   consume  sections, one a limiter: limiter, number of keys (negative: each is asked once, at a cost of 1), then for
--            each key its runs: cost and count (asked `count` times), the count negative when another run follows
--   decide   longest wait (-1 to look only), shortest wait, number of asks, for each: cost, limiter; all are granted, or
--            none
--   amend    delta, limiter, for each policy the moment of the grant that is corrected, or -1
--   undo     cost, limiter, for each policy: the row before the grant, the row after it, the moment of the grant
-- Returns the moment, then for each key: the row as it was (false when there was none), from which the caller's twin of
--   the step derives the answers; or, where an algorithm keeps a log, for each run four numbers: granted, wait (-1 for
--   never), remaining, reset.
--
-- Nothing is written before everything that could fail has been read. Every key that is written expires.
-- luacheck: read globals newAlgorithm
local arguments = 2
local function read()
  arguments = arguments + 1
  return ARGV[arguments]
end
local function number()
  arguments = arguments + 1
  return tonumber(ARGV[arguments])
end

local loaded = {}
local function algorithm(name)
  local found = loaded[name]
  if not found then
    found = newAlgorithm(name)
    loaded[name] = found
  end
  return found
end

-- State outlives what it says by a little (ms), so that a clock stepping back does not find it gone; by an hour where
-- the moment is given, which says nothing about when the server's clock will expire it.
local now = tonumber(ARGV[2])
local margin = 3600000
if now == 0 then
  local time = redis.call("TIME")
  now = time[1] * 1000000 + time[2]
  margin = 100
end

local function limiter()
  local policies = cjson.decode(read())
  for index = 1, #policies do
    local policy = policies[index]
    policy.algorithm = algorithm(policy[#policy])
  end
  return policies
end

local call, format, match, tonumber = redis.call, string.format, string.match, tonumber

-- in ms, as text: Redis writes numbers out more slowly, and would round this one
local function lifetime(resetAt)
  return format("%d", (resetAt > now and (resetAt - now) / 1000 or 0) + 1 + margin)
end

-- What a row says in text: its columns, without the zeros at the end. Most have one or two.
local function fill(row, value)
  local one = tonumber(value)
  row[1], row[2], row[3], row[4], row[5] = one or 0, 0, 0, 0, 0
  if value and not one then
    local first, second = match(value, "^(%d+) (%d+)$")
    if first then
      row[1], row[2] = tonumber(first), tonumber(second)
    else
      local column = 0
      for text in string.gmatch(value, "%S+") do
        column = column + 1
        row[column] = tonumber(text) or 0
      end
    end
  end
  return row
end

local function newRow(key, value)
  return fill({ 0, 0, 0, 0, 0, key = key, was = value }, value)
end

local function open(key, policy)
  local program = policy.algorithm
  if program.open then
    return program.open(key, policy)
  end
  return newRow(key, redis.call("GET", key))
end

local formats = { "%d", "%d %d", "%d %d %d", "%d %d %d %d", "%d %d %d %d %d" }

-- what is kept of a row, and for how long
local function written(row, resetAt)
  local one, two, three, four, five = row[1], row[2], row[3], row[4], row[5]
  local columns = five ~= 0 and 5 or four ~= 0 and 4 or three ~= 0 and 3 or two ~= 0 and 2 or 1
  return format(formats[columns], one, two, three, four, five), lifetime(resetAt)
end

local function save(state, policy)
  local program = policy.algorithm
  local resetAt = program.resetAt(state, policy)
  if program.save then
    program.save(state, lifetime(resetAt))
  else
    local value, expiry = written(state, resetAt)
    call("SET", state.key, value, "PX", expiry)
  end
end

-- what the caller learns of a log that was just decided upon
local function report(state, policy, granted, start, moment)
  local program = policy.algorithm
  local wait = start == math.huge and -1 or start - now
  local reset = math.max(0, program.resetAt(state, policy) - moment)
  return granted, wait, program.remaining(state, moment, policy), reset
end

local reply = { now }
local verb = ARGV[1]

-- Asks every policy `asked` times at `cost`, and grants the first so many that all agree to. Many calls at one moment
-- cost what one call of their sum does, so this is at most three steps however many are asked.
local function consume(states, policies, asked, cost)
  local granted = asked
  local starts = {}
  for index, policy in ipairs(policies) do
    local program = policy.algorithm
    starts[index] = program.step(states[index], now, now, -1, cost, policy)
    if starts[index] > now then
      granted = 0
    elseif asked > 1 then
      granted = math.min(granted, math.floor(program.remaining(states[index], now, policy) / cost))
    end
  end
  if granted > 0 then
    for index, policy in ipairs(policies) do
      local program = policy.algorithm
      program.step(states[index], now, now, now, cost * granted, policy)
      states[index].changed = true
      if granted < asked then
        starts[index] = program.step(states[index], now, now, -1, cost, policy)
      end
    end
  end
  return granted, starts
end

if verb == "consume" then
  local at = 0
  while arguments < #ARGV do
    local policies = limiter()
    local count = #policies
    local only = policies[1]
    local keys = number()
    local plain = keys < 0
    local program = only.algorithm
    if plain and count == 1 and not program.open then
      -- the common call: one policy, one row each, a cost of 1; all new keys are written alike
      local step, resetAt = program.step, program.resetAt
      local row = {}
      local newValue, newExpiry
      local told = #reply
      local values = call("MGET", unpack(KEYS, at + 1, at - keys))
      for index = 1, -keys do
        local value = values[index]
        reply[told + index] = value
        if value or not newValue then
          row.changed = false
          if step(fill(row, value), now, now, now, 1, only) <= now or row.changed then
            local text, expiry = written(row, resetAt(row, only))
            call("SET", KEYS[at + index], text, "PX", expiry)
            if not value then
              newValue, newExpiry = text, expiry
            end
          end
        else
          call("SET", KEYS[at + index], newValue, "PX", newExpiry)
        end
      end
      at = at - keys
    else
      for _ = 1, math.abs(keys) do
        local states = {}
        for index = 1, count do
          states[index] = open(KEYS[at + index], policies[index])
          reply[#reply + 1] = states[index].was
        end
        local more = true
        while more do
          local cost = plain and 1 or number()
          local asked = plain and 1 or number()
          more = asked < 0
          local granted, starts = consume(states, policies, math.abs(asked), cost)
          for index, policy in ipairs(policies) do
            if policy.algorithm.open then
              for _, figure in ipairs({ report(states[index], policy, granted, starts[index], now) }) do
                reply[#reply + 1] = figure
              end
            end
          end
        end
        for index, policy in ipairs(policies) do
          if states[index].changed then
            save(states[index], policy)
          end
        end
        at = at + count
      end
    end
  end
elseif verb == "decide" then
  local maxWait = number()
  local asks = {}
  local start = now + number()
  local at = 0
  for index = 1, number() do
    local ask = { cost = number(), policies = limiter(), states = {}, starts = {} }
    for place, policy in ipairs(ask.policies) do
      local state = open(KEYS[at + place], policy)
      local own = policy.algorithm.step(state, now, now, -1, ask.cost, policy)
      ask.states[place] = state
      ask.starts[place] = own
      start = math.max(start, own)
    end
    at = at + #ask.policies
    asks[index] = ask
  end
  local granted = start <= now + maxWait and start < math.huge
  for _, ask in ipairs(asks) do
    for place, policy in ipairs(ask.policies) do
      local state = ask.states[place]
      if granted then
        policy.algorithm.step(state, now, start, start, ask.cost, policy)
      end
      if granted or state.changed then
        save(state, policy)
      end
      if policy.algorithm.open then
        local moment = granted and start or now
        for _, figure in ipairs({ report(state, policy, granted and 1 or 0, ask.starts[place], moment) }) do
          reply[#reply + 1] = figure
        end
      else
        reply[#reply + 1] = state.was
      end
    end
  end
elseif verb == "amend" then
  local delta = number()
  for index, policy in ipairs(limiter()) do
    local state = open(KEYS[index], policy)
    policy.stamp = number()
    -- only a penalty makes a key known that was not
    local known = state.was or (state.count or 0) > 0
    if known or (delta > 0 and policy.stamp == -1) then
      policy.algorithm.amend(state, now, policy.stamp, delta, policy)
      save(state, policy)
    end
    if policy.algorithm.open then
      for _, figure in ipairs({ report(state, policy, 1, now, now) }) do
        reply[#reply + 1] = figure
      end
    else
      reply[#reply + 1] = state.was
    end
  end
elseif verb == "undo" then
  local cost = number()
  for index, policy in ipairs(limiter()) do
    local state = open(KEYS[index], policy)
    local before, after, stamp = read(), read(), number()
    if state.was and state.was == after then
      if before == "" then
        redis.call("DEL", KEYS[index])
      else
        save(newRow(state.key, before), policy)
      end
    elseif state.was or (state.count or 0) > 0 then
      policy.algorithm.amend(state, now, stamp, -cost, policy)
      save(state, policy)
    end
  end
else
  return redis.error_reply("ERR unknown verb")
end

return reply
