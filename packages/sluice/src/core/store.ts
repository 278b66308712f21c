import type { Alarms } from "./alarm.js";
import type { Clock } from "./clock.js";
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

/** A program that runs on the store's server. */
export interface Script {
  readonly text: string;
  /** SHA-1 of the text, in hexadecimal. */
  readonly sha: string;
}

/** What a store on a server offers beyond rate limits: programs of others run there, and messages between processes. */
export interface ScriptHost {
  /** The full name of a key: `<prefix>:<name>:%#<part>:{<key>}`, escaped, so that keys of one `key` share a slot. No policy's key has such a name. */
  name(name: string, part: string, key: string): string;
  /**
   * Runs the script once: by its hash, and as a whole when the server does not know it. All keys share a slot. Rejects
   * with `StoreError` when the server errs or does not answer within `timeout` ms; whether it ran is unknown then.
   */
  run(script: Script, keys: readonly string[], args: readonly (string | number)[], timeout: number): Promise<unknown>;
  /**
   * Calls `onMessage` for each message on the channel, from when it resolves on; undefined when the client cannot
   * subscribe. Each opens a connection of its own. Messages may be lost: never rely on them alone.
   */
  readonly subscribe:
    | ((channel: string, onMessage: (message: string) => void) => Promise<() => Promise<void>>)
    | undefined;
  /** Calls `listener` when the store is closed, which waits for it. */
  whenClosed(listener: () => Promise<void>): void;
}

/** What a store does for limiters. A value when it can answer at once, else a promise. */
export interface Driver {
  /** True when an answer crosses a network: decisions then have a deadline. */
  readonly remote: boolean;
  /** The clock by which `Verdict.wait` passes here; of a local store, its clock. */
  readonly clock: Clock;
  /** Alarms on that clock. */
  readonly alarms: Alarms;
  /** Present on a store that has a server. */
  readonly scripts?: ScriptHost;
  /** A limiter's door into the store. Throws when another limiter of this name has other policies. */
  open(limiter: string, policies: readonly Policy[]): Gate;
  /** The limiter is done with its gate. */
  leave(limiter: string): void | Promise<void>;
  /**
   * All asks are granted with one common start at most `maxWait` µs away and charged, or none is charged. `spend` false
   * only looks. `keep` asks for the ticket of a grant that starts at once; a grant that lies ahead always has one. A
   * remote store rejects with `StoreError` when it errs, or has not answered within `timeout` ms. With `earliest`, the
   * start is at least so many µs away.
   */
  decide(
    asks: readonly Ask[],
    maxWait: number,
    spend: boolean,
    keep: boolean,
    timeout: number,
    earliest?: number,
  ): Verdict | Promise<Verdict>;
  /** Present where not every group of asks can be one atom: on a cluster, only those of one slot can. */
  atomic?(asks: readonly Ask[]): boolean;
}

/** One limiter on one store. */
export interface Gate {
  readonly driver: Driver;
  readonly policies: readonly Policy[];
  /** The whole decision, spending when it is allowed: the hot path. A local store answers at once. */
  consume(key: string, cost: number, timeout: number): Decision | Promise<Decision>;
  /** Adds cost without asking (`delta` > 0), or gives it back, newest first. */
  amend(key: string, delta: number, timeout: number): Findings | Promise<Findings>;
  /** Forgets the key. */
  reset(key: string, timeout: number): void | Promise<void>;
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
  /** The alarms by which the wait passes, where those of the first ask are not meant. */
  readonly alarms?: Alarms;
}

/** A grant that can still be corrected. */
export interface Ticket {
  /** Gives everything back; as if it had never been asked, where nobody else has asked since. What it cannot reach, it reports once the rest is back. */
  cancel(): void | Promise<void>;
  /** Changes what each ask cost, by `deltas`, as of its start; what it cannot reach, it reports once the rest is done. */
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
