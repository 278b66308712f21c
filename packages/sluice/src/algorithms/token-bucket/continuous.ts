import type { Algorithm, Answer, Row } from "../../core/algorithm.js";
import { noStamp, tooLate } from "../../core/algorithm.js";

/**
 * The generic cell rate algorithm (ITU-T I.371, annex A), which is the token bucket in one number: the theoretical
 * arrival time `tat`, at which the bucket would be full. `tat - now` is what is missing from it, in time.
 *
 * One token takes `per / rate` µs, seldom a whole number, so durations are kept as `whole + part / parts` µs.
 *
 * Row: tat, its part, then, only while a start lies ahead or a debt does: the moment of the last write, the latest
 * granted start, and what tat would be, rounded up, if the bucket had been full when the first of those who wait starts.
 */
export interface ContinuousParameters {
  readonly burst: number;
  /** µs that one token takes: whole + part / parts. */
  readonly tickWhole: number;
  readonly tickPart: number;
  readonly parts: number;
  /** µs that the full burst takes: whole + part / parts. */
  readonly spanWhole: number;
  readonly spanPart: number;
  /** Costs beyond this are as good as this: products with it are exact. */
  readonly mostCost: number;
  /** The parts of a µs that one token takes. */
  readonly tick: number;
  /** 1: the span in parts of a µs is an exact integer; 0: it is beyond those. */
  readonly exact: 0 | 1;
}

const TAT = 0;
const PART = 1;
const SEEN = 2;
const LATEST = 3;
const LEAST = 4;

/** Beyond this, a debt is as good as for ever: sums stay exact. */
const horizon = 2 ** 52;

export const continuous: Algorithm<ContinuousParameters> = {
  name: "token-bucket",
  columns: 5,
  lasting: (p) => (p.parts === 1 ? 1 : 2),
  encode: (p) => [p.burst, p.tickWhole, p.tickPart, p.parts, p.spanWhole, p.spanPart, p.mostCost],

  step(row, _log, clock, earliest, latest, cost, p, answer) {
    const now = heal(row, clock, p, answer);
    const last = row[LATEST] as number;
    let start = Math.max(now, earliest, last);
    const whole = wholeTicks(cost, p);
    const part = partTicks(cost, p);
    if (cost > p.burst) {
      start = Number.POSITIVE_INFINITY;
    } else {
      // the first µs at which `cost` tokens are there: tat + cost·tick - span, rounded up
      const over = (row[PART] as number) + part - p.spanPart;
      const due = (row[TAT] as number) + whole - p.spanWhole + (over > p.parts ? 2 : over > 0 ? 1 : 0);
      if (due > start) start = due < horizon ? due : Number.POSITIVE_INFINITY;
    }
    const waits = start > now;
    answer.stamp = start;
    answer.start = waits ? start : clock;
    const granted = answer.start <= latest;
    if (granted) {
      answer.changed = true;
      if (waits) {
        const least = last > now ? (row[LEAST] as number) : 0;
        row[LEAST] = Math.min(Math.max(least, start) + whole + (part > 0 ? 1 : 0), horizon);
        row[SEEN] = now;
        row[LATEST] = start;
      } else {
        row[LEAST] = row[SEEN] = row[LATEST] = 0;
      }
      spend(row, start, whole, part, p);
    }
    const moment = granted ? start : now;
    const tat = row[TAT] as number;
    const tatPart = row[PART] as number;
    answer.remaining = (row[LATEST] as number) > moment ? 0 : tokens(tat, tatPart, moment, p);
    answer.resetAt = tatPart > 0 ? tat + 1 : tat;
  },

  amend(row, _log, clock, stamp, asked, p, answer) {
    const now = heal(row, clock, p, answer);
    // a bucket does not know its grants: the caller says which are past correcting
    const delta = stamp === tooLate ? 0 : asked;
    if (delta > 0) {
      // a correction counts from the moment of its grant, a penalty from now
      const cost = Math.min(delta, p.mostCost);
      const whole = wholeTicks(cost, p);
      const part = partTicks(cost, p);
      spend(row, stamp === noStamp ? now : 0, whole, part, p);
      if ((row[LATEST] as number) > now) {
        row[LEAST] = Math.min((row[LEAST] as number) + whole + (part > 0 ? 1 : 0), horizon);
      }
    } else {
      giveBack(row, now, Math.min(-delta, p.mostCost), p);
    }
    // never 0, which would say that nothing lies ahead
    if (earliestOf(row, p) > now) row[SEEN] = Math.max(now, 1);
    else if ((row[LATEST] as number) <= now) row[SEEN] = row[LATEST] = row[LEAST] = 0;
    answer.start = clock;
    answer.changed = true;
    const tat = row[TAT] as number;
    const tatPart = row[PART] as number;
    answer.remaining = (row[LATEST] as number) > now ? 0 : tokens(tat, tatPart, now, p);
    answer.resetAt = tatPart > 0 ? tat + 1 : tat;
  },
};

/**
 * The moment to reason at. A row that was written later than now shows that the clock went back: by up to a span, time
 * stands still until it has caught up; by more, the row moves back with the clock, so that nobody is locked out.
 * A row without `seen` was at most empty when it was written, so it was written no earlier than `tat - span`.
 */
function heal(row: Row, clock: number, p: ContinuousParameters, answer: Answer): number {
  answer.changed = false;
  const known = (row[SEEN] as number) > 0 || (row[LATEST] as number) > 0;
  const seen = known ? (row[SEEN] as number) : earliestOf(row, p);
  return clock >= seen ? clock : moveBack(row, clock, seen, p, answer);
}

function moveBack(row: Row, clock: number, seen: number, p: ContinuousParameters, answer: Answer): number {
  const back = seen - clock;
  if (back <= p.spanWhole + (p.spanPart > 0 ? 1 : 0)) return seen;
  answer.changed = true;
  row[TAT] = (row[TAT] as number) - back;
  if ((row[SEEN] as number) > 0) row[SEEN] = clock;
  if ((row[LATEST] as number) > 0) {
    row[LATEST] = Math.max(0, (row[LATEST] as number) - back);
    row[LEAST] = Math.max(0, (row[LEAST] as number) - back);
  }
  return clock;
}

/** cost·tick: whole µs, and what is left of it in `parts`. */
function wholeTicks(cost: number, p: ContinuousParameters): number {
  const parts = cost * p.tickPart;
  return cost * p.tickWhole + (parts < p.parts ? 0 : Math.floor(parts / p.parts));
}

function partTicks(cost: number, p: ContinuousParameters): number {
  const parts = cost * p.tickPart;
  return parts < p.parts ? parts : parts % p.parts;
}

/** tat := max(tat, start) + cost·tick */
function spend(row: Row, start: number, whole: number, part: number, p: ContinuousParameters): void {
  if ((row[TAT] as number) < start) {
    row[TAT] = start;
    row[PART] = 0;
  }
  const tat = (row[TAT] as number) + whole;
  const tatPart = (row[PART] as number) + part;
  row[TAT] = Math.min(tatPart >= p.parts ? tat + 1 : tat, horizon);
  row[PART] = tatPart >= p.parts ? tatPart - p.parts : tatPart;
}

/** The first moment at which the bucket was not below empty: a start that was granted just in time. */
function earliestOf(row: Row, p: ContinuousParameters): number {
  return (row[TAT] as number) - p.spanWhole + ((row[PART] as number) > p.spanPart ? 1 : 0);
}

/**
 * tat := tat - cost·tick. While others wait for starts ahead, those stand: what comes back beyond a full bucket before
 * the first of them is lost.
 */
function giveBack(row: Row, now: number, cost: number, p: ContinuousParameters): void {
  const tat = row[TAT] as number;
  const tatPart = row[PART] as number;
  const whole = wholeTicks(cost, p);
  const part = partTicks(cost, p);
  row[TAT] = tat - whole - (part > tatPart ? 1 : 0);
  row[PART] = tatPart - part + (part > tatPart ? p.parts : 0);
  const least = row[LEAST] as number;
  if ((row[LATEST] as number) > now && row[TAT] < least) {
    row[TAT] = Math.min(tat, least);
    row[PART] = tat < least ? tatPart : 0;
  }
  if (row[TAT] < 0) row[TAT] = row[PART] = 0;
}

/** Tokens that could be taken at `moment`, when no start lies ahead: floor((span - (tat - moment)) / tick). */
function tokens(tat: number, tatPart: number, moment: number, p: ContinuousParameters): number {
  if (tat < moment) return p.burst;
  const whole = p.spanWhole + moment - tat;
  const part = p.spanPart - tatPart;
  return p.exact === 1 ? Math.max(0, Math.floor((whole * p.parts + part) / p.tick)) : counted(whole, part, p);
}

/** The same where the span in parts is beyond exact integers: the division rounds, so its result is only a first guess. */
function counted(wholeOrMore: number, anyPart: number, p: ContinuousParameters): number {
  const whole = anyPart < 0 ? wholeOrMore - 1 : wholeOrMore;
  const part = anyPart < 0 ? anyPart + p.parts : anyPart;
  if (whole < 0) return 0;
  let count = Math.min(p.burst, Math.floor((whole + part / p.parts) / (p.tickWhole + p.tickPart / p.parts)));
  while (!affordable(count, whole, part, p)) count -= 1;
  while (affordable(count + 1, whole, part, p)) count += 1;
  return count;
}

function affordable(count: number, whole: number, part: number, p: ContinuousParameters): boolean {
  const needWhole = wholeTicks(count, p);
  return needWhole < whole || (needWhole === whole && partTicks(count, p) <= part);
}
