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

/** Someone who waits for a start of a key. */
export interface Place {
  readonly cost: number;
  /** When it asked, and the moment that each policy wrote down for its start. */
  readonly now: number;
  readonly stamps: readonly number[];
  /** The line it stands in; none once its start lies too far back. */
  line: Line | undefined;
  /** It has not given up. */
  stands: boolean;
}

/** Those who wait for one key, oldest first; the rows before the first of them, and after the last. */
interface Line {
  readonly base: readonly Row[];
  places: Place[];
  after: readonly Row[];
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
  /** Of the few keys for which someone waits. */
  readonly #lines = new Map<string, Line>();
  /** Those in whose line someone has given up: their rows are made anew when they are needed. */
  readonly #torn = new Set<string>();
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
   * Takes a grant back that started at once, whose rows were `before` and became `after`. Where nothing has happened to a
   * row since, it becomes what it was; otherwise the algorithm gives back what it can.
   */
  undo(key: string, cost: number, stamps: readonly number[], before: readonly Row[], after: readonly Row[]): void {
    const slot = this.#find(key);
    if (slot < 0) return;
    this.#parts.forEach((part, index) => {
      if (this.#unchanged(part, slot, after[index] as Row)) this.#put(part, slot, before[index] as Row);
      else this.#giveBack(part, slot, cost, stamps[index] as number);
    });
  }

  /** Puts someone into the line of a key, whose rows were `before` and became `after`. */
  enter(
    key: string,
    cost: number,
    now: number,
    stamps: readonly number[],
    before: readonly Row[],
    after: readonly Row[],
  ): Place {
    const known = this.#lines.get(key);
    const goesOn = known !== undefined && this.#parts.every((part, index) => sameRow(part, known.after, before, index));
    const line = goesOn ? known : { base: before, places: [], after };
    if (!goesOn) this.#lines.set(key, line);
    const place: Place = { cost, now, stamps, line, stands: true };
    line.places.push(place);
    line.after = after;
    // those who have started become part of what was before
    const started = line.places.findIndex((each) => each.stamps.some((stamp) => stamp > now));
    for (const each of line.places.splice(0, started)) {
      this.#replay(line.base, each);
      each.line = undefined;
    }
    return place;
  }

  /**
   * Someone in the line gives up. The others keep their starts, and whoever comes next finds the key as if he had never
   * asked; where something else has happened to a row since, the algorithm gives back what it can.
   */
  leave(key: string, place: Place): void {
    if (!place.stands) return;
    place.stands = false;
    const slot = this.#index.find(key, this.#index.hash(key));
    const line = this.#lines.get(key);
    const inLine = line !== undefined && place.line === line;
    this.#parts.forEach((part, index) => {
      // a log knows every call by its start, and needs no line
      if (part.pool === undefined && inLine && this.#unchanged(part, slot, line.after[index] as Row)) return;
      if (slot >= 0) this.#giveBack(part, slot, place.cost, place.stamps[index] as number);
    });
    if (!inLine) return;
    this.#torn.add(key);
    this.#lastKey = undefined;
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
    this.#lines.clear();
    this.#torn.clear();
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
      if (this.#torn.size > 0 && this.#torn.delete(key)) this.#mend(key, slot);
      this.#lastKey = key;
      this.#lastSlot = slot;
    }
    return slot;
  }

  /** Makes the rows of a key anew from those who still stand in its line. */
  #mend(key: string, slot: number): void {
    const line = this.#lines.get(key);
    if (line === undefined) return;
    line.places = line.places.filter(({ stands }) => stands);
    const rows = line.base.map((row) => row.slice());
    for (const place of line.places) this.#replay(rows, place);
    this.#parts.forEach((part, index) => {
      if (this.#unchanged(part, slot, line.after[index] as Row)) this.#put(part, slot, rows[index] as Row);
    });
    line.after = rows;
    if (line.places.length === 0) this.#lines.delete(key);
  }

  /** Grants a place again, on rows of its own, the start that it has. */
  #replay(rows: readonly Row[], { stands, now, stamps, cost }: Place): void {
    this.#parts.forEach(({ pool, rule }, index) => {
      if (!stands || pool !== undefined) return;
      const start = stamps[index] as number;
      rule.algorithm.step(rows[index] as Row, noLog, now, start, start, cost, rule.parameters, this.#answer);
    });
  }

  /** Nothing has happened to a row since it was copied; of a log, nobody can say. Leaves the row loaded. */
  #unchanged(part: Part, slot: number, copy: Row): boolean {
    this.#load(part, slot);
    return part.pool === undefined && part.row.every((number, column) => number === copy[column]);
  }

  #put(part: Part, slot: number, copy: Row): void {
    part.row.set(copy);
    this.#save(part, slot);
  }

  #giveBack(part: Part, slot: number, cost: number, stamp: number): void {
    this.#load(part, slot);
    const { algorithm, parameters } = part.rule;
    algorithm.amend(part.row, part.log, this.#clock.now(), stamp, -cost, parameters, this.#answer);
    this.#save(part, slot);
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
    // what was granted to those who wait has been forgotten with the key: they have nothing to give back
    for (const place of this.#lines.get(key)?.places ?? []) place.stands = false;
    this.#lines.delete(key);
    this.#torn.delete(key);
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

function sameRow(part: Part, one: readonly Row[], other: readonly Row[], index: number): boolean {
  return part.pool !== undefined || (one[index] as Row).every((number, column) => number === other[index]?.[column]);
}
