import type { Alarms } from "./alarm.js";
import type { Decision, Findings } from "./decision.js";
import { show, typeError } from "./errors.js";
import type { Policy } from "./policy.js";

/** Where state lives. Made by `memoryStore` or `redisStore`; the caller owns it and closes it. */
export interface Store {
  readonly kind: string;
  close(): Promise<void>;
}

/** How the library reaches into a store; shared between copies of the package. */
export const driverOf: unique symbol = Symbol.for("sluice.store.driver");

/** What a store does for limiters. A value when it can answer at once, else a promise. */
export interface Driver {
  /** True when an answer crosses a network: decisions then have a deadline. */
  readonly remote: boolean;
  /** Alarms on the clock by which `Verdict.wait` passes here. */
  readonly alarms: Alarms;
  /** A limiter's door into the store. Throws when another limiter of this name has other policies. */
  open(limiter: string, policies: readonly Policy[]): Gate;
  /** The limiter is done with its gate. */
  leave(limiter: string): void | Promise<void>;
  /**
   * All asks are granted with one common start at most `maxWait` µs away and charged, or none is charged. `spend` false
   * only looks. `keep` asks for the ticket of a grant that starts at once; a grant that lies ahead always has one.
   */
  decide(asks: readonly Ask[], maxWait: number, spend: boolean, keep: boolean): Verdict | Promise<Verdict>;
}

/** One limiter on one store. */
export interface Gate {
  readonly driver: Driver;
  readonly policies: readonly Policy[];
  /** Present when the store answers at once: the whole decision, spending when it is allowed. */
  readonly consume?: (key: string, cost: number) => Decision;
  /** Adds cost without asking (`delta` > 0), or gives it back, newest first. */
  amend(key: string, delta: number): Findings | Promise<Findings>;
  /** Forgets the key. */
  reset(key: string): void | Promise<void>;
}

export interface Ask {
  readonly gate: Gate;
  readonly key: string;
  readonly cost: number;
}

/** What a store says to a group of asks. */
export interface Verdict {
  readonly granted: boolean;
  /** µs until the common start, 0 for now, Infinity for never. */
  readonly wait: number;
  /** For the policies of all asks, one after the other. */
  readonly findings: Findings;
  readonly ticket: Ticket | undefined;
}

/** A grant that can still be corrected. */
export interface Ticket {
  /** Gives everything back; as if it had never been asked, where nobody else has asked since. */
  cancel(): void | Promise<void>;
  /** Changes what each ask cost, by `deltas`, as of its start. */
  settle(deltas: readonly number[]): void | Promise<void>;
}

/** The driver of a store, or a TypeError for what is none. */
export function storeDriver(store: unknown): Driver {
  const driver = typeof store === "object" && store !== null ? (store as { [driverOf]?: Driver })[driverOf] : undefined;
  if (driver === undefined) {
    throw typeError(
      "ERR_INVALID_ARGUMENT",
      `Expected store to be made by memoryStore or redisStore, got ${show(store)}.`,
    );
  }
  return driver;
}
