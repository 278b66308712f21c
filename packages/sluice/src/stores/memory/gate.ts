import type { Answer, Log, Row } from "../../core/algorithm.js";
import { newAnswer, noStamp } from "../../core/algorithm.js";
import type { Clock } from "../../core/clock.js";
import { type Decision, decideMany, decideOne, type Findings, numbersPerPolicy } from "../../core/decision.js";
import { type Policy, type Rule, ruleOf } from "../../core/policy.js";
import type { Driver, Gate } from "../../core/store.js";
import { KeyIndex } from "./key-index.js";
import { headerWidth, LogPool } from "./log-pool.js";

const slotBits = 12;
const slotsPerChunk = 1 << slotBits;
const slotMask = slotsPerChunk - 1;
const smallestChunk = 64;
/** Slots that each added key looks at for expired ones: more than one, so that sweeping outruns adding. */
const sweptPerAdd = 3;
/** Slots compared when a key has to go. */
const candidates = 16;

/** A look grants nothing: no start is this early. */
const never = -1;

/** One policy of the limiter: its rule, where its numbers lie within a slot, and a copy to work on. */
interface Part {
  readonly rule: Rule;
  readonly row: Row;
  readonly log: Log;
  readonly pool: LogPool | undefined;
  readonly at: number;
  readonly lasting: number;
  readonly limit: number;
  /** The columns that are not zero only while a start lies ahead, for the few slots of which that is so. */
  readonly ahead: Map<number, Float64Array>;
}

/** What the store says to a gate that has to make room. */
export interface Room {
  /** Called before a key is added; makes room when the store is full. */
  make(gate: MemoryGate): void;
  /** A key was added (1) or removed (-1). */
  count(change: number): void;
}

/** A log for the algorithms that keep none. */
const noLog: Log = {
  newest: () => 0,
  scan: () => {},
  push: () => 0,
  dropThrough: () => 0,
  take: () => 0,
  add: () => 0,
  shift: () => {},
};

/**
 * The keys of one limiter: an index, and the rows of all policies side by side in chunks of a Float64Array. Nothing is
 * allocated for a key but its cells; nothing runs on a timer. Every added key looks at a few slots for expired ones.
 */
export class MemoryGate implements Gate {
  readonly driver: Driver;
  readonly policies: readonly Policy[];
  readonly #clock: Clock;
  readonly #room: Room;
  readonly #parts: readonly Part[];
  readonly #first: Part;
  readonly #width: number;
  readonly #answer: Answer = newAnswer();
  readonly #findings: Float64Array;
  readonly #rows: Float64Array[] = [];
  readonly #keys: (string | undefined)[][] = [];
  readonly #index = new KeyIndex((slot) => this.#key(slot));
  #free: number[] = [];
  /** Slots below this have been used. */
  #used = 0;
  #hand = 0;
  #calls = 0;
  #lastKey: string | undefined;
  #lastSlot = -1;
  /** The key added last: the first to go when the store is full, unless it has spent more than others. */
  #newcomer: string | undefined;
  /** Keys held. */
  size = 0;

  constructor(driver: Driver, policies: readonly Policy[], clock: Clock, room: Room) {
    this.driver = driver;
    this.policies = policies;
    this.#clock = clock;
    this.#room = room;
    let at = 0;
    this.#parts = policies.map((policy) => {
      const rule = ruleOf(policy);
      const largestLogged = rule.algorithm.largestLogged?.(rule.parameters);
      const pool = largestLogged === undefined ? undefined : new LogPool(largestLogged);
      const lasting = rule.algorithm.lasting(rule.parameters);
      const row = new Float64Array(rule.algorithm.columns);
      const part: Part = { rule, row, log: pool ?? noLog, pool, at, lasting, limit: policy.limit, ahead: new Map() };
      at += lasting + (pool === undefined ? 0 : headerWidth);
      return part;
    });
    this.#first = this.#parts[0] as Part;
    this.#width = at;
    this.#findings = new Float64Array(policies.length * numbersPerPolicy);
  }

  /** The whole decision at once; the hot path. */
  consume = (key: string, cost: number): Decision => {
    const now = this.#clock.now();
    if (this.#parts.length > 1) {
      const granted = this.look(key, cost, now) <= now;
      if (granted) this.take(key, cost, now, now);
      return decideMany(this.policies, Array.from(this.#findings), granted);
    }
    let slot = this.#find(key);
    // a new key is always granted what the limit allows
    if (slot < 0 && cost <= this.#first.limit) slot = this.#add(key);
    const answer = this.#answer;
    this.#step(this.#first, slot, now, now, now, cost);
    const allowed = answer.start <= now;
    return decideOne(this.policies, allowed, answer.start - now, answer.remaining, Math.max(0, answer.resetAt - now));
  };

  /** The first moment at which every policy would grant `cost`; writes the findings, and nothing else. */
  look(key: string, cost: number, now: number): number {
    const slot = this.#find(key);
    let start = now;
    for (let index = 0; index < this.#parts.length; index++) {
      const part = this.#parts[index] as Part;
      this.#step(part, slot, now, now, never, cost);
      this.#note(index, now, now);
      if (this.#answer.start > start) start = this.#answer.start;
    }
    return start;
  }

  /** Charges `cost` from `start` on, which `look` has found; returns the moment that each policy wrote down. */
  take(key: string, cost: number, now: number, start: number): number[] {
    let slot = this.#find(key);
    if (slot < 0) slot = this.#add(key);
    const stamps: number[] = [];
    for (let index = 0; index < this.#parts.length; index++) {
      const part = this.#parts[index] as Part;
      this.#step(part, slot, now, start, start, cost);
      this.#note(index, now, start);
      stamps.push(this.#answer.stamp);
    }
    return stamps;
  }

  /** What `look` or `take` found last; to be copied by whoever keeps it. */
  get findings(): Findings {
    return this.#findings;
  }

  amend(key: string, delta: number): Findings {
    this.correct(key, delta, undefined);
    return this.#findings;
  }

  /** `amend`, of a grant with these stamps where they are given. A key that is not held has nothing to give back or correct. */
  correct(key: string, delta: number, stamps: readonly number[] | undefined): void {
    const now = this.#clock.now();
    let slot = this.#find(key);
    const nothing = slot < 0 && (delta < 0 || stamps !== undefined);
    if (slot < 0 && !nothing) slot = this.#add(key);
    for (let index = 0; index < this.#parts.length; index++) {
      const part = this.#parts[index] as Part;
      const { algorithm, parameters } = part.rule;
      if (nothing) {
        this.#step(part, slot, now, now, never, 1);
      } else {
        this.#load(part, slot);
        algorithm.amend(part.row, part.log, now, stamps?.[index] ?? noStamp, delta, parameters, this.#answer);
        this.#save(part, slot);
      }
      this.#note(index, now, now);
    }
  }

  /** Copies of the rows of a key, to compare and to put back. */
  snapshot(key: string): readonly Row[] {
    const slot = this.#find(key);
    return this.#parts.map((part) => {
      this.#load(part, slot);
      return part.row.slice();
    });
  }

  /**
   * Takes a grant back whose rows were `before` and became `after`. Where nothing has happened to a row since, it becomes
   * what it was; otherwise the algorithm gives back what it can without touching later grants.
   */
  undo(key: string, cost: number, stamps: readonly number[], before: readonly Row[], after: readonly Row[]): void {
    const slot = this.#find(key);
    if (slot < 0) return;
    const now = this.#clock.now();
    this.#parts.forEach((part, index) => {
      this.#load(part, slot);
      const untouched =
        part.pool === undefined && part.row.every((number, column) => number === after[index]?.[column]);
      if (untouched) part.row.set(before[index] as Row);
      else {
        const { algorithm, parameters } = part.rule;
        algorithm.amend(part.row, part.log, now, stamps[index] as number, -cost, parameters, this.#answer);
      }
      this.#save(part, slot);
    });
  }

  reset(key: string): void {
    const slot = this.#find(key);
    if (slot >= 0) this.#remove(slot, key);
  }

  /** Forgets every key. */
  forget(): void {
    this.#room.count(-this.size);
    this.size = 0;
    this.#index.clear();
    this.#rows.length = this.#keys.length = this.#free.length = this.#used = this.#hand = 0;
    this.#lastKey = this.#newcomer = undefined;
    for (const part of this.#parts) {
      part.ahead.clear();
      part.pool?.empty();
    }
  }

  /**
   * The key among a few candidates that has spent the least of its limit, and how much (0 fresh, 1 all of it). The
   * candidates are the next slots under a moving hand, and the newcomer: so a flood of new keys replaces itself.
   */
  cheapest(): { readonly key: string; readonly share: number } | undefined {
    const now = this.#clock.now();
    let best: { key: string; share: number } | undefined;
    let left = Math.min(this.size, candidates);
    while (left > 0) {
      const key = this.#key(this.#hand);
      if (key !== undefined) {
        left -= 1;
        const share = this.#share(this.#hand, now);
        if (best === undefined || share < best.share) best = { key, share };
      }
      this.#turnHand();
    }
    if (this.#newcomer !== undefined) {
      const slot = this.#find(this.#newcomer);
      if (slot >= 0) {
        const share = this.#share(slot, now);
        if (best === undefined || share <= best.share) best = { key: this.#newcomer, share };
      }
    }
    return best;
  }

  #share(slot: number, now: number): number {
    let share = 0;
    for (const part of this.#parts) {
      this.#step(part, slot, now, now, never, 1);
      share = Math.max(share, 1 - this.#answer.remaining / part.limit);
    }
    return share;
  }

  #note(index: number, now: number, moment: number): void {
    const at = index * numbersPerPolicy;
    const answer = this.#answer;
    this.#findings[at] = answer.start - now;
    this.#findings[at + 1] = answer.remaining;
    this.#findings[at + 2] = Math.max(0, answer.resetAt - moment);
  }

  #step(part: Part, slot: number, now: number, earliest: number, latest: number, cost: number): void {
    this.#load(part, slot);
    const { algorithm, parameters } = part.rule;
    algorithm.step(part.row, part.log, now, earliest, latest, cost, parameters, this.#answer);
    if (this.#answer.changed && slot >= 0) this.#save(part, slot);
  }

  #load(part: Part, slot: number): void {
    const { row, at, lasting } = part;
    if (slot < 0) {
      row.fill(0);
      part.pool?.header.fill(0);
      return;
    }
    const rows = this.#rows[slot >>> slotBits] as Float64Array;
    let from = (slot & slotMask) * this.#width + at;
    for (let column = 0; column < lasting; column++) row[column] = rows[from++] as number;
    const { pool, ahead } = part;
    if (pool !== undefined) {
      const { header } = pool;
      for (let column = 0; column < headerWidth; column++) header[column] = rows[from++] as number;
    }
    const kept = ahead.size === 0 ? undefined : ahead.get(slot);
    for (let column = lasting; column < row.length; column++)
      row[column] = kept === undefined ? 0 : (kept[column] as number);
  }

  #save(part: Part, slot: number): void {
    const { row, at, lasting } = part;
    const rows = this.#rows[slot >>> slotBits] as Float64Array;
    let to = (slot & slotMask) * this.#width + at;
    for (let column = 0; column < lasting; column++) rows[to++] = row[column] as number;
    const { pool, ahead } = part;
    if (pool !== undefined) {
      const { header } = pool;
      for (let column = 0; column < headerWidth; column++) rows[to++] = header[column] as number;
    }
    let lies = false;
    for (let column = lasting; column < row.length; column++) lies ||= row[column] !== 0;
    if (lies) ahead.set(slot, row.slice());
    else if (ahead.size > 0) ahead.delete(slot);
  }

  #find(key: string): number {
    if (key === this.#lastKey) return this.#lastSlot;
    if ((++this.#calls & 7) === 0) this.#sweep(1);
    const slot = this.#index.find(key, this.#index.hash(key));
    if (slot >= 0) {
      this.#lastKey = key;
      this.#lastSlot = slot;
    }
    return slot;
  }

  #key(slot: number): string | undefined {
    return this.#keys[slot >>> slotBits]?.[slot & slotMask];
  }

  #add(key: string): number {
    this.#sweep(sweptPerAdd);
    this.#room.make(this);
    const slot = this.#free.pop() ?? this.#newSlot();
    (this.#keys[slot >>> slotBits] as (string | undefined)[])[slot & slotMask] = key;
    this.#index.add(this.#index.hash(key), slot);
    this.size += 1;
    this.#room.count(1);
    this.#newcomer = this.#lastKey = key;
    this.#lastSlot = slot;
    return slot;
  }

  #newSlot(): number {
    const slot = this.#used++;
    const chunk = slot >>> slotBits;
    const offset = slot & slotMask;
    const rows = this.#rows[chunk];
    if (rows === undefined) {
      // the first chunk grows with the keys, so that a limiter of few keys is small
      this.#rows.push(new Float64Array((chunk === 0 ? smallestChunk : slotsPerChunk) * this.#width));
      this.#keys.push([]);
    } else if ((offset + 1) * this.#width > rows.length) {
      const larger = new Float64Array(rows.length * 2);
      larger.set(rows);
      this.#rows[chunk] = larger;
    }
    return slot;
  }

  #remove(slot: number, key: string): void {
    for (const part of this.#parts) {
      this.#load(part, slot);
      part.pool?.clear();
      part.row.fill(0);
      this.#save(part, slot);
    }
    this.#index.remove(this.#index.hash(key), slot);
    (this.#keys[slot >>> slotBits] as (string | undefined)[])[slot & slotMask] = undefined;
    this.#free.push(slot);
    this.size -= 1;
    this.#room.count(-1);
    if (this.#lastKey === key) this.#lastKey = undefined;
    if (this.#newcomer === key) this.#newcomer = undefined;
  }

  /** Looks at the next slots for expired ones. */
  #sweep(slots: number): void {
    const now = this.#clock.now();
    for (let left = Math.min(slots, this.#used); left > 0; left--) {
      const slot = this.#hand;
      const key = this.#key(slot);
      if (key !== undefined && this.#expired(slot, now)) this.#remove(slot, key);
      this.#turnHand();
    }
  }

  #expired(slot: number, now: number): boolean {
    for (const part of this.#parts) {
      this.#step(part, slot, now, now, never, 1);
      if (this.#answer.resetAt > now || this.#answer.remaining < part.limit) return false;
    }
    return true;
  }

  #turnHand(): void {
    this.#hand = this.#hand + 1 < this.#used ? this.#hand + 1 : 0;
  }
}
