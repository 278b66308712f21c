import type { Clock } from "../../core/clock.js";
import type { Decision } from "../../core/decision.js";

interface Denial {
  readonly cost: number;
  /** µs on the local clock: surely refused before. */
  readonly until: number;
  /** µs on the local clock: when that was true at the latest. */
  readonly learned: number;
  readonly decide: DecisionAfter;
  /** The latest decision, and for which moment on the local clock, µs; callers of one turn share it. */
  asked: number;
  decision: Decision | undefined;
}

/** What the store would say so many µs after it answered, if nobody else asks. */
export type DecisionAfter = (passed: number) => Decision;

/** The longest that a refusal is believed, µs; and how much of it, for clocks that run unequally fast. */
const longest = 3600e6;
const believed = 0.999;
/** Keys of which it is remembered when they were given something back. */
const mostCorrected = 1000;

/**
 * The refusals that still hold: a spent key is answered from here. The store's clock was read between the moments at which
 * the question was sent and the answer came, so a refusal holds at least until its wait has passed since it was sent.
 */
export class Denials {
  readonly #clock: Clock;
  readonly #exact: Clock;
  readonly #maxKeys: number;
  readonly #denials = new Map<string, Denial>();
  /** µs on the local clock: when a key was last given something back; of the keys that are not in the map, at most. */
  readonly #corrected = new Map<string, number>();
  #othersCorrected = Number.NEGATIVE_INFINITY;

  /** `exact` is never behind the moment at which it is asked. */
  constructor(clock: Clock, exact: Clock, maxKeys: number) {
    this.#clock = clock;
    this.#exact = exact;
    this.#maxKeys = maxKeys;
  }

  /** What the store would say, if it has refused the same cost and nothing can have changed; waits never too short. */
  find(tag: string, cost: number): Decision | undefined {
    const denial = this.#denials.get(tag);
    if (denial === undefined || denial.cost !== cost) return undefined;
    const now = this.#clock.now();
    if (now >= denial.until) {
      this.#denials.delete(tag);
      return undefined;
    }
    if (now !== denial.asked) {
      denial.asked = now;
      denial.decision = denial.decide(now - denial.learned);
    }
    return denial.decision;
  }

  /** The store refused `cost` for `wait` µs, asked at `sent` on the local clock. */
  learn(tag: string, cost: number, wait: number, decide: DecisionAfter, sent: number): void {
    if (wait === Number.POSITIVE_INFINITY) return;
    // asked before something was given back, and answered after
    if (sent <= (this.#corrected.get(tag) ?? this.#othersCorrected)) return;
    const until = sent + Math.min(wait, longest) * believed;
    this.#denials.delete(tag);
    if (this.#denials.size >= this.#maxKeys) {
      const [oldest] = this.#denials.keys();
      this.#denials.delete(oldest as string);
    }
    this.#denials.set(tag, { cost, until, learned: this.#exact.now(), decide, asked: Number.NaN, decision: undefined });
  }

  /** Something was spent: the store would answer otherwise now. */
  forget(tag: string): void {
    if (this.#denials.size > 0) this.#denials.delete(tag);
  }

  /** Something is given back: neither what was refused is believed any more, nor what was asked until now. */
  distrust(tag: string): void {
    const now = this.#exact.now();
    this.#denials.delete(tag);
    if (this.#corrected.size >= mostCorrected) {
      this.#othersCorrected = now;
      this.#corrected.clear();
    }
    this.#corrected.set(tag, now);
  }
}
