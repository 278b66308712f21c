import { fixedWindow } from "../algorithms/fixed-window/fixed-window.js";
import type { LimiterOptions, RateLimiter } from "../core/limiter.js";
import type { Policy } from "../core/policy.js";
import type { Store } from "../core/store.js";
import { rateLimiter } from "../rate-limiter.js";

/** What a suite is given to test: a store, and how to move its clock. */
export interface StoreUnderTest {
  readonly store: Store;
  /** Moves the store's clock by ms, back where negative; between two calls it has to stand still. */
  readonly advance?: ((ms: number) => Promise<void> | void) | undefined;
  readonly dispose?: (() => Promise<void>) | undefined;
}

const run = Math.random().toString(36).slice(2, 8);
let serial = 0;

/** A store under test, and the limiters that a law has opened on it. */
export class Bench {
  readonly store: Store;
  readonly movable: boolean;
  /** How many times the usual number of cases. */
  readonly effort: number;
  readonly #subject: StoreUnderTest;
  readonly #limiters: RateLimiter[] = [];
  #moved = 0;

  constructor(subject: StoreUnderTest, effort = 1) {
    this.effort = effort;
    this.#subject = subject;
    this.store = subject.store;
    this.movable = subject.advance !== undefined;
  }

  /** A limiter whose name nobody else has, so that suites can share a server. */
  limiter(policies: Policy | readonly Policy[], options: LimiterOptions = {}): RateLimiter {
    serial += 1;
    const limiter = rateLimiter(policies, {
      store: this.store,
      name: `law-${run}-${serial}`,
      timeout: "10s",
      ...options,
    });
    this.#limiters.push(limiter);
    return limiter;
  }

  /** Moves the clock by µs. */
  async advance(micros: number): Promise<void> {
    this.#moved += micros;
    if (micros !== 0) await this.#subject.advance?.(micros / 1000);
  }

  /** How far into a multiple of `window` µs the store's clock is. */
  async phase(window: number): Promise<number> {
    const probe = this.limiter(fixedWindow({ limit: 1, window: window / 1000, anchor: "epoch" }));
    const { resetAfter } = await probe.consume("phase");
    return (window - Math.round(resetAfter * 1000)) % window;
  }

  /** Closes the limiters of a case, and puts the clock back, so that thousands of cases do not add up to centuries. */
  async clear(): Promise<void> {
    await Promise.all(this.#limiters.splice(0).map((limiter) => limiter.close()));
    await this.advance(-this.#moved);
  }

  async dispose(): Promise<void> {
    await this.clear();
    await this.#subject.dispose?.();
  }
}

/** What every store has to keep. */
export interface Law {
  readonly name: string;
  /** True when the clock has to be moved. */
  readonly moves: boolean;
  readonly holds: (bench: Bench) => Promise<void>;
}
