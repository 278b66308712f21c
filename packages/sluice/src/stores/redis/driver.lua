-- The one script of the Redis store: reads rows, runs the steps in order, writes back what changed.
--
-- KEYS: the rows of the asks, in order; for each ask one key for each policy of its limiter, and, for every verb but
--   `consume` and a `decide` that may not wait, the key of its line. All in one slot.
-- ARGV: a verb, the moment (µs; 0 for the server's own clock), then what the verb reads. A limiter is written in
--   JSON, as a list of its policies, each a list of its parameters, the margin of its rows (ms) and its algorithm.
--   A policy and no more is short for: consume, 0, a limiter of that policy, -1. lone.lua, which comes before this, has
--   decoded it by then, and mostly answered.
--   consume  sections, one a limiter: limiter, number of keys (negative: each is asked once, at a cost of 1), then for
--            each key its runs: cost and count (asked `count` times), the count negative when another run follows
--   decide   longest wait (-1 to look only), shortest wait, name of the place in a line, number of asks, for each:
--            cost, limiter; all are granted, or none
--   amend    delta, limiter, for each policy the moment of the grant that is corrected, or -1
--   settle   delta, limiter, the grant, then, where delta is above 0, for each policy: the moment at which it would
--            have come back at the true cost, limit, window
--   undo     cost, limiter, the grant, then for each policy the row before it
--   leave    limiter, number of those who give up, for each: name of the place, cost, for each policy the moment, and
--            when it comes back
--   A grant is for each policy: the row after it, its moment (-2 when its key has been reset since), when it comes
--   back.
-- Returns the moment, then for each key: the row as it was (false when there was none), from which the caller's twin of
--   the step derives the answers; or, where an algorithm keeps a log, for each run four numbers: granted, wait (-1 for
--   never), remaining, reset.
--
-- Of each key, and of all keys of one decision, everything that could fail is read before anything is written. A key
-- of `consume` that fails spoils no other: all that the reply says of it is "!" and why. Every key that is written
-- expires.
-- luacheck: read globals newAlgorithm newSingle takeShort
-- luacheck: globals decoded

local call, tonumber, format = redis.call, tonumber, string.format
local arguments = decoded and { "consume", "0", "", "-1" } or ARGV
local verb = arguments[1]
local now = tonumber(arguments[2])
local isGiven = now ~= 0
if not isGiven then
  local time = call("TIME")
  now = time[1] * 1000000 + time[2]
end

-- µs
local function marginOf(policy)
  return isGiven and 3600000000 or policy[#policy - 1] * 1000
end

local largest = 9007199254740991

-- how many arguments have been read
local reached = 2
local reply = { now }
-- Of `consume`: how many keys are done, and the rows among them that take the whole step. No two sections share a key.
local taken = 0
local odd
local foreign = "!WRONGTYPE Operation against a key holding the wrong kind of value"

while verb == "consume" and reached < #arguments do
  decoded = decoded or cjson.decode(arguments[reached + 1])
  local only, keys = decoded[1], -arguments[reached + 2]
  local short = keys > 0 and not decoded[2] and newSingle(only[#only])
  if not short then
    break
  end
  decoded = nil
  reached = reached + 2
  local margin = marginOf(only)
  local newValue, newExpiry
  local told = #reply
  local values = call("MGET", unpack(KEYS, taken + 1, taken + keys))
  for index = 1, keys do
    local key, value = KEYS[taken + index], values[index]
    if value then
      reply[told + index] = value
      if not takeShort(key, value, short, only, now, margin) then
        odd = odd or {}
        odd[#odd + 1] = { place = told + index, key = key, value = value, policy = only }
      end
    else
      -- all new keys are written alike
      if not newValue then
        local after, rest, resetAt = short(0, 0, now, only)
        newValue = rest > 0 and format("%d %d", after, rest) or format("%d", after)
        newExpiry = format("%d", (resetAt - resetAt % margin + 2 * margin - now) / 1000 + 1)
      end
      -- MGET does not tell a key that is not there from one that holds something else, which is not ours to replace
      reply[told + index] = not call("SET", key, newValue, "PX", newExpiry, "NX") and foreign
    end
  end
  taken = taken + keys
end
if verb == "consume" and reached == #arguments and not odd then
  return reply
end

local match, gmatch = string.match, string.gmatch

local function read()
  reached = reached + 1
  return arguments[reached]
end
local function number()
  reached = reached + 1
  return tonumber(arguments[reached])
end

local function isWhole(value)
  return value and value >= 0 and value <= largest and value % 1 == 0
end

local loaded = {}
local function prepare(policy)
  local name = policy[#policy]
  loaded[name] = loaded[name] or newAlgorithm(name)
  policy.algorithm = loaded[name]
  policy.margin = marginOf(policy)
end

local function limiter()
  local text = read()
  local policies = decoded or cjson.decode(text)
  decoded = nil
  for index = 1, #policies do
    prepare(policies[index])
  end
  return policies
end

-- When a row expires that has nothing more to say after `resetAt`, µs: at the second mark after that, see lone.lua. So
-- a clock that steps back does not find it gone, and a key that is asked for again soon is not made anew each time.
-- Expiring keys held the server up for 20 ms at a time, and doubled the slowest hundredth of the answers. A margin is
-- an hour where the moment is given, which says nothing about when the server's own clock will expire a key.
-- Returns ms from now, as text: Redis writes numbers out more slowly, and would round this one.
local function lifetime(resetAt, policy)
  local latest = math.max(resetAt, now)
  return format("%d", (latest - latest % policy.margin + 2 * policy.margin - now) / 1000 + 1)
end

-- What a row says in text: its columns, without the zeros at the end. Most have one or two. Returns the text, or false
-- for what is no row, which counts as none.
local function fill(row, value)
  local one = tonumber(value)
  row[1], row[2], row[3], row[4], row[5] = one or 0, 0, 0, 0, 0
  if one then
    if isWhole(one) then
      return value
    end
    row[1] = 0
    return false
  end
  if not value then
    return false
  end
  local first, second = match(value, "^(%d+) (%d+)$")
  if first then
    first, second = tonumber(first), tonumber(second)
    if first <= largest and second <= largest then
      row[1], row[2] = first, second
      return value
    end
    return false
  end
  local column = 0
  for text in gmatch(value, "%S+") do
    column = column + 1
    local figure = match(text, "^%d+$") and tonumber(text)
    if column > 5 or not figure or figure > largest then
      row[1], row[2], row[3], row[4], row[5] = 0, 0, 0, 0, 0
      return false
    end
    row[column] = figure
  end
  return value
end

local function newRow(key, value)
  local row = { key = key }
  row.was = fill(row, value)
  return row
end

local function open(key, policy)
  local program = policy.algorithm
  if program.open then
    return program.open(key, policy)
  end
  return newRow(key, call("GET", key))
end

-- the rows of one ask, whose keys follow the one at `at`
local function openAll(at, policies)
  local states = {}
  for index, policy in ipairs(policies) do
    states[index] = open(KEYS[at + index], policy)
  end
  return states
end

local formats = { "%d", "%d %d", "%d %d %d", "%d %d %d %d", "%d %d %d %d %d" }

local function textOf(row)
  local one, two, three, four, five = row[1], row[2], row[3], row[4], row[5]
  local columns = five ~= 0 and 5 or four ~= 0 and 4 or three ~= 0 and 3 or two ~= 0 and 2 or 1
  return format(formats[columns], one, two, three, four, five)
end

local function save(state, policy)
  local program = policy.algorithm
  local resetAt = program.resetAt(state, policy)
  if program.save then
    program.save(state, lifetime(resetAt, policy))
  else
    call("SET", state.key, textOf(state), "PX", lifetime(resetAt, policy))
  end
end

-- what the caller learns of a log that was just decided upon
local function report(state, policy, granted, start, moment)
  local program = policy.algorithm
  local wait = start == math.huge and -1 or start - now
  local reset = math.max(0, program.resetAt(state, policy) - moment)
  return granted, wait, program.remaining(state, moment, policy), reset
end

-- So many keys, whose rows are those after `first`. Returns where they end, and what the server cannot do at present,
-- which it can do for no key. A function of its own, so that the common call does without those inside it.
local function consumeEach(first, policies, plain, keys)
  -- Asks every policy `asked` times at `cost`, and grants the first so many that all agree to. Many calls at one moment
  -- cost what one call of their sum does, so this is at most three steps however many are asked.
  local function consume(states, asked, cost)
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

  -- all runs of one key, whose rows are those after `at`
  local function consumeKey(at, runs)
    local states = openAll(at, policies)
    for index = 1, #policies do
      reply[#reply + 1] = states[index].was
    end
    for run = 1, #runs, 2 do
      local granted, starts = consume(states, runs[run + 1], runs[run])
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
  end

  local function readRuns()
    local runs = {}
    local more = true
    while more do
      local cost, asked = number(), number()
      more = asked < 0
      runs[#runs + 1] = cost
      runs[#runs + 1] = math.abs(asked)
    end
    return runs
  end

  -- how many places of the reply one key has
  local function placesOf(runs)
    local places = 0
    for _, policy in ipairs(policies) do
      places = places + (policy.algorithm.open and 2 * #runs or 1)
    end
    return places
  end

  local at = first
  for _ = 1, keys do
    local asked = plain and { 1, 1 } or readRuns()
    local told = #reply
    local fine, thrown = pcall(consumeKey, at, asked)
    if not fine then
      local text = type(thrown) == "table" and thrown.err or tostring(thrown)
      local code = match(text, "%u%u%u+")
      if code and code ~= "WRONGTYPE" then
        return at, text
      end
      for place = told + 1, told + placesOf(asked) do
        reply[place] = "!" .. text
      end
    end
    at = at + #policies
  end
  return at
end

if odd then
  for _, each in ipairs(odd) do
    local policy = each.policy
    prepare(policy)
    local row = newRow(each.key, each.value)
    reply[each.place] = row.was
    if policy.algorithm.step(row, now, now, now, 1, policy) <= now or row.changed then
      save(row, policy)
    end
  end
end

if verb == "consume" then
  while reached < #arguments do
    local policies, keys = limiter(), number()
    local only = policies[1]
    local program = only.algorithm
    if keys < 0 and not policies[2] and not program.open then
      -- the common call of the other algorithms
      local row = {}
      local newValue, newExpiry
      local told = #reply
      local values = call("MGET", unpack(KEYS, taken + 1, taken - keys))
      for index = 1, -keys do
        local value = values[index]
        reply[told + index] = fill(row, value)
        row.changed = false
        if value then
          local before = program.resetAt(row, only)
          if program.step(row, now, now, now, 1, only) <= now or row.changed then
            local resetAt = program.resetAt(row, only)
            if resetAt == before and resetAt > now and reply[told + index] then
              call("SET", KEYS[taken + index], textOf(row), "KEEPTTL")
            else
              call("SET", KEYS[taken + index], textOf(row), "PX", lifetime(resetAt, only))
            end
          end
        else
          if not newValue then
            program.step(row, now, now, now, 1, only)
            newValue, newExpiry = textOf(row), lifetime(program.resetAt(row, only), only)
          end
          reply[told + index] = not call("SET", KEYS[taken + index], newValue, "PX", newExpiry, "NX") and foreign
        end
      end
      taken = taken - keys
    else
      local failed
      taken, failed = consumeEach(taken, policies, keys < 0, math.abs(keys))
      if failed then
        return redis.error_reply(failed)
      end
    end
  end
  return reply
end

local function isKnown(state)
  return state.was or (state.count or 0) > 0
end

-- Those who wait for a key stand in a line, so that whoever gives up leaves the key as if he had never asked. It is a
-- list: the rows before the first of them, the rows after the last, the latest start, then what has happened in
-- between, oldest first. That is a place, "name now cost start", or a correction, "* now delta moment ...". While the
-- rows are as the line left them, they can be made anew from those who stay. A log knows each call by its start and
-- needs no line; its row is "-" there.
local longestLine = 65536

-- the moment of a grant that is past correcting: what it took has come back, or been forgotten
local tooLate = -2

local function hasLine(policies)
  for _, policy in ipairs(policies) do
    if not policy.algorithm.open then
      return true
    end
  end
  return false
end

local function readLine(key, policies, last)
  return hasLine(policies) and call("LRANGE", key, 0, last) or {}
end

local function rowsText(states, policies)
  local texts = {}
  for index, policy in ipairs(policies) do
    texts[index] = policy.algorithm.open and "-" or textOf(states[index])
  end
  return table.concat(texts, ",")
end

local function rowsOf(text)
  local rows = {}
  for row in gmatch(text, "[^,]+") do
    rows[#rows + 1] = newRow(nil, row)
  end
  return rows
end

-- somebody's start lies ahead, and nothing but what the line knows of has happened to the rows
local function stands(line, states, policies)
  return line[2] == rowsText(states, policies) and tonumber(line[3]) > now
end

-- the start of a place; 0 for a correction
local function startOf(event)
  return match(event, "^%*") and 0 or tonumber(match(event, "%d+$"))
end

-- lets a place or a correction happen again
local function replay(rows, policies, event)
  local name, moment, cost, rest = match(event, "^(%S+) (%d+) (%-?%d+) (.*)$")
  moment, cost = tonumber(moment), tonumber(cost)
  local stamps = gmatch(rest, "%S+")
  local start = name ~= "*" and tonumber(rest)
  for index, policy in ipairs(policies) do
    local program = policy.algorithm
    local stamp = start or tonumber(stamps())
    if start and not program.open then
      program.step(rows[index], moment, start, largest, cost, policy)
    elseif not program.open and stamp ~= tooLate then
      program.amend(rows[index], moment, stamp, cost, policy)
    end
  end
end

local function expire(key, states, policies)
  local resetAt = 0
  for index, policy in ipairs(policies) do
    resetAt = math.max(resetAt, policy.algorithm.resetAt(states[index], policy))
  end
  call("PEXPIRE", key, lifetime(resetAt, policies[1]))
end

-- puts someone into the line, whose rows were `before`; those who have started become part of what was before
local function enter(key, line, before, name, cost, start, states, policies)
  local first = 3
  if line[2] == before and tonumber(line[3]) > now then
    local event = line[4]
    local rows = rowsOf(line[1])
    while event and startOf(event) <= now do
      replay(rows, policies, event)
      first = first + 1
      event = call("LINDEX", key, first)
    end
    before = rowsText(rows, policies)
    call("LTRIM", key, first, -1)
  else
    call("DEL", key)
  end
  call("LPUSH", key, format("%d", start), rowsText(states, policies), before)
  call("RPUSH", key, format("%s %d %d %d", name, now, cost, start))
  expire(key, states, policies)
end

local function correctionOf(delta, stamps)
  local texts = {}
  for index, stamp in ipairs(stamps) do
    texts[index] = format("%d", stamp)
  end
  return format("* %d %d %s", now, delta, table.concat(texts, " "))
end

-- corrections that those who stand in the line have seen
local function record(key, corrections, states, policies)
  call("LSET", key, 1, rowsText(states, policies))
  if call("RPUSH", key, unpack(corrections)) > longestLine then
    -- those in it keep their names, to give back what the algorithms can tell; the rows are not made anew any more
    call("LTRIM", key, 0, -1 - #corrections)
    call("LSET", key, 1, "")
  end
  expire(key, states, policies)
end

local function correct(state, policy, stamp, delta)
  -- only a penalty makes a key known that was not
  if stamp ~= tooLate and (isKnown(state) or (delta > 0 and stamp == -1)) then
    policy.algorithm.amend(state, now, stamp, delta, policy)
    state.amended = true
  end
end

-- what was amended, or written in another form when it was opened; a row that says nothing any more is no row
local function saveAmended(states, policies)
  for index, policy in ipairs(policies) do
    local state = states[index]
    if state.amended or state.changed then
      if not policy.algorithm.open and textOf(state) == "0" then
        call("DEL", state.key)
      else
        save(state, policy)
      end
    end
  end
end

-- Reads a grant: whether nothing has happened to the rows since, and the moments by which it can be corrected. A row
-- that others have changed does not know its grants: what comes back after now can be corrected, and nothing in a row
-- that is gone. A log knows each call.
local function readGrant(states, policies)
  local still, stamps, resets = true, {}, {}
  for index, policy in ipairs(policies) do
    local after = read()
    stamps[index], resets[index] = number(), number()
    still = still and (policy.algorithm.open or states[index].was == after)
  end
  for index, policy in ipairs(policies) do
    if not still and not policy.algorithm.open and (resets[index] <= now or not states[index].was) then
      stamps[index] = tooLate
    end
  end
  return still, stamps
end

if verb == "decide" then
  local maxWait, shortest, name = number(), number(), read()
  local asks = {}
  local start = now + shortest
  local at = 0
  for index = 1, number() do
    local ask = { cost = number(), policies = limiter(), starts = {} }
    ask.states = openAll(at, ask.policies)
    for place, policy in ipairs(ask.policies) do
      local own = policy.algorithm.step(ask.states[place], now, now, -1, ask.cost, policy)
      ask.starts[place] = own
      start = math.max(start, own)
    end
    at = at + #ask.policies
    if maxWait > 0 then
      at = at + 1
      ask.key = KEYS[at]
      ask.line = readLine(ask.key, ask.policies, 3)
    end
    asks[index] = ask
  end
  local granted = start <= now + maxWait and start < math.huge
  for _, ask in ipairs(asks) do
    local states, policies = ask.states, ask.policies
    local waits = granted and start > now and hasLine(policies)
    local before = waits and rowsText(states, policies)
    for place, policy in ipairs(policies) do
      local state = states[place]
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
    if waits then
      enter(ask.key, ask.line, before, name, ask.cost, start, states, policies)
    end
  end
elseif verb == "amend" then
  local delta, policies, stamps = number(), limiter(), {}
  local key = KEYS[#policies + 1]
  local states = openAll(0, policies)
  local standing = stands(readLine(key, policies, 2), states, policies)
  for index, policy in ipairs(policies) do
    local state = states[index]
    stamps[index] = number()
    reply[#reply + 1] = state.was
    correct(state, policy, stamps[index], delta)
    if policy.algorithm.open then
      for _, figure in ipairs({ report(state, policy, 1, now, now) }) do
        reply[#reply + 1] = figure
      end
    end
  end
  saveAmended(states, policies)
  if standing then
    record(key, { correctionOf(delta, stamps) }, states, policies)
  end
elseif verb == "settle" then
  local delta, policies = number(), limiter()
  local key = KEYS[#policies + 1]
  local states = openAll(0, policies)
  local standing = stands(readLine(key, policies, 2), states, policies)
  local _, stamps = readGrant(states, policies)
  local corrections = { correctionOf(delta, stamps) }
  for index, policy in ipairs(policies) do
    correct(states[index], policy, stamps[index], delta)
    local backAt, limit, window = 0, 0, 1
    if delta > 0 then
      backAt, limit, window = number(), number(), number()
    end
    local owed = math.min(delta, math.ceil(math.max(0, backAt - now) * limit / window))
    if stamps[index] == tooLate and owed > 0 then
      correct(states[index], policy, -1, owed)
      local only = {}
      for place = 1, #policies do
        only[place] = place == index and -1 or tooLate
      end
      corrections[#corrections + 1] = correctionOf(owed, only)
    end
  end
  saveAmended(states, policies)
  if standing then
    record(key, corrections, states, policies)
  end
elseif verb == "undo" then
  local cost, policies = number(), limiter()
  local key = KEYS[#policies + 1]
  local states = openAll(0, policies)
  local standing = stands(readLine(key, policies, 2), states, policies)
  local still, stamps = readGrant(states, policies)
  for index, policy in ipairs(policies) do
    local before = read()
    if still and not policy.algorithm.open then
      fill(states[index], before)
      states[index].amended = true
    else
      correct(states[index], policy, stamps[index], -cost)
    end
  end
  saveAmended(states, policies)
  if standing and not still then
    record(key, { correctionOf(-cost, stamps) }, states, policies)
  end
elseif verb == "leave" then
  local policies = limiter()
  local key = KEYS[#policies + 1]
  local states = openAll(0, policies)
  local line = readLine(key, policies, -1)
  local whole = line[2] == rowsText(states, policies)
  local leavers, byName = {}, {}
  for index = 1, number() do
    local leaver = { name = read(), cost = number(), stamps = {} }
    for place, policy in ipairs(policies) do
      local stamp, reset = number(), number()
      leaver.stamps[place] = (policy.algorithm.open or reset > now) and stamp or tooLate
      leaver.ahead = leaver.ahead or stamp > now
    end
    leavers[index] = leaver
    byName[leaver.name] = leaver
  end
  local events, newest = {}, 0
  local rows = whole and rowsOf(line[1])
  for index = 4, #line do
    local event = line[index]
    local leaver = byName[match(event, "^%S+")]
    if leaver then
      leaver.found = true
    else
      events[#events + 1] = event
      newest = math.max(newest, startOf(event))
      if whole then
        replay(rows, policies, event)
      end
    end
  end
  for index, policy in ipairs(policies) do
    if whole and not policy.algorithm.open then
      local state = states[index]
      for column = 1, 5 do
        state[column] = rows[index][column]
      end
      state.amended = true
    end
  end
  for _, leaver in ipairs(leavers) do
    local inLine = whole and leaver.found
    -- whose start lies ahead and who stands in no line has been forgotten with the key: he has nothing to give back
    if leaver.found or not leaver.ahead or not hasLine(policies) then
      for index, policy in ipairs(policies) do
        if policy.algorithm.open or not inLine then
          correct(states[index], policy, leaver.stamps[index], -leaver.cost)
        end
      end
      if whole and not inLine then
        events[#events + 1] = correctionOf(-leaver.cost, leaver.stamps)
      end
    end
  end
  saveAmended(states, policies)
  if whole then
    call("DEL", key)
    if newest > now then
      call("RPUSH", key, line[1], rowsText(states, policies), format("%d", newest))
      for from = 1, #events, 1000 do
        call("RPUSH", key, unpack(events, from, math.min(from + 999, #events)))
      end
      expire(key, states, policies)
    end
  end
else
  return redis.error_reply("ERR unknown verb")
end

return reply
