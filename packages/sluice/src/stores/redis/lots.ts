import { longestTimer } from "../../core/alarm.js";
import type { Clock } from "../../core/clock.js";
import { type Decision, decideMany, decideOne, type PolicyDecision } from "../../core/decision.js";
import type { Policy } from "../../core/policy.js";

/** What was taken ahead for a key. */
interface Lot {
  left: number;
  /** µs on the local clock: spent no later. */
  until: number;
  /** µs on the local clock. */
  learned: number;
  /** µs on the store's clock: the moment that the grant counts from. */
  stamp: number;
  /** What the store said remained behind the lot; µs until it would be as never seen. */
  remaining: number;
  reset: number;
  /** The same of each policy, where there are several. */
  parts: readonly PolicyDecision[];
  /** It is being asked for. */
  pending: boolean;
  /** It is given back as soon as it is there. */
  recalled: boolean;
  /** How much to take the next time. */
  size: number;
}

export interface PrefetchOptions {
  readonly max: number;
  /** µs */
  readonly maxAge: number;
}

/** Takes up to `count` calls at once. */
type Fetch = (count: number) => Promise<Taken>;
/** Gives so many of those calls back that the store granted at a moment on its clock. */
export type GiveBack = (tag: string, left: number, stamp: number) => Promise<unknown>;

/** What the store granted, as of its own moment. */
export interface Taken {
  readonly decision: Decision;
  readonly granted: number;
  /** µs on the store's clock. */
  readonly now: number;
}

/** How much of what remains at the store a lot may take: the rest is for other processes. */
const share = 8;
/** Keys with lots; of one more, the oldest lot is given back. */
const mostLots = 10_000;

/**
 * The lots of a limiter; none where they would hold one call, which saves nothing.
 *
 * A lot holds at most what flows in during `maxAge`. What a process spends in a span was counted in that span, but for the
 * lot that it had at the beginning: so whatever the algorithm, one process exceeds the bound of its policy by at most rate
 * × maxAge. Of several processes each may have had a lot: with windows, rate × maxAge is to be added for each that
 * prefetches; a bucket never admits more than it would in a span that is longer by `maxAge`, which is the same once for all.
 */
export function openLots(
  clock: Clock,
  { max, maxAge }: PrefetchOptions,
  policies: readonly Policy[],
  giveBack: GiveBack,
): Lots | undefined {
  const flows = policies.map(({ limit, window }) => Math.floor((limit * maxAge) / (window * 1000)));
  const largest = Math.min(max, ...flows);
  return largest > 1 ? new Lots(clock, maxAge, largest, giveBack) : undefined;
}

/**
 * Calls taken ahead in lots and spent here. A lot doubles while it is spent within its age, and shrinks to nothing as
 * the store runs low, so that near the limit every call is asked for. The store has counted a lot before any of it is
 * spent. What is not spent is given back when it is too old, when the key is looked at or corrected, and at the end.
 */
export class Lots {
  readonly #clock: Clock;
  readonly #maxAge: number;
  readonly #largest: number;
  readonly #giveBack: GiveBack;
  /** Those that were taken first come first. */
  readonly #lots = new Map<string, Lot>();
  /** What is being asked for or given back. */
  readonly #underWay = new Set<Promise<unknown>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(clock: Clock, maxAge: number, largest: number, giveBack: GiveBack) {
    this.#clock = clock;
    this.#maxAge = maxAge;
    this.#largest = largest;
    this.#giveBack = giveBack;
  }

  /** A decision from the lot of the key, if it has enough left. */
  spend(policies: readonly Policy[], tag: string, cost: number): Decision | undefined {
    const lot = this.#lots.get(tag);
    if (lot === undefined || lot.left < cost) return undefined;
    const now = this.#clock.now();
    if (now >= lot.until) {
      this.recall(tag);
      return undefined;
    }
    lot.left -= cost;
    const { left, parts } = lot;
    const passed = now - lot.learned;
    if (parts.length === 0) {
      return decideOne(policies, true, 0, lot.remaining + left, Math.max(0, lot.reset - passed));
    }
    const findings = parts.flatMap(({ remaining, resetAfter }) => [
      0,
      remaining + left,
      Math.max(0, resetAfter * 1000 - passed),
    ]);
    return decideMany(policies, findings, true);
  }

  /** Takes the next lot, after a call that had to be asked for was granted. */
  refill(tag: string, decision: Decision, fetch: Fetch): void {
    if (this.#closed) return;
    const lot = this.#lots.get(tag);
    // one at a time: what another brought would be lost
    if (lot?.pending === true) return;
    const now = this.#clock.now();
    if (lot !== undefined && lot.left > 0 && now < lot.until) {
      tell(lot, decision, now);
      return;
    }
    this.recall(tag);
    const grown = lot === undefined || now >= lot.until ? 1 : lot.size * 2;
    const size = Math.min(grown, this.#largest, Math.floor(decision.remaining / share));
    if (size < 1) return;
    const next: Lot = {
      left: 0,
      until: now + this.#maxAge,
      learned: now,
      stamp: 0,
      remaining: 0,
      reset: 0,
      parts: [],
      pending: true,
      recalled: false,
      size,
    };
    this.#remember(tag, next);
    this.#watch(this.#take(tag, next, fetch));
  }

  async #take(tag: string, lot: Lot, fetch: Fetch): Promise<void> {
    try {
      const { decision, granted, now } = await fetch(lot.size);
      lot.left = granted;
      lot.stamp = now;
      tell(lot, decision, this.#clock.now());
    } finally {
      lot.pending = false;
      // one that cannot be had changes nothing, and the next call asks for itself
      if (this.#lots.get(tag) === lot && (lot.recalled || lot.left === 0)) this.recall(tag);
    }
    this.#sweepIn(this.#maxAge);
  }

  /** Gives back what is left of a key's lot; of one that is on its way, as soon as it is there. */
  recall(tag: string): void {
    const lot = this.#lots.get(tag);
    if (lot === undefined) return;
    if (lot.pending) {
      lot.recalled = true;
      return;
    }
    this.#lots.delete(tag);
    // what cannot be given back runs out by itself
    if (lot.left > 0) this.#watch(this.#giveBack(tag, lot.left, lot.stamp));
  }

  /** The store has forgotten the key, and what was taken of it. */
  forget(tag: string): void {
    this.#lots.delete(tag);
  }

  /** Gives everything back, also what is on its way; resolves when that is done. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const tag of Array.from(this.#lots.keys())) this.recall(tag);
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  #watch(task: Promise<unknown>): void {
    const end = async (): Promise<void> => {
      await Promise.allSettled([task]);
      this.#underWay.delete(done);
    };
    const done = end();
    this.#underWay.add(done);
  }

  /** Gives back what is too old, by one timer for all. */
  #sweepIn(delay: number): void {
    if (this.#closed || this.#timer !== undefined) return;
    const timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#sweep();
      },
      Math.min(Math.ceil(delay / 1000), longestTimer),
    );
    timer.unref();
    this.#timer = timer;
  }

  #sweep(): void {
    const now = this.#clock.now();
    for (const [tag, lot] of Array.from(this.#lots)) {
      if (lot.pending) continue;
      if (now < lot.until) {
        this.#sweepIn(lot.until - now);
        return;
      }
      this.recall(tag);
    }
  }

  #remember(tag: string, lot: Lot): void {
    if (this.#lots.size >= mostLots) {
      const [oldest] = this.#lots.keys();
      this.recall(oldest as string);
    }
    this.#lots.set(tag, lot);
  }
}

/** What the store says remains behind a lot. */
function tell(lot: Lot, { remaining, resetAfter, parts }: Decision, now: number): void {
  lot.learned = now;
  lot.remaining = remaining;
  lot.reset = resetAfter * 1000;
  if (parts.length > 1) lot.parts = parts;
}
