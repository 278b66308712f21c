import type { Algorithm, Log, Row } from "../../core/algorithm.js";
import { noStamp } from "../../core/algorithm.js";
import type { Duration } from "../../core/duration.js";
import { micros } from "../../core/duration.js";
import { type Policy, policy, policyOptions } from "../../core/policy.js";
import { wholeNumber } from "../../core/validate.js";

/**
 * The log of calls is kept beside the row; its newest entry is also the latest granted start. Row: what the logged calls
 * cost together, then, only while that start lies ahead: the moment of the last write, plus one.
 */
interface SlidingWindowParameters {
  readonly limit: number;
  /** µs */
  readonly window: number;
  /** What one window is charged is at most this: a debt beyond it changes nothing until it has left the window. */
  readonly most: number;
}

/** Stamps in a log are kept modulo 2⁴⁸ µs: nearly nine years, of which a window may be half. */
const longestWindow = 2 ** 47;
/** The most that a window is charged, and so the largest limit. */
const mostLogged = 2 ** 47;

const LOGGED = 0;
const SEEN = 1;

const slidingWindowAlgorithm: Algorithm<SlidingWindowParameters> = {
  name: "sliding-window",
  columns: 2,
  lasting: () => 1,
  logged: true,
  encode: (p) => [p.limit, p.window, p.most],

  step(row, log, clock, earliest, latest, cost, p, answer) {
    const now = heal(row, log, clock, p, answer);
    const start =
      cost > p.limit ? Number.POSITIVE_INFINITY : firstFit(row, log, Math.max(now, earliest, log.newest()), cost, p);
    const waits = start > now;
    answer.stamp = start;
    answer.start = waits ? start : clock;
    const granted = answer.start <= latest;
    if (granted) {
      // what has left the window by now has left it for good
      row[LOGGED] = (row[LOGGED] as number) - log.dropThrough(now - p.window) + log.push(start, cost);
      row[SEEN] = waits ? now + 1 : 0;
      answer.changed = true;
    }
    answer.remaining = remaining(row, log, granted ? start : now, p);
    answer.resetAt = fresh(row, log, now, p);
  },

  amend(row, log, clock, stamp, delta, p, answer) {
    const now = heal(row, log, clock, p, answer);
    row[LOGGED] = (row[LOGGED] as number) - log.dropThrough(now - p.window);
    const added = Math.max(0, Math.min(delta, p.most - usedAt(row, log, Math.max(now, log.newest()), p)));
    // a grant that has left the window cannot be corrected any more, and what has not started yet is not given back
    const [from, through] = stamp === noStamp ? [0, now] : [stamp, stamp];
    const change =
      delta < 0
        ? -log.take(-delta, from, through)
        : stamp === noStamp
          ? log.push(Math.max(now, log.newest()), added)
          : log.add(stamp, added);
    row[LOGGED] += change;
    row[SEEN] = log.newest() > now ? now + 1 : 0;
    answer.start = clock;
    answer.changed = true;
    answer.remaining = remaining(row, log, now, p);
    answer.resetAt = fresh(row, log, now, p);
  },
};

/**
 * The moment to reason at. A row written later than now shows that the clock went back: by up to a window, time stands
 * still until it has caught up; by more, row and log move back with the clock, so that nobody is locked out.
 */
function heal(row: Row, log: Log, clock: number, p: SlidingWindowParameters, answer: { changed: boolean }): number {
  answer.changed = false;
  const seen = (row[SEEN] as number) > 0 ? (row[SEEN] as number) - 1 : log.newest();
  if (clock >= seen) return clock;
  const back = seen - clock;
  if (back <= p.window) return seen;
  log.shift(back);
  if ((row[SEEN] as number) > 0) row[SEEN] = clock + 1;
  answer.changed = true;
  return clock;
}

/** The cost of the calls in (moment - window, moment]; no call is later. */
function usedAt(row: Row, log: Log, moment: number, p: SlidingWindowParameters): number {
  const past = moment - p.window;
  if (log.newest() <= past) return 0;
  // behind a line of those who wait, the calls of the last window are few, those before them many
  const waited = row[SEEN] !== 0;
  let inside = 0;
  let outside = 0;
  log.scan((stamp, cost) => {
    if (stamp > past) inside += cost;
    else outside += cost;
    return stamp > past === waited;
  }, waited);
  return waited ? inside : (row[LOGGED] as number) - outside;
}

/** The moment at which the smallest sufficient prefix of the oldest calls has left the window. */
function firstFit(row: Row, log: Log, from: number, cost: number, p: SlidingWindowParameters): number {
  const past = from - p.window;
  if (log.newest() <= past) return from;
  let start = from;
  if (row[SEEN] !== 0) {
    let room = p.limit - cost;
    log.scan((stamp, logged) => {
      room -= logged;
      if (stamp > past && room < 0) start = stamp + p.window;
      return stamp > past && room >= 0;
    }, true);
    return start;
  }
  let over = (row[LOGGED] as number) + cost - p.limit;
  log.scan((stamp, logged) => {
    if (over <= 0) return false;
    over -= logged;
    if (stamp > past) start = stamp + p.window;
    return true;
  });
  return start;
}

/** What is left of the limit, and nothing while a start lies ahead. */
function remaining(row: Row, log: Log, moment: number, p: SlidingWindowParameters): number {
  return log.newest() > moment ? 0 : Math.max(0, p.limit - usedAt(row, log, moment, p));
}

function fresh(row: Row, log: Log, now: number, p: SlidingWindowParameters): number {
  return row[LOGGED] === 0 ? now : log.newest() + p.window;
}

/**
 * Exact: never more than `limit` in any half-open interval of length `window`, and never refuses what that allows.
 * Keeps every call of the last window: about 9 bytes each (13 where `limit` is above 32 767), calls of the same
 * microsecond together. `window` is at most 2⁴⁷ µs (four and a half years), `limit` at most 2⁴⁷.
 *
 * Bound: `limit` in any interval of length `window`.
 *
 * @throws TypeError or RangeError (`ERR_INVALID_LIMIT`, `ERR_INVALID_DURATION`, `ERR_INVALID_NAME`).
 * @example
 * const policy = slidingWindow({ limit: 100, window: "1m" })
 * rateLimiter(policy).consumeSync("user:1").remaining // 99
 */
export function slidingWindow(options: { limit: number; window: Duration; name?: string }): Policy {
  policyOptions(options, "slidingWindow");
  const limit = wholeNumber(options.limit, "limit", "ERR_INVALID_LIMIT", 1, mostLogged);
  const window = micros(options.window, "window", 1, longestWindow);
  return policy("sliding-window", options.name, limit, window, {
    algorithm: slidingWindowAlgorithm,
    // a limit that two bytes can hold twice is logged in fewer bytes
    parameters: { limit, window, most: limit <= 0x7fff ? 0xffff : mostLogged },
  });
}
