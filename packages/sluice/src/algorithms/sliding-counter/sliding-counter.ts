import type { Algorithm, Answer, Row } from "../../core/algorithm.js";
import { ceilMulDiv, floorMulDiv, noStamp } from "../../core/algorithm.js";
import type { Duration } from "../../core/duration.js";
import { micros } from "../../core/duration.js";
import { largestLimit, type Policy, policy, policyOptions } from "../../core/policy.js";
import { wholeNumber } from "../../core/validate.js";

/**
 * Row: start of the current window (a multiple of its length), what was used in the one before and in it, then, only
 * while a start lies ahead: the moment of the last write, the latest granted start.
 */
interface SlidingCounterParameters {
  readonly limit: number;
  /** µs */
  readonly window: number;
}

const OPENED = 0;
const BEFORE = 1;
const USED = 2;
const SEEN = 3;
const LATEST = 4;

const slidingCounterAlgorithm: Algorithm<SlidingCounterParameters> = {
  name: "sliding-counter",
  columns: 5,
  lasting: () => 3,
  encode: (p) => [p.limit, p.window],

  step(row, _log, clock, earliest, latest, cost, p, answer) {
    const now = heal(row, clock, p, answer);
    const start =
      cost > p.limit
        ? Number.POSITIVE_INFINITY
        : firstFit(row, Math.max(now, earliest, row[LATEST] as number), cost, p);
    const waits = start > now;
    answer.stamp = start;
    answer.start = waits ? start : clock;
    const granted = answer.start <= latest;
    if (granted) {
      answer.changed = true;
      row[SEEN] = waits ? now : 0;
      row[LATEST] = waits ? start : 0;
      turn(row, start, p);
      row[USED] = (row[USED] as number) + cost;
    }
    answer.remaining = remaining(row, granted ? start : now, p);
    answer.resetAt = fresh(row, now, p);
  },

  amend(row, _log, clock, stamp, delta, p, answer) {
    const now = heal(row, clock, p, answer);
    const latest = row[LATEST] as number;
    if (latest <= now) {
      row[SEEN] = row[LATEST] = 0;
      turn(row, now, p);
    }
    const opened = row[OPENED] as number;
    const inCurrent = stamp === noStamp || stamp >= opened;
    const inBefore = stamp === noStamp || (stamp < opened && stamp >= opened - p.window);
    if (delta > 0) {
      if (inCurrent) row[USED] = Math.min((row[USED] as number) + delta, Number.MAX_SAFE_INTEGER);
      else if (inBefore) row[BEFORE] = Math.min((row[BEFORE] as number) + delta, Number.MAX_SAFE_INTEGER);
    } else if (stamp !== noStamp || latest <= now) {
      // while a start lies ahead, what has started cannot be told from what was granted ahead, which has to stand
      let left = -delta;
      if (inCurrent) left -= takeFrom(row, USED, left);
      if (inBefore) takeFrom(row, BEFORE, left);
    }
    answer.start = clock;
    answer.changed = true;
    answer.remaining = remaining(row, now, p);
    answer.resetAt = fresh(row, now, p);
  },
};

/**
 * The moment to reason at. A row written later than now shows that the clock went back: by up to a window, time stands
 * still until it has caught up; by more, the row moves back with the clock, so that nobody is locked out.
 */
function heal(row: Row, clock: number, p: SlidingCounterParameters, answer: Answer): number {
  answer.changed = false;
  const seen = (row[LATEST] as number) > 0 ? (row[SEEN] as number) : (row[OPENED] as number);
  if (clock >= seen) return clock;
  const back = seen - clock;
  if (back <= p.window) return seen;
  answer.changed = true;
  const opened = Math.max(0, (row[OPENED] as number) - back);
  row[OPENED] = opened - (opened % p.window);
  if ((row[SEEN] as number) > 0) row[SEEN] = clock;
  if ((row[LATEST] as number) > 0) row[LATEST] = Math.max(0, (row[LATEST] as number) - back);
  return clock;
}

/**
 * The first moment from `from` on at which before·(window - elapsed) + (used + cost)·window <= limit·window, in closed
 * form: in the window of `from`, else in the next, where `used` is what fades.
 */
function firstFit(row: Row, from: number, cost: number, p: SlidingCounterParameters): number {
  const opened = openedAt(row, from, p);
  const before = beforeAt(row, from, p);
  const used = usedAt(row, from, p);
  const free = p.limit - used - cost;
  if (free >= 0) {
    if (faded(before, from - opened, p) <= free) return from;
    return opened + p.window - floorMulDiv(free, p.window, before);
  }
  // used > limit - cost here, so the quotient is below the window
  return opened + 2 * p.window - floorMulDiv(p.limit - cost, p.window, used);
}

/** What the window before still weighs, rounded up. */
function faded(before: number, elapsed: number, p: SlidingCounterParameters): number {
  return before === 0 ? 0 : ceilMulDiv(before, p.window - elapsed, p.window);
}

function openedAt(row: Row, moment: number, p: SlidingCounterParameters): number {
  return moment < (row[OPENED] as number) + p.window ? (row[OPENED] as number) : moment - (moment % p.window);
}

function beforeAt(row: Row, moment: number, p: SlidingCounterParameters): number {
  const age = moment - (row[OPENED] as number);
  return age < p.window ? (row[BEFORE] as number) : age < 2 * p.window ? (row[USED] as number) : 0;
}

function usedAt(row: Row, moment: number, p: SlidingCounterParameters): number {
  return moment - (row[OPENED] as number) < p.window ? (row[USED] as number) : 0;
}

/** Makes the window of `moment` the current one. */
function turn(row: Row, moment: number, p: SlidingCounterParameters): void {
  const opened = openedAt(row, moment, p);
  const before = beforeAt(row, moment, p);
  row[USED] = usedAt(row, moment, p);
  row[BEFORE] = before;
  row[OPENED] = opened;
}

function takeFrom(row: Row, column: number, cost: number): number {
  const taken = Math.min(cost, row[column] as number);
  row[column] = (row[column] as number) - taken;
  return taken;
}

function remaining(row: Row, moment: number, p: SlidingCounterParameters): number {
  if ((row[LATEST] as number) > moment) return 0;
  const elapsed = moment - openedAt(row, moment, p);
  return Math.max(0, p.limit - usedAt(row, moment, p) - faded(beforeAt(row, moment, p), elapsed, p));
}

function fresh(row: Row, now: number, p: SlidingCounterParameters): number {
  if ((row[USED] as number) > 0) return (row[OPENED] as number) + 2 * p.window;
  return (row[BEFORE] as number) > 0 ? (row[OPENED] as number) + p.window : Math.max(now, row[LATEST] as number);
}

/**
 * Two counters over windows aligned to multiples of `window`, O(1) memory: the previous window weighted by its overlap.
 * The compromise of Cloudflare's "How we built rate limiting capable of scaling to millions of domains" (2017), in
 * integers and with an exact `retryAfter`.
 *
 * Bound: `2·limit - 1` in any interval of length `window`. State of a key: three numbers.
 *
 * @throws TypeError or RangeError (`ERR_INVALID_LIMIT`, `ERR_INVALID_DURATION`, `ERR_INVALID_NAME`).
 * @example
 * const policy = slidingCounter({ limit: 100, window: "1m" })
 * policy.window // 60_000
 */
export function slidingCounter(options: { limit: number; window: Duration; name?: string }): Policy {
  policyOptions(options, "slidingCounter");
  const limit = wholeNumber(options.limit, "limit", "ERR_INVALID_LIMIT", 1, largestLimit);
  const window = micros(options.window, "window");
  return policy("sliding-counter", options.name, limit, window, {
    algorithm: slidingCounterAlgorithm,
    parameters: { limit, window },
  });
}
