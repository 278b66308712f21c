import type { Algorithm, Answer, Row } from "../../core/algorithm.js";
import { noStamp, tooLate } from "../../core/algorithm.js";

/**
 * A bucket filled in steps: `rate` tokens at once every `per`, counted from the call that took from a full bucket.
 *
 * Row: the last refill that was counted, what is missing from the bucket since then (above `burst`: a debt), then, only
 * while a start lies ahead: the moment of the last write, the latest granted start, and what would be missing if the
 * bucket had been full when the first of those who wait starts.
 */
export interface IntervalParameters {
  readonly burst: number;
  readonly rate: number;
  /** µs */
  readonly per: number;
  /** µs: for the whole burst, as in `Policy.window`. */
  readonly span: number;
  /** Costs beyond this are as good as this: the refill that would pay for it lies within exact integers. */
  readonly mostCost: number;
}

const REFILL = 0;
const MISSING = 1;
const SEEN = 2;
const LATEST = 3;
const LEAST = 4;

export const interval: Algorithm<IntervalParameters> = {
  name: "token-bucket-interval",
  columns: 5,
  lasting: () => 2,
  encode: (p) => [p.burst, p.rate, p.per, p.span, p.mostCost],

  step(row, _log, clock, earliest, latest, cost, p, answer) {
    const now = heal(row, clock, p, answer);
    let start = Math.max(now, earliest, row[LATEST] as number);
    if (cost > p.burst) {
      start = Number.POSITIVE_INFINITY;
    } else {
      const short = (row[MISSING] as number) + cost - p.burst;
      if (short > 0) start = Math.max(start, (row[REFILL] as number) + Math.ceil(short / p.rate) * p.per);
    }
    const waits = start > now;
    answer.stamp = start;
    answer.start = waits ? start : clock;
    const granted = answer.start <= latest;
    if (granted) {
      answer.changed = true;
      if (waits) {
        const least = (row[LATEST] as number) > now ? (row[LEAST] as number) : 0;
        row[LEAST] = Math.max(0, least - refillsUntil(row, start, p) * p.rate) + cost;
        row[SEEN] = now;
        row[LATEST] = start;
      } else {
        row[LEAST] = row[SEEN] = row[LATEST] = 0;
      }
      advance(row, start, p);
      row[MISSING] = (row[MISSING] as number) + cost;
    }
    answer.remaining = tokens(row, granted ? start : now, p);
    answer.resetAt = full(row, now, p);
  },

  amend(row, _log, clock, stamp, asked, p, answer) {
    const now = heal(row, clock, p, answer);
    // a bucket does not know its grants: the caller says which are past correcting
    const delta = stamp === tooLate ? 0 : asked;
    const waiting = (row[LATEST] as number) > now;
    // a correction counts from the moment of its grant: what has been refilled since then is refilled
    const correction = delta > 0 && stamp !== noStamp;
    if (waiting) {
      // those who wait keep their starts: what comes back beyond a full bucket before the first of them is lost
      row[LEAST] = Math.min((row[LEAST] as number) + Math.max(0, delta), p.mostCost);
    } else {
      row[SEEN] = row[LATEST] = row[LEAST] = 0;
      if (!correction) advance(row, now, p);
    }
    row[MISSING] = Math.max(row[LEAST], Math.min((row[MISSING] as number) + delta, p.mostCost));
    if (correction && !waiting) advance(row, now, p);
    answer.start = clock;
    answer.changed = true;
    answer.remaining = tokens(row, now, p);
    answer.resetAt = full(row, now, p);
  },
};

/**
 * The moment to reason at. A row written later than now shows that the clock went back: by up to a span, time stands
 * still until it has caught up; by more, the row moves back with the clock, so that nobody is locked out.
 */
function heal(row: Row, clock: number, p: IntervalParameters, answer: Answer): number {
  answer.changed = false;
  const written = row[MISSING] === 0 ? 0 : (row[REFILL] as number);
  const seen = (row[LATEST] as number) > 0 ? (row[SEEN] as number) : written;
  if (clock >= seen) return clock;
  const back = seen - clock;
  if (back <= p.span) return seen;
  answer.changed = true;
  row[REFILL] = Math.max(0, (row[REFILL] as number) - back);
  if ((row[SEEN] as number) > 0) row[SEEN] = clock;
  if ((row[LATEST] as number) > 0) row[LATEST] = Math.max(0, (row[LATEST] as number) - back);
  return clock;
}

/** Refills from the last that was counted up to `moment`. */
function refillsUntil(row: Row, moment: number, p: IntervalParameters): number {
  return Math.max(0, Math.floor((moment - (row[REFILL] as number)) / p.per));
}

/** Counts the refills up to `moment`. A full bucket counts its refills from the next call on. */
function advance(row: Row, moment: number, p: IntervalParameters): void {
  const missing = row[MISSING] as number;
  const refills = refillsUntil(row, moment, p);
  if (refills >= Math.ceil(missing / p.rate)) {
    row[REFILL] = moment;
    row[MISSING] = 0;
  } else if (refills > 0) {
    row[REFILL] = (row[REFILL] as number) + refills * p.per;
    row[MISSING] = missing - refills * p.rate;
  }
}

/** Tokens in the bucket at `moment`, and none while a start lies ahead. */
function tokens(row: Row, moment: number, p: IntervalParameters): number {
  if ((row[LATEST] as number) > moment) return 0;
  const missing = row[MISSING] as number;
  const refills = refillsUntil(row, moment, p);
  if (refills >= Math.ceil(missing / p.rate)) return p.burst;
  return Math.max(0, p.burst - missing + refills * p.rate);
}

/** The refill that fills the bucket. */
function full(row: Row, now: number, p: IntervalParameters): number {
  const missing = row[MISSING] as number;
  return missing === 0
    ? Math.max(now, row[LATEST] as number)
    : (row[REFILL] as number) + Math.ceil(missing / p.rate) * p.per;
}
