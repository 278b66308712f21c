import type { Algorithm, Log, Row } from "../../core/algorithm.js";
import { noStamp } from "../../core/algorithm.js";
import type { Duration } from "../../core/duration.js";
import { micros } from "../../core/duration.js";
import { type Policy, policy, policyOptions } from "../../core/policy.js";
import { wholeNumber } from "../../core/validate.js";

/**
 * The log of calls is kept beside the row; its newest entry is also the latest granted start, and its edge is that of the
 * window of whoever asks. Row: only while that start lies ahead, the moment of the last write, plus one.
 */
interface SlidingWindowParameters {
  readonly limit: number;
  /** µs */
  readonly window: number;
}

/** Stamps in a log are kept modulo 2⁴⁸ µs: nearly nine years, of which a window may be half. */
const longestWindow = 2 ** 47;
/** The most that a window is charged, and so the largest limit: more debt changes nothing until it has left the window. */
const mostLogged = 2 ** 47;

const SEEN = 0;

const slidingWindowAlgorithm: Algorithm<SlidingWindowParameters> = {
  name: "sliding-window",
  columns: 1,
  lasting: () => 0,
  logged: true,
  encode: (p) => [p.limit, p.window],

  step(row, log, clock, earliest, latest, cost, p, answer) {
    const now = heal(row, log, clock, p, answer);
    const from = Math.max(now, earliest, log.newest());
    const start = cost > p.limit ? Number.POSITIVE_INFINITY : firstFit(log, from, cost, p, answer);
    const waits = start > now;
    answer.stamp = start;
    answer.start = waits ? start : clock;
    const granted = answer.start <= latest;
    if (granted) {
      // what has left the window by now has left it for good
      log.dropThrough(now - p.window);
      log.push(start, cost);
      row[SEEN] = waits ? now + 1 : 0;
      answer.changed = true;
    }
    answer.remaining = remaining(log, granted ? start : now, p, answer);
    answer.resetAt = fresh(log, now, p);
  },

  amend(row, log, clock, stamp, delta, p, answer) {
    const now = heal(row, log, clock, p, answer);
    const past = now - p.window;
    const last = Math.max(now, log.newest());
    log.dropThrough(past);
    // a grant that has left the window cannot be corrected any more, and what has not started yet is not given back
    if (stamp === noStamp && delta < 0) log.take(-delta, 0, now);
    else if (delta < 0 && stamp > past) log.take(-delta, stamp, stamp);
    else if (delta > 0) {
      const added = Math.max(0, Math.min(delta, mostLogged - usedAt(log, last, p, answer)));
      if (stamp === noStamp && added > 0) log.push(last, added);
      else if (stamp > past && added > 0) log.add(stamp, added);
    }
    row[SEEN] = log.newest() > now ? now + 1 : 0;
    answer.start = clock;
    answer.changed = true;
    answer.remaining = remaining(log, now, p, answer);
    answer.resetAt = fresh(log, now, p);
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
function usedAt(log: Log, moment: number, p: SlidingWindowParameters, answer: { changed: boolean }): number {
  const past = moment - p.window;
  if (log.newest() <= past) return 0;
  if (log.moveEdge(past)) answer.changed = true;
  return log.used();
}

/** The moment at which the smallest sufficient prefix of the oldest calls has left the window. */
function firstFit(
  log: Log,
  from: number,
  cost: number,
  p: SlidingWindowParameters,
  answer: { changed: boolean },
): number {
  const over = usedAt(log, from, p, answer) + cost - p.limit;
  return over <= 0 ? from : log.reach(over) + p.window;
}

/** What is left of the limit, and nothing while a start lies ahead. */
function remaining(log: Log, moment: number, p: SlidingWindowParameters, answer: { changed: boolean }): number {
  return log.newest() > moment ? 0 : Math.max(0, p.limit - usedAt(log, moment, p, answer));
}

function fresh(log: Log, now: number, p: SlidingWindowParameters): number {
  return log.used() === 0 ? now : log.newest() + p.window;
}

/**
 * Exact: never more than `limit` in any half-open interval of length `window`, and never refuses what that allows.
 * Keeps every call of the last window: about 9 bytes each (13 where many thousands are charged at a time), calls
 * of the same microsecond together. `window` is at most 2⁴⁷ µs (four and a half years), `limit` and a debt at most 2⁴⁷.
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
    parameters: { limit, window },
  });
}
