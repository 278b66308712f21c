import type { Alarms } from "../core/alarm.js";
import type { Clock } from "../core/clock.js";

/** Permits that are out, as their holder sees them. */
export interface Grant {
  readonly token: number;
  /** Until then the permits are certainly held; µs on the clock of `Permits`. Infinity: for as long as this process lives. */
  readonly expiry: number;
  /** True while the store waits for a first renewal before it gives the whole lease. */
  readonly provisional: boolean;
  /** Holds on for a whole lease from now. False when the permits were lost. */
  renew(): boolean | Promise<boolean>;
  /** Gives the permits back. False when they were lost before; nothing is given back twice. */
  release(): boolean | Promise<boolean>;
  /** The same in the background, again and again while the store fails: nobody waits for it. */
  giveBack(): void;
}

/** A caller on its way to a grant. One of the two is called, once. */
export interface Waiter {
  /** `grant` is undefined when there is none now, for one who would not wait. */
  granted(grant: Grant | undefined): void;
  /** The store failed. */
  failed(error: unknown): void;
}

/** Where a caller stands. */
export interface Place {
  /** Says who stands here; at once after the place was made. */
  occupy(waiter: Waiter): void;
  /** Gives the place up, or what was granted meanwhile back. The waiter hears nothing after that. */
  leave(): void;
}

/** One semaphore on one store: where its permits are counted. */
export interface Permits {
  /** Local and monotonic; for a local store, the store's own. */
  readonly clock: Clock;
  readonly alarms: Pick<Alarms, "in">;
  /**
   * Takes `count` permits of `key`, in line when `wait` is true. `renew` says that the caller will renew its lease.
   * Undefined: not now, from a store that answers at once.
   */
  take(key: string, count: number, wait: boolean, renew: boolean): Grant | Place | undefined;
  inspect(key: string): Occupancy | Promise<Occupancy>;
  /** Stops what watches over those who wait. They have left before. */
  close(): void | Promise<void>;
}

/** How a key stands. */
export interface Occupancy {
  /** How many permits there are. */
  permits: number;
  /** How many of them are out. */
  held: number;
  /** How many callers wait. */
  waiting: number;
}
