import type { Algorithm, Answer, Row } from "../../core/algorithm.js";
import { noStamp } from "../../core/algorithm.js";
import type { Duration } from "../../core/duration.js";
import { micros } from "../../core/duration.js";
import { show, typeError } from "../../core/errors.js";
import { largestLimit, type Policy, policy, policyOptions } from "../../core/policy.js";
import { wholeNumber } from "../../core/validate.js";

/**
 * Row: start of the window, what was used in it, then, only while a start lies ahead: the moment of the last write, the
 * latest granted start.
 */
interface FixedWindowParameters {
  readonly limit: number;
  /** µs */
  readonly window: number;
  /** 1: windows are multiples of their length on the clock; 0: a window starts at its first admitted call. */
  readonly aligned: 0 | 1;
}

const OPENED = 0;
const USED = 1;
const SEEN = 2;
const LATEST = 3;

const fixedWindowAlgorithm: Algorithm<FixedWindowParameters> = {
  name: "fixed-window",
  columns: 4,
  lasting: () => 2,
  encode: (p) => [p.limit, p.window, p.aligned],

  step(row, _log, clock, earliest, latest, cost, p, answer) {
    const now = heal(row, clock, p, answer);
    let start = Math.max(now, earliest, row[LATEST] as number);
    if (cost > p.limit) start = Number.POSITIVE_INFINITY;
    else if (usedAt(row, start, p) + cost > p.limit) start = (row[OPENED] as number) + p.window;
    const waits = start > now;
    answer.stamp = start;
    answer.start = waits ? start : clock;
    const granted = answer.start <= latest;
    if (granted) {
      answer.changed = true;
      row[SEEN] = waits ? now : 0;
      row[LATEST] = waits ? start : 0;
      spend(row, start, cost, p);
    }
    answer.remaining = remaining(row, granted ? start : now, p);
    answer.resetAt = fresh(row, now, p);
  },

  amend(row, _log, clock, stamp, delta, p, answer) {
    const now = heal(row, clock, p, answer);
    const latest = row[LATEST] as number;
    const moment = Math.max(now, latest);
    if (latest <= now) row[SEEN] = row[LATEST] = 0;
    const opened = row[OPENED] as number;
    // Only the window of the grant can be corrected, and only while it lasts. While a start lies ahead, what came before
    // it can no longer be told from what was granted ahead, which has to stand: then nothing comes back.
    const correctable =
      usedAt(row, moment, p) > 0 && (stamp === noStamp ? latest <= now : stamp >= opened && stamp < opened + p.window);
    if (delta > 0 && (correctable || stamp === noStamp)) spend(row, moment, delta, p);
    else if (delta < 0 && correctable) row[USED] = Math.max(0, (row[USED] as number) + delta);
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
function heal(row: Row, clock: number, p: FixedWindowParameters, answer: Answer): number {
  answer.changed = false;
  // aligned windows open before the call that is first in them, which is safe: it only makes the clock look less wrong
  const seen = (row[LATEST] as number) > 0 ? (row[SEEN] as number) : (row[OPENED] as number);
  if (clock >= seen) return clock;
  const back = seen - clock;
  if (back <= p.window) return seen;
  answer.changed = true;
  const opened = Math.max(0, (row[OPENED] as number) - back);
  row[OPENED] = p.aligned === 1 ? opened - (opened % p.window) : opened;
  if ((row[SEEN] as number) > 0) row[SEEN] = clock;
  if ((row[LATEST] as number) > 0) row[LATEST] = Math.max(0, (row[LATEST] as number) - back);
  return clock;
}

function usedAt(row: Row, moment: number, p: FixedWindowParameters): number {
  return moment < (row[OPENED] as number) + p.window ? (row[USED] as number) : 0;
}

function spend(row: Row, start: number, cost: number, p: FixedWindowParameters): void {
  const used = usedAt(row, start, p);
  if (used === 0) row[OPENED] = p.aligned === 1 ? start - (start % p.window) : start;
  row[USED] = Math.min(used + cost, Number.MAX_SAFE_INTEGER);
}

function remaining(row: Row, moment: number, p: FixedWindowParameters): number {
  return (row[LATEST] as number) > moment ? 0 : Math.max(0, p.limit - usedAt(row, moment, p));
}

function fresh(row: Row, now: number, p: FixedWindowParameters): number {
  return row[USED] === 0 ? Math.max(now, row[LATEST] as number) : (row[OPENED] as number) + p.window;
}

/**
 * Counts per window. `anchor` 'first' starts a key's window at its first admitted call (default); 'epoch' aligns windows
 * to multiples of their length on the store's clock.
 *
 * Bound in any interval of the same length: `2·limit - 1` ('first'), `2·limit` ('epoch'). State of a key: two numbers.
 *
 * @throws TypeError or RangeError (`ERR_INVALID_LIMIT`, `ERR_INVALID_DURATION`, `ERR_INVALID_NAME`).
 * @example
 * const policy = fixedWindow({ limit: 1000, window: "1h", anchor: "epoch" })
 * policy.limit // 1000
 */
export function fixedWindow(options: {
  limit: number;
  window: Duration;
  anchor?: "first" | "epoch";
  name?: string;
}): Policy {
  policyOptions(options, "fixedWindow");
  const limit = wholeNumber(options.limit, "limit", "ERR_INVALID_LIMIT", 1, largestLimit);
  const window = micros(options.window, "window");
  const { anchor = "first" } = options;
  if (anchor !== "first" && anchor !== "epoch") {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected anchor to be 'first' or 'epoch', got ${show(anchor)}.`);
  }
  const parameters: FixedWindowParameters = { limit, window, aligned: anchor === "epoch" ? 1 : 0 };
  return policy("fixed-window", options.name, limit, window, { algorithm: fixedWindowAlgorithm, parameters });
}
