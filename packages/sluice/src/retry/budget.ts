import type { Clock } from "../core/clock.js";

/** As in `RetryOptions`. */
export interface Budget {
  readonly ratio: number;
  readonly minPerSecond: number;
}

/** What is counted per second, for as long: what was earned longer ago is forgotten, so that quiet hours save up no storm. */
const seconds = 10;
const second = 1_000_000;

/**
 * A retry budget, after Finagle's `RetryBudget`: every call earns `ratio` of a retry, every retry spends one. No timers,
 * and 20 numbers, however many calls. In t seconds never more retries than
 * `ratio` · calls + `minPerSecond` · t + max(1, `minPerSecond`), the last two only if `minPerSecond` is not 0.
 */
export class RetryBudget {
  readonly #ratio: number;
  readonly #clock: Clock;
  readonly #calls = new Array<number>(seconds).fill(0);
  readonly #retries = new Array<number>(seconds).fill(0);
  #now: number;
  /** The reserve in µs: one retry per `#interval`, and as many at once as a second brings (one at least). */
  readonly #interval: number;
  readonly #horizon: number;
  #reservedUntil = 0;

  constructor({ ratio, minPerSecond }: Budget, clock: Clock) {
    this.#ratio = ratio;
    this.#clock = clock;
    this.#interval = Math.ceil(second / minPerSecond);
    this.#horizon = this.#interval * Math.max(1, Math.floor(minPerSecond));
    this.#now = this.#second();
  }

  /** A call begins. */
  earn(): void {
    this.#forget();
    this.#add(this.#calls);
  }

  /** May a retry be made? Then it counts as made. */
  spend(): boolean {
    this.#forget();
    // products such as 0.29 · 100 fall short of what they stand for
    const earned = Math.floor(this.#ratio * sum(this.#calls) + 1e-9);
    if (sum(this.#retries) < earned) {
      this.#add(this.#retries);
      return true;
    }
    return this.#spendReserve();
  }

  #spendReserve(): boolean {
    if (this.#interval === Number.POSITIVE_INFINITY) return false;
    const now = this.#clock.now();
    const until = Math.max(this.#reservedUntil, now) + this.#interval;
    if (until - now > this.#horizon) return false;
    this.#reservedUntil = until;
    return true;
  }

  #second(): number {
    return Math.floor(this.#clock.now() / second);
  }

  #add(counts: number[]): void {
    const place = this.#now % seconds;
    counts[place] = (counts[place] as number) + 1;
  }

  #forget(): void {
    const now = this.#second();
    const from = Math.max(this.#now + 1, now - seconds + 1);
    for (let each = from; each <= now; each++) {
      this.#calls[each % seconds] = 0;
      this.#retries[each % seconds] = 0;
    }
    this.#now = Math.max(this.#now, now);
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
