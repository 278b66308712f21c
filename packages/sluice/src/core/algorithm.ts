/**
 * What every algorithm is: a short row of numbers, and two pure functions over it.
 *
 * Times are integer microseconds on the store's clock. A row of zeros is a key never seen. The store loads a copy of the
 * row, calls one of the functions, and saves the copy when `answer.changed` says so; else the copy is as it was. Nothing
 * else connects the two.
 * The same functions stand in Lua beside each algorithm, with the same names in the same order.
 */
export interface Algorithm<Parameters = unknown> {
  /** As in `Policy.algorithm`. */
  readonly name: string;
  /** Numbers in a row. */
  readonly columns: number;
  /** The first so many columns hold for every key; the others are zero unless a granted start lies ahead, or a debt does. */
  lasting(parameters: Parameters): number;
  /** True when every call is kept in a `Log` besides the row. */
  readonly logged?: boolean;
  /** The parameters as the Lua twin reads them. */
  encode(parameters: Parameters): readonly number[];
  /**
   * May `cost` start within `latest`, and when? Reasons at `max(now, earliest, the latest start granted so far)`, which
   * makes it first come, first served. Grants, and writes the row, when that start is not after `latest`.
   */
  step(
    row: Row,
    log: Log,
    now: number,
    earliest: number,
    latest: number,
    cost: number,
    parameters: Parameters,
    answer: Answer,
  ): void;
  /**
   * Adds `cost` without asking (`delta` > 0: a penalty, or a debt) or gives it back (`delta` < 0). With a `stamp`, the
   * start of the grant that is being corrected; without (`noStamp`), as of now, giving back the newest first; nothing
   * for a grant that is past correcting (`tooLate`).
   * Never makes a standing grant invalid, never admits more than the bound, never lifts above the limit.
   */
  amend(row: Row, log: Log, now: number, stamp: number, delta: number, parameters: Parameters, answer: Answer): void;
}

export type Row = Float64Array;

/** For `amend`: no particular grant is meant. */
export const noStamp = -1;
/** For `amend`: the grant that is meant has been forgotten by now, and what it took has come back. Changes nothing. */
export const tooLate = -2;

/** One object, reused: what `step` and `amend` found. */
export interface Answer {
  /** µs: the earliest start; `now` when that is not ahead, Infinity when the cost can never pass. */
  start: number;
  /** The same as the row knows it, for `amend`; not `start` while time stands still for a clock that went back. */
  stamp: number;
  /** Unit calls that could start at once: after the grant as of its start, else as of now. */
  remaining: number;
  /** µs: the moment from which the key is as if never seen. */
  resetAt: number;
  /** The row has to be saved. */
  changed: boolean;
}

// The fractions make V8 give the fields double representation from the start: stores into them then allocate nothing.
export function newAnswer(): Answer {
  return { start: 0.5, stamp: 0.5, remaining: 0, resetAt: 0.5, changed: false };
}

/**
 * The calls of one key, oldest first: start and cost of each, starts never decreasing. It has an edge, from which on what
 * the calls cost together is known: at some call, which only `moveEdge` changes as long as the call is there.
 */
export interface Log {
  /** Start of the newest call; 0 when there is none. */
  newest(): number;
  /** Puts the edge between the calls up to `past`, which lies before the newest, and those after it. Says whether it moved. */
  moveEdge(past: number): boolean;
  /** What the calls from the edge on cost. */
  used(): number;
  /** The start of the call by which those from the edge on have cost at least `cost`, which is at most `used`. */
  reach(cost: number): number;
  /** Adds at the end; merges with a call of the same stamp. */
  push(stamp: number, cost: number): void;
  /** Forgets calls up to and including `stamp`. */
  dropThrough(stamp: number): void;
  /** Takes up to `cost` from the calls from `from` up to `through`, the newest first. */
  take(cost: number, from: number, through: number): void;
  /** Adds to the call of exactly `stamp`, if there is one. */
  add(stamp: number, cost: number): void;
  /** Moves every call back in time. */
  shift(back: number): void;
}

/** A log for the algorithms that keep none. */
export const noLog: Log = {
  newest: () => 0,
  moveEdge: () => false,
  used: () => 0,
  reach: () => 0,
  push: () => {},
  dropThrough: () => {},
  take: () => {},
  add: () => {},
  shift: () => {},
};

/**
 * floor(a·b/c) for integers up to 2⁵³ where the result is one too; exact also where a·b is not.
 * The remainder of the rounded quotient is computed without error by Dekker's product (Numer. Math. 18, 1971).
 */
export function floorMulDiv(a: number, b: number, c: number): number {
  const product = a * b;
  let quotient = Math.floor(product / c);
  if (product <= Number.MAX_SAFE_INTEGER) return quotient;
  let remainder = product - quotient * c + (productError(a, b, product) - productError(quotient, c, quotient * c));
  while (remainder < 0) {
    quotient -= 1;
    remainder += c;
  }
  while (remainder >= c) {
    quotient += 1;
    remainder -= c;
  }
  return quotient;
}

/** ceil(a·b/c), as `floorMulDiv`. */
export function ceilMulDiv(a: number, b: number, c: number): number {
  const product = a * b;
  if (product <= Number.MAX_SAFE_INTEGER) return Math.ceil(product / c);
  const down = floorMulDiv(a, b, c);
  const back = down * c;
  return product - back + (productError(a, b, product) - productError(down, c, back)) === 0 ? down : down + 1;
}

/** a·b − product, exactly. */
function productError(a: number, b: number, product: number): number {
  const splitA = 134_217_729 * a;
  const highA = splitA - (splitA - a);
  const lowA = a - highA;
  const splitB = 134_217_729 * b;
  const highB = splitB - (splitB - b);
  const lowB = b - highB;
  return highA * highB - product + highA * lowB + lowA * highB + lowA * lowB;
}
