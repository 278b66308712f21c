import { type Answer, newAnswer, noStamp, type Row, tooLate } from "../../core/algorithm.js";
import type { Clock } from "../../core/clock.js";
import { type Decision, decideMany, decideOne, type Findings, numbersPerPolicy } from "../../core/decision.js";
import { type Policy, ruleOf } from "../../core/policy.js";
import type { Driver, Gate } from "../../core/store.js";
import { KeyIndex } from "./key-index.js";
import { noSlot, Rows } from "./rows.js";

/** Slots that each added key looks at for expired ones: more than one, so that sweeping outruns adding. */
const sweptPerAdd = 3;
/**
 * µs from one round of the hand to the next, at most. Without it a key whose debt is paid at once would be removed and
 * added again at every other call.
 */
const longestRest = 1_000_000;
/** Slots compared when a key has to go. */
const candidates = 16;

/** A look grants nothing: no start is this early. */
const never = -1;

/** Happenings that a line remembers, at most: corrections come as fast as somebody makes them. */
const longestLine = 65_536;

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

/** A correction that those who stand in a line have seen. */
interface Correction {
  readonly delta: number;
  readonly now: number;
  readonly stamps: readonly number[] | undefined;
}

/**
 * Those who wait for one key, and what was corrected meanwhile, oldest first; the rows before the first of them and after
 * the last. While the rows are as the line left them, they can be made anew from those who stay.
 */
interface Line {
  readonly base: readonly Row[];
  events: (Place | Correction)[];
  after: readonly Row[];
}

/** A grant as it can be settled: what it was told, and what the rows were then. */
export interface Grant {
  readonly life: Life;
  /** When it was asked for, the moment that each policy wrote down for its start, and that at which each forgets it. */
  readonly now: number;
  readonly stamps: readonly number[];
  readonly resets: readonly number[];
  readonly after: readonly Row[];
}

/** A key from when it was added until it is removed. */
interface Life {
  readonly slot: number;
  readonly count: number;
}

/** What the store says to a gate that has to make room. */
export interface Room {
  /** Called before a key is added; makes room when the store is full. */
  make(gate: MemoryGate): void;
  /** A key was added (1) or removed (-1). */
  count(change: number): void;
}

/**
 * The keys of one limiter: an index, and the rows of each policy. Nothing is allocated for a key but its cells; nothing
 * runs on a timer. Every added key looks at a few slots for expired ones.
 */
export class MemoryGate implements Gate {
  readonly driver: Driver;
  readonly policies: readonly Policy[];
  readonly consume: (key: string, cost: number) => Decision;
  readonly #clock: Clock;
  readonly #room: Room;
  readonly #parts: readonly Rows[];
  readonly #answer: Answer = newAnswer();
  readonly #findings: Float64Array;
  readonly #index = new KeyIndex();
  #free: number[] = [];
  /** Slots below this have been used. */
  #used = 0;
  #hand = 0;
  /** µs: the hand rests for so long after it has begun a round, and when that was. */
  readonly #rest: number;
  #roundFrom = Number.NEGATIVE_INFINITY;
  #calls = 0;
  /** Of the few keys for which someone waits. */
  readonly #lines = new Map<string, Line>();
  /** Those in whose line someone has given up: their rows are made anew when they are needed. */
  readonly #torn = new Set<string>();
  /** By slot, how often it has been emptied: as far as there are grants that can be corrected. */
  #emptied = new Uint32Array(0);
  #lastKey: string | undefined;
  #lastSlot = noSlot;
  /** The key added last: the first to go when the store is full, unless it has spent more than others. */
  #newcomer: string | undefined;
  /** Keys held. */
  size = 0;
  #retired = false;

  constructor(driver: Driver, policies: readonly Policy[], clock: Clock, room: Room) {
    this.driver = driver;
    this.policies = policies;
    this.#clock = clock;
    this.#room = room;
    this.#parts = policies.map((policy) => new Rows(ruleOf(policy), policy.limit, policy.window * 1000));
    this.#findings = new Float64Array(policies.length * numbersPerPolicy);
    this.#rest = Math.min(longestRest, ...policies.map(({ window }) => window * 1000));
    const [rows] = this.#parts;
    this.consume =
      policies.length === 1
        ? this.#consumeOne(clock, policies, rows as Rows, this.#answer)
        : (key, cost) => this.#consumeAll(key, cost);
  }

  /**
   * The whole decision at once, for one policy; the hot path. Short enough, and so are its parts, that V8 inlines all of
   * it but the algorithm into a loop that calls it, and allocates no decision that is only read there.
   */
  #consumeOne(
    clock: Clock,
    policies: readonly Policy[],
    rows: Rows,
    answer: Answer,
  ): (key: string, cost: number) => Decision {
    return (key, cost) => {
      const now = clock.now();
      let slot = key === this.#lastKey ? this.#lastSlot : this.#lookUp(key);
      // a new key is always granted what the limit allows
      if (slot < 0 && cost <= rows.limit) slot = this.#add(key);
      rows.step(slot, now, now, now, cost, answer);
      const wait = answer.start - now;
      return decideOne(policies, wait <= 0, wait, answer.remaining, Math.max(0, answer.resetAt - now));
    };
  }

  #consumeAll(key: string, cost: number): Decision {
    const now = this.#clock.now();
    const granted = this.look(key, cost, now) <= now;
    if (granted) this.take(key, cost, now, now);
    return decideMany(this.policies, this.#findings.slice(), granted);
  }

  /** The first moment at which every policy would grant `cost`; writes the findings, and nothing else. */
  look(key: string, cost: number, now: number): number {
    const slot = this.#find(key);
    let start = now;
    for (let index = 0; index < this.#parts.length; index++) {
      (this.#parts[index] as Rows).step(slot, now, now, never, cost, this.#answer);
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
      (this.#parts[index] as Rows).step(slot, now, start, start, cost, this.#answer);
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
    const line = this.#lines.size === 0 ? undefined : this.#standing(key, slot, now);
    for (let index = 0; index < this.#parts.length; index++) {
      const part = this.#parts[index] as Rows;
      if (nothing) part.step(slot, now, now, never, 1, this.#answer);
      else part.amend(slot, now, stamps?.[index] ?? noStamp, delta, this.#answer);
      this.#note(index, now, now);
    }
    if (line === undefined) return;
    line.after = this.#parts.map((part) => part.copy(slot));
    if (line.events.push({ delta, now, stamps }) > longestLine) this.#lines.delete(key);
  }

  /** The life of a key that is held. */
  lifeOf(key: string): Life {
    const slot = this.#find(key);
    if (slot >= this.#emptied.length) {
      const larger = new Uint32Array(Math.max(16, 2 * (slot + 1)));
      larger.set(this.#emptied);
      this.#emptied = larger;
    }
    return { slot, count: this.#emptied[slot] as number };
  }

  /** The key has not been forgotten since. */
  lives({ slot, count }: Life): boolean {
    return this.#emptied[slot] === count;
  }

  /**
   * Changes what a grant cost, as of its start. Where others have asked since, what it took may have come back by now, or
   * the key been forgotten: then nothing is given back, and of what it took besides only what is still owed is charged.
   */
  settle(key: string, delta: number, grant: Grant): void {
    const now = this.#clock.now();
    const holds = this.lives(grant.life);
    const stamps = holds && this.#areStill(this.#find(key), grant.after) ? grant.stamps : this.correctable(grant, now);
    if (holds && stamps.some((stamp) => stamp !== tooLate)) this.correct(key, delta, stamps);
    // a gate that its store has given up counts for nobody any more
    if (delta < 0 || this.#retired) return;
    const owed = this.#parts.map((part, index) => {
      if (holds && stamps[index] !== tooLate) return 0;
      const [after, stamp] = [grant.after[index] as Row, grant.stamps[index] as number];
      return part.owed(after, grant.now, now, stamp, delta, this.#answer);
    });
    if (owed.every((cost) => cost === 0)) return;
    if (this.#find(key) < 0) this.#add(key);
    owed.forEach((cost, index) => {
      if (cost > 0)
        this.correct(
          key,
          cost,
          this.#parts.map((_, place) => (place === index ? noStamp : tooLate)),
        );
    });
  }

  /** The moments of a grant by which it can be corrected, where it can. */
  correctable({ stamps, resets }: Pick<Grant, "stamps" | "resets">, now: number): readonly number[] {
    return stamps.map((stamp, index) => ((resets[index] as number) > now ? stamp : tooLate));
  }

  /** Copies of the rows of a key, to compare and to put back. */
  snapshot(key: string): readonly Row[] {
    const slot = this.#find(key);
    return this.#parts.map((part) => part.copy(slot));
  }

  /**
   * Takes a grant back that started at once, whose rows were `before` and became `after`. Where nothing has happened
   * since, they become what they were; otherwise the algorithm gives back what it can.
   */
  undo(key: string, cost: number, stamps: readonly number[], before: readonly Row[], after: readonly Row[]): void {
    const slot = this.#find(key);
    if (slot < 0) return;
    if (!this.#areStill(slot, after)) {
      this.correct(key, -cost, stamps);
      return;
    }
    this.#parts.forEach((part, index) => {
      if (part.logged) part.amend(slot, this.#clock.now(), stamps[index] as number, -cost, this.#answer);
      else part.put(slot, before[index] as Row);
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
    const line = goesOn && liesAhead(known, now) ? known : { base: before, events: [], after };
    if (line !== known) this.#lines.set(key, line);
    const place: Place = { cost, now, stamps, line, stands: true };
    line.after = after;
    line.events.push(place);
    // what lies before the first who has not started becomes part of what was before
    const over = line.events.findIndex((each) => isAhead(each, now));
    for (const each of line.events.splice(0, over)) {
      this.#replay(line.base, each);
      if ("line" in each) each.line = undefined;
    }
    return place;
  }

  /**
   * Someone in the line gives up. The others keep their starts, and whoever comes next finds the key as if he had never
   * asked; where something else has happened to a row since, the algorithm gives back what it can.
   */
  leave(key: string, place: Place, correctable: readonly number[]): void {
    if (!place.stands) return;
    place.stands = false;
    const { cost, stamps } = place;
    const slot = this.#index.find(key);
    const line = this.#lines.get(key);
    const isIn = line !== undefined && place.line === line;
    if (slot < 0) return;
    if (!isIn || !this.#areStill(slot, line.after)) {
      this.correct(key, -cost, correctable);
      return;
    }
    this.#parts.forEach((part, index) => {
      // a log knows every call by its start, and needs no line
      if (part.logged) part.amend(slot, this.#clock.now(), stamps[index] as number, -cost, this.#answer);
    });
    this.#torn.add(key);
    this.#lastKey = undefined;
  }

  reset(key: string): void {
    const slot = this.#find(key);
    if (slot >= 0) this.#remove(slot, key);
  }

  /** The store has given this gate up: forgets every key, and takes no more. */
  retire(): void {
    this.#retired = true;
    this.forget();
  }

  /** Forgets every key. */
  forget(): void {
    this.#room.count(-this.size);
    this.size = 0;
    this.#index.clear();
    this.#free.length = this.#used = this.#hand = 0;
    this.#lastKey = this.#newcomer = undefined;
    this.#lines.clear();
    this.#torn.clear();
    for (const part of this.#parts) part.forget();
    this.#emptied = this.#emptied.map((count) => count + 1);
  }

  /** Nothing is held; looks at a few slots for what has expired. */
  isEmpty(): boolean {
    this.#sweep(candidates);
    return this.size === 0;
  }

  /**
   * The key among a few candidates that has spent the least of its limit, and how much (0 fresh, 1 all of it). The
   * candidates are the next slots under a moving hand, and the newcomer: so a flood of new keys replaces itself.
   */
  cheapest(): { readonly key: string; readonly share: number } | undefined {
    const now = this.#clock.now();
    let best: { slot: number; share: number } | undefined;
    let left = Math.min(this.size, candidates);
    while (left > 0) {
      if (this.#index.holds(this.#hand)) {
        left -= 1;
        const share = this.#share(this.#hand, now);
        if (best === undefined || share < best.share) best = { slot: this.#hand, share };
      }
      this.#turnHand();
    }
    if (this.#newcomer !== undefined) {
      // a look-up would sweep, and the best slot with it
      const slot = this.#index.find(this.#newcomer);
      if (slot >= 0) {
        const share = this.#share(slot, now);
        if (best === undefined || share <= best.share) best = { slot, share };
      }
    }
    return best === undefined ? undefined : { key: this.#index.key(best.slot) as string, share: best.share };
  }

  #share(slot: number, now: number): number {
    let share = 0;
    for (const part of this.#parts) {
      part.step(slot, now, now, never, 1, this.#answer);
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

  #find(key: string): number {
    return key === this.#lastKey ? this.#lastSlot : this.#lookUp(key);
  }

  #lookUp(key: string): number {
    if ((++this.#calls & 7) === 0) this.#sweep(1);
    const slot = this.#index.find(key);
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
    line.events = line.events.filter((each) => !("line" in each) || each.stands);
    const rows = line.base.map((row) => row.slice());
    for (const each of line.events) this.#replay(rows, each);
    this.#parts.forEach((part, index) => {
      if (!part.logged) part.put(slot, rows[index] as Row);
    });
    line.after = rows;
    if (!line.events.some((each) => "line" in each)) this.#lines.delete(key);
  }

  /** Lets a place have its start again, or a correction happen again, on other rows. */
  #replay(rows: readonly Row[], event: Place | Correction): void {
    this.#parts.forEach((part, index) => {
      const row = rows[index] as Row;
      const stamp = event.stamps?.[index] ?? noStamp;
      if (part.logged) return;
      if (!("line" in event)) part.amendCopy(row, event.now, stamp, event.delta, this.#answer);
      else if (event.stands) part.stepCopy(row, event.now, stamp, event.cost, this.#answer);
    });
  }

  /** The line of a key in which somebody's start lies ahead, if nothing but what it knows of has happened to the rows. */
  #standing(key: string, slot: number, now: number): Line | undefined {
    const line = this.#lines.get(key);
    return line !== undefined && this.#areStill(slot, line.after) && liesAhead(line, now) ? line : undefined;
  }

  /** Nothing has happened to the rows of a key since they were copied; of a log, nobody can say. */
  #areStill(slot: number, copies: readonly Row[]): boolean {
    return this.#parts.every((part, index) => part.logged || part.isStill(slot, copies[index] as Row));
  }

  /** Adds the key that `#find` has just missed. */
  #add(key: string): number {
    this.#sweep(sweptPerAdd);
    this.#room.make(this);
    const slot = this.#free.pop() ?? this.#newSlot();
    this.#index.add(key, slot);
    this.size += 1;
    this.#room.count(1);
    this.#newcomer = this.#lastKey = key;
    this.#lastSlot = slot;
    return slot;
  }

  #newSlot(): number {
    const slot = this.#used++;
    for (const part of this.#parts) part.grow(slot);
    return slot;
  }

  #remove(slot: number, key: string): void {
    for (const part of this.#parts) part.clear(slot);
    if (slot < this.#emptied.length) this.#emptied[slot] = (this.#emptied[slot] as number) + 1;
    this.#index.remove(slot);
    this.#free.push(slot);
    this.size -= 1;
    this.#room.count(-1);
    if (this.#lastKey === key) this.#lastKey = undefined;
    if (this.#newcomer === key) this.#newcomer = undefined;
    // what was granted to those who wait has been forgotten with the key: they have nothing to give back
    for (const each of this.#lines.get(key)?.events ?? []) if ("line" in each) each.stands = false;
    this.#lines.delete(key);
    this.#torn.delete(key);
  }

  /** Looks at the next slots for expired ones, unless the hand rests. */
  #sweep(slots: number): void {
    const now = this.#clock.now();
    for (let left = slots; left > 0 && this.#used > 0; left--) {
      if (this.#hand === 0) {
        if (now >= this.#roundFrom && now < this.#roundFrom + this.#rest) return;
        this.#roundFrom = now;
      }
      const slot = this.#hand;
      this.#turnHand();
      if (this.#index.holds(slot) && this.#expired(slot, now)) this.#remove(slot, this.#index.key(slot) as string);
    }
  }

  #expired(slot: number, now: number): boolean {
    for (const part of this.#parts) {
      part.step(slot, now, now, never, 1, this.#answer);
      if (this.#answer.resetAt > now || this.#answer.remaining < part.limit) return false;
    }
    return true;
  }

  #turnHand(): void {
    this.#hand = this.#hand + 1 < this.#used ? this.#hand + 1 : 0;
  }
}

function sameRow(part: Rows, one: readonly Row[], other: readonly Row[], index: number): boolean {
  return part.logged || (one[index] as Row).every((number, column) => number === other[index]?.[column]);
}

/** A place whose start has not come. */
function isAhead(event: Place | Correction, now: number): boolean {
  return "line" in event && event.stands && event.stamps.some((stamp) => stamp > now);
}

/** Somebody in the line has not started; starts never decrease, so the last of them tells. */
function liesAhead(line: Line, now: number): boolean {
  const last = line.events.findLast((each) => "line" in each && each.stands);
  return last !== undefined && isAhead(last, now);
}
