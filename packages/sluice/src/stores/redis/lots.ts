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

/** What the store granted, as of its own moment. */
export interface Taken {
  readonly decision: Decision;
  readonly granted: number;
  /** µs on the store's clock. */
  readonly now: number;
}

/** How much of what remains at the store a lot may take: the rest is for other processes. */
const share = 8;
/** Keys with lots; of one more, the oldest lot is lost, which only admits less. */
const mostLots = 10_000;

/**
 * Calls taken ahead in lots and spent here. A lot doubles while it is spent within its age, and shrinks to nothing as
 * the store runs low, so that near the limit every call is asked for. The store has counted a lot before any of it is
 * spent, so what is admitted exceeds the policy's bound by at most what flows in during `maxAge`.
 */
export class Lots {
  readonly #clock: Clock;
  readonly #options: PrefetchOptions;
  readonly #lots = new Map<string, Lot>();
  readonly #fetching = new Set<Promise<Taken>>();

  constructor(clock: Clock, options: PrefetchOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /** A decision from the lot of the key, if it has enough left. */
  spend(policies: readonly Policy[], tag: string, cost: number): Decision | undefined {
    const lot = this.#lots.get(tag);
    if (lot === undefined || lot.left < cost) return undefined;
    const now = this.#clock.now();
    if (now >= lot.until) {
      this.#lots.delete(tag);
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
  async refill(tag: string, decision: Decision, fetch: Fetch): Promise<void> {
    const lot = this.#lots.get(tag);
    // one at a time: what another brought would be lost
    if (lot?.pending) return;
    const sent = this.#clock.now();
    if (lot !== undefined && lot.left > 0) {
      tell(lot, decision, sent);
      return;
    }
    const grown = lot === undefined ? 1 : lot.size * 2;
    const size = Math.min(grown, this.#options.max, Math.floor(decision.remaining / share));
    if (size < 1) {
      this.#lots.delete(tag);
      return;
    }
    const next: Lot = {
      left: 0,
      until: 0,
      learned: sent,
      stamp: 0,
      remaining: 0,
      reset: 0,
      parts: [],
      pending: true,
      size,
    };
    this.#remember(tag, next);
    const taking = fetch(size);
    this.#fetching.add(taking);
    try {
      const { decision: after, granted, now } = await taking;
      next.stamp = now;
      next.left = granted;
      next.until = sent + this.#options.maxAge;
      tell(next, after, this.#clock.now());
    } finally {
      next.pending = false;
      this.#fetching.delete(taking);
    }
  }

  forget(tag: string): void {
    this.#lots.delete(tag);
  }

  /** Resolves when nothing is being asked for. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#fetching);
  }

  /** Empties every lot, and says what was left in those that could still be spent, and since when. */
  *drain(): Iterable<{ readonly tag: string; readonly left: number; readonly stamp: number }> {
    const now = this.#clock.now();
    for (const [tag, { left, until, stamp }] of this.#lots) if (left > 0 && now < until) yield { tag, left, stamp };
    this.#lots.clear();
  }

  #remember(tag: string, lot: Lot): void {
    this.#lots.delete(tag);
    if (this.#lots.size >= mostLots) {
      const [oldest] = this.#lots.keys();
      this.#lots.delete(oldest as string);
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
