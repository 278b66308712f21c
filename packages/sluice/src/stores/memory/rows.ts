import { type Algorithm, type Answer, type Log, noLog, type Row } from "../../core/algorithm.js";
import type { Rule } from "../../core/policy.js";
import { headerWidth, LogPool } from "./log-pool.js";
import { slotBits, slotMask, slotsPerChunk } from "./texts.js";

const smallestChunk = 64;
/** The slot of a key that is not held: its row is zeros. */
export const noSlot = -1;

/**
 * The rows of one policy by slot, in chunks of a Float64Array: the lasting columns, then where the key's calls lie in
 * the log. The algorithm works on a copy, which is good for the next call of the same key, too.
 */
export class Rows {
  readonly limit: number;
  /** There is a log beside the row. */
  readonly logged: boolean;
  readonly #window: number;
  readonly #algorithm: Algorithm;
  readonly #parameters: unknown;
  /** The algorithm's columns, then the header of the log. */
  readonly #row: Row;
  readonly #log: Log;
  readonly #pool: LogPool | undefined;
  readonly #columns: number;
  readonly #lasting: number;
  /** The columns that are kept for every slot. */
  readonly #kept: readonly number[];
  readonly #chunks: Float64Array[] = [];
  /** The columns that are not zero only while a start lies ahead, for the few slots of which that is so. */
  readonly #ahead = new Map<number, Row>();
  /** The slot that row and log are a copy of. */
  #loaded = noSlot;

  /** `window` in µs. */
  constructor({ algorithm, parameters }: Rule, limit: number, window: number) {
    this.limit = limit;
    this.#window = window;
    this.#algorithm = algorithm;
    this.#parameters = parameters;
    this.#columns = algorithm.columns;
    this.#lasting = algorithm.lasting(parameters);
    this.logged = algorithm.logged === true;
    this.#row = new Float64Array(this.#columns + (this.logged ? headerWidth : 0));
    this.#kept = [...this.#row.keys()].filter((column) => column < this.#lasting || column >= this.#columns);
    this.#pool = this.logged ? new LogPool(this.#row.subarray(this.#columns)) : undefined;
    this.#log = this.#pool ?? noLog;
  }

  /** The algorithm's `step`; saved when it changed the row of a key that is held. */
  step(slot: number, now: number, earliest: number, latest: number, cost: number, answer: Answer): void {
    if (slot !== this.#loaded) this.#load(slot);
    this.#algorithm.step(this.#row, this.#log, now, earliest, latest, cost, this.#parameters, answer);
    if (answer.changed) this.#save(slot, latest > now);
  }

  /** The algorithm's `amend`, saved. */
  amend(slot: number, now: number, stamp: number, delta: number, answer: Answer): void {
    this.#load(slot);
    this.#algorithm.amend(this.#row, this.#log, now, stamp, delta, this.#parameters, answer);
    this.#save(slot, true);
  }

  /** On a copy of a row, without a log: what was granted is granted again, from `start` on. */
  stepCopy(row: Row, now: number, start: number, cost: number, answer: Answer): void {
    this.#algorithm.step(row, noLog, now, start, Number.MAX_SAFE_INTEGER, cost, this.#parameters, answer);
  }

  /** On a copy of a row, without a log: the algorithm's `amend`. */
  amendCopy(row: Row, now: number, stamp: number, delta: number, answer: Answer): void {
    this.#algorithm.amend(row, noLog, now, stamp, delta, this.#parameters, answer);
  }

  /**
   * What is still owed now, as a cost, if the grant that left the row as `after` cost `delta` more, and nobody had asked
   * since. A log knows its grants, and owes nothing for one that it has forgotten.
   */
  owed(after: Row, granted: number, now: number, stamp: number, delta: number, answer: Answer): number {
    if (this.logged) return 0;
    this.#algorithm.amend(after.slice(), noLog, granted, stamp, delta, this.#parameters, answer);
    return Math.min(delta, Math.ceil((Math.max(0, answer.resetAt - now) * this.limit) / this.#window));
  }

  copy(slot: number): Row {
    this.#load(slot);
    return this.#row.slice();
  }

  /** Nothing has happened to a row since it was copied. */
  isStill(slot: number, copy: Row): boolean {
    this.#load(slot);
    return this.#row.every((number, column) => number === copy[column]);
  }

  put(slot: number, copy: Row): void {
    this.#loaded = slot;
    this.#row.set(copy);
    this.#save(slot, true);
  }

  /** Makes room for a slot; slots come in order. */
  grow(slot: number): void {
    const chunk = slot >>> slotBits;
    const cells = this.#chunks[chunk];
    if (cells === undefined) {
      // the first chunk grows with the keys, so that a limiter of few keys is small
      this.#chunks.push(new Float64Array((chunk === 0 ? smallestChunk : slotsPerChunk) * this.#kept.length));
    } else if (((slot & slotMask) + 1) * this.#kept.length > cells.length) {
      const larger = new Float64Array(cells.length * 2);
      larger.set(cells);
      this.#chunks[chunk] = larger;
    }
  }

  /** Forgets the row and the log of a slot. */
  clear(slot: number): void {
    this.#load(slot);
    this.#pool?.clear();
    this.#row.fill(0);
    this.#save(slot, true);
  }

  /** Forgets every slot. */
  forget(): void {
    this.#chunks.length = 0;
    this.#ahead.clear();
    this.#pool?.empty();
    this.#row.fill(0);
    this.#loaded = noSlot;
  }

  #load(slot: number): void {
    this.#loaded = slot;
    const row = this.#row;
    if (slot < 0) {
      row.fill(0);
      return;
    }
    const kept = this.#kept;
    const cells = this.#chunks[slot >>> slotBits] as Float64Array;
    const from = (slot & slotMask) * kept.length;
    for (let at = 0; at < kept.length; at++) row[kept[at] as number] = cells[from + at] as number;
    // while no start lies ahead anywhere, the columns for it are zero already
    if (this.#ahead.size > 0) this.#loadAhead(slot);
  }

  #loadAhead(slot: number): void {
    const ahead = this.#ahead.get(slot);
    if (ahead === undefined) this.#row.fill(0, this.#lasting, this.#columns);
    else this.#row.set(ahead, this.#lasting);
  }

  #save(slot: number, mayLieAhead: boolean): void {
    const row = this.#row;
    if (slot < 0) {
      row.fill(0);
      return;
    }
    const kept = this.#kept;
    const cells = this.#chunks[slot >>> slotBits] as Float64Array;
    const to = (slot & slotMask) * kept.length;
    for (let at = 0; at < kept.length; at++) cells[to + at] = row[kept[at] as number] as number;
    if (mayLieAhead || this.#ahead.size > 0) this.#saveAhead(slot);
  }

  #saveAhead(slot: number): void {
    const ahead = this.#row.slice(this.#lasting, this.#columns);
    if (ahead.some((number) => number !== 0)) this.#ahead.set(slot, ahead);
    else this.#ahead.delete(slot);
  }
}
