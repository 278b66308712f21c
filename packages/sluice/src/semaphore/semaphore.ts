import { onAbort } from "../core/abort.js";
import { Alarms } from "../core/alarm.js";
import { turnClock } from "../core/clock.js";
import { type Duration, maxWaitOf, micros, milliseconds } from "../core/duration.js";
import { ClosedError, MaxWaitExceededError, show, typeError } from "../core/errors.js";
import { type Driver, type Store, storeDriver } from "../core/store.js";
import { checkFunction, checkKey, checkName, checkOptions, checkSignal, wholeNumber } from "../core/validate.js";
import { type Wrapper, wrapper } from "../core/wrap.js";
import { HeldLease, type Lease } from "./lease.js";
import { type Lines, MemoryPermits } from "./memory.js";
import type { Grant, Occupancy, Permits, Place, Waiter } from "./permits.js";
import { RedisPermits } from "./redis.js";

export type { Lease } from "./lease.js";

/** What `semaphore` takes. */
export interface SemaphoreOptions {
  /**
   * Permits that can be out at once, per key. Of several semaphores of one name on one store, the latest `acquire` or
   * `tryAcquire` counts: with fewer permits nobody loses one, and with more those in line get theirs at once. Who waits
   * for more than there are now goes on waiting, and so do those behind.
   */
  permits: number;
  /**
   * A holder that does not renew within this loses its permit. Default '30s'. On a remote store it should be many round
   * trips long: one below 50 ms is lost whenever the network or the process is a little slow. In memory, where a holder
   * cannot die alone, only leases with `renew: false` run out.
   */
  lease?: Duration;
  /** Where permits are counted. Default: in this semaphore, in memory. */
  store?: Store;
  /** Part of every key. Semaphores of one name on one store share their permits. Default 'semaphore'. */
  name?: string;
  /** The longest that one question to the store may take. Default 100 ms for a remote store. Waiting one's turn does not count. */
  timeout?: Duration;
}

/** What `acquire`, `tryAcquire`, `run` and `wrap` take. */
export interface AcquireOptions {
  /** All of them or none. Default 1. */
  permits?: number;
  /** Give up when no permit came in this time. Default: wait as long as it takes. */
  maxWait?: Duration;
  /** Aborting rejects with `signal.reason`, and gives back the place in line, or the permits that were granted meanwhile. A lease that was handed out stays. */
  signal?: AbortSignal;
  /** Renew while held. Default true. */
  renew?: boolean;
}

/**
 * At most so many at once. `acquire` waits its turn and returns a lease to be released; `tryAcquire` takes one now or not
 * at all; `run`, which most callers want, holds one while a function runs.
 *
 * On a remote store all moments are the server's. A holder that died gives its permits back when its lease ends, and one
 * that cannot be sure any more learns it from `lease.signal`; writes that matter should carry `lease.token`, because a
 * process can be stopped between looking at the signal and writing. When the store fails, `acquire` and `tryAcquire`
 * reject with `StoreError`; those already in line are patient for nine seconds.
 */
export interface Semaphore {
  /**
   * First come, first served among live waiters, across processes; many permits are not overtaken by few. A waiter that
   * stopped answering is passed over within 10 s.
   *
   * @throws MaxWaitExceededError when no permit came in time (`wait` is how long it was waited for), or at once, with
   *   `wait: Infinity`, when more are asked than this semaphore has. Then it holds none: one that was granted too late is given back,
   *   at the latest by its lease.
   */
  acquire(key: string, options?: AcquireOptions): Promise<Lease>;
  /** Now, or undefined; undefined too while others wait. */
  tryAcquire(key: string, options?: Omit<AcquireOptions, "maxWait">): Promise<Lease | undefined>;
  /** `acquire`, the task, then `release`. The outcome is the task's own; a store that fails to release fails nobody. */
  run<T>(key: string, task: (lease: Lease) => T | Promise<T>, options?: AcquireOptions): Promise<T>;
  /** A wrapper whose calls are `run`, inline or as a decorator. */
  wrap<A extends unknown[]>(options: AcquireOptions & { key: string | ((...args: A) => string) }): Wrapper<A>;
  /** How a key stands. Changes nothing. */
  inspect(key: string): Promise<{ permits: number; held: number; waiting: number }>;
  /**
   * Takes no more, and rejects those who wait with `ClosedError`. Leases that are held stay so: they go on renewing
   * themselves until they are released or lost, without keeping the process alive.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * At most `permits` at once, for each key: in this process, or across all that share the store. Permits are leases
 * (Gray and Cheriton, "Leases", SOSP 1989), `token` is a fencing token (Kleppmann, "How to do distributed locking", 2016).
 *
 * @throws TypeError or RangeError with a `code` for options that make no sense.
 * @example
 * const uploads = semaphore({ permits: 5, lease: "10s" })
 * const upload = async (signal: AbortSignal) => fetch("https://files.example/7", { method: "PUT", body: "…", signal })
 * const response = await uploads.run("bucket:7", ({ signal }) => upload(signal))
 */
export function semaphore(options: SemaphoreOptions): Semaphore {
  if (options === undefined) throw typeError("ERR_INVALID_ARGUMENT", "Expected options with the number of permits.");
  checkOptions(options);
  const { name = "semaphore", lease = "30s", timeout = 100 } = options;
  const permits = wholeNumber(options.permits, "permits", "ERR_INVALID_LIMIT");
  checkName(name, "the semaphore's name");
  const term = micros(lease, "lease", 1000);
  const limit = milliseconds(micros(timeout, "timeout", 1000));
  return new StoreSemaphore(permits, permitsOn(options.store, name, permits, term, limit));
}

/** Where a local store keeps the lines of each name: with the store, so that copies of the package share them too. */
const linesOf: unique symbol = Symbol.for("sluice.semaphore.lines");

function permitsOn(store: Store | undefined, name: string, permits: number, lease: number, timeout: number): Permits {
  if (store === undefined) {
    const clock = turnClock();
    return new MemoryPermits({ keys: new Map(), lastToken: 0 }, permits, lease, clock, new Alarms(clock));
  }
  const driver: Driver & { [linesOf]?: Map<string, Lines> } = storeDriver(store);
  if (driver.scripts !== undefined) return new RedisPermits(driver.scripts, name, permits, lease, timeout);
  if (driver.remote) {
    throw typeError(
      "ERR_INVALID_ARGUMENT",
      `Expected a store that can count permits, got one of kind ${show(store.kind)}.`,
    );
  }
  driver[linesOf] ??= new Map();
  const lines = driver[linesOf].get(name) ?? { keys: new Map(), lastToken: 0 };
  driver[linesOf].set(name, lines);
  return new MemoryPermits(lines, permits, lease, driver.clock, driver.alarms);
}

class StoreSemaphore implements Semaphore {
  readonly #permits: number;
  readonly #store: Permits;
  /** Calls without an outcome. */
  readonly #callers = new Set<Caller>();
  #closed: Promise<void> | undefined;

  constructor(permits: number, store: Permits) {
    this.#permits = permits;
    this.#store = store;
  }

  async acquire(key: string, options?: AcquireOptions): Promise<Lease> {
    return this.#acquire(key, options);
  }

  async tryAcquire(key: string, options?: Omit<AcquireOptions, "maxWait">): Promise<Lease | undefined> {
    const asked = this.#check(key, options);
    return asked.permits > this.#permits ? undefined : this.#take(key, { ...asked, maxWait: 0 });
  }

  async run<T>(key: string, task: (lease: Lease) => T | Promise<T>, options?: AcquireOptions): Promise<T> {
    checkFunction(task, "task");
    const acquired = this.#acquire(key, options);
    const lease = acquired instanceof HeldLease ? acquired : await acquired;
    try {
      return await task(lease);
    } finally {
      const released = lease.end();
      if (released !== undefined) await released;
    }
  }

  wrap<A extends unknown[]>(options: AcquireOptions & { key: string | ((...args: A) => string) }): Wrapper<A> {
    if (options === undefined)
      throw typeError("ERR_INVALID_ARGUMENT", "Expected wrap to be given an object with a key.");
    const { key } = options;
    checkAcquire(options);
    if (typeof key !== "function") checkKey(key);
    return wrapper<A>(async (call, args) => this.run(typeof key === "function" ? key(...args) : key, call, options));
  }

  async inspect(key: string): Promise<Occupancy> {
    checkKey(key);
    this.#checkOpen();
    return this.#store.inspect(key);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    // the last first: nobody moves up on the way
    for (const caller of Array.from(this.#callers).toReversed()) caller.giveUp(new ClosedError("semaphore"));
    await this.#store.close();
  }

  #acquire(key: string, options: AcquireOptions | undefined): HeldLease | Promise<HeldLease> {
    const asked = this.#check(key, options);
    if (asked.permits > this.#permits) throw tooMany(asked.maxWait);
    const lease = this.#take(key, asked);
    if (asked.maxWait > 0) return lease as HeldLease | Promise<HeldLease>;
    return lease instanceof Promise ? lease.then(orTooLate) : orTooLate(lease);
  }

  #check(key: string, options: AcquireOptions | undefined): Asked {
    checkKey(key);
    const asked = options === undefined ? plain : checkAcquire(options);
    this.#checkOpen();
    if (asked.signal?.aborted) throw asked.signal.reason;
    return asked;
  }

  #checkOpen(): void {
    if (this.#closed !== undefined) throw new ClosedError("semaphore");
  }

  /** A lease, or undefined when there is none now and `maxWait` is 0. At once where the store answers at once. */
  #take(key: string, asked: Asked): HeldLease | undefined | Promise<HeldLease | undefined> {
    const { permits, maxWait, renew } = asked;
    const answer = this.#store.take(key, permits, maxWait > 0, renew);
    if (answer === undefined) return undefined;
    if ("leave" in answer) return this.#until(answer, key, asked);
    return new HeldLease(key, permits, answer, this.#store, renew);
  }

  #until(place: Place, key: string, asked: Asked): Promise<HeldLease | undefined> {
    return new Promise((resolve, reject) => {
      place.occupy(new Caller(place, key, asked, this.#store, this.#callers, resolve, reject));
    });
  }
}

/** One call that waits for its outcome. */
class Caller implements Waiter {
  readonly #place: Place;
  readonly #key: string;
  readonly #asked: Asked;
  readonly #store: Permits;
  readonly #others: Set<Caller>;
  readonly #resolve: (lease: HeldLease | undefined) => void;
  readonly #reject: (reason: unknown) => void;
  #cancelAlarm: (() => void) | undefined;
  #unwatch: (() => void) | undefined;

  constructor(
    place: Place,
    key: string,
    asked: Asked,
    store: Permits,
    others: Set<Caller>,
    resolve: (lease: HeldLease | undefined) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#place = place;
    this.#key = key;
    this.#asked = asked;
    this.#store = store;
    this.#others = others;
    this.#resolve = resolve;
    this.#reject = reject;
    const { maxWait, signal } = asked;
    if (maxWait > 0 && maxWait < Number.POSITIVE_INFINITY) this.#watchClock(maxWait);
    if (signal !== undefined) this.#unwatch = onAbort(signal, () => this.giveUp(signal.reason));
    others.add(this);
  }

  granted(grant: Grant | undefined): void {
    const { permits, signal, renew } = this.#asked;
    // one that left made way for this one, on the same signal: its own listener is called next, and gives this back
    if (signal?.aborted) return;
    this.#settle();
    this.#resolve(grant && new HeldLease(this.#key, permits, grant, this.#store, renew));
  }

  failed(error: unknown): void {
    this.#settle();
    this.#reject(error);
  }

  giveUp(reason: unknown): void {
    this.#settle();
    this.#place.leave();
    this.#reject(reason);
  }

  #watchClock(maxWait: number): void {
    const { clock, alarms } = this.#store;
    const since = clock.now();
    this.#cancelAlarm = alarms.in(maxWait, () => {
      this.giveUp(noneCame(milliseconds(clock.now() - since), milliseconds(maxWait)));
    });
  }

  #settle(): void {
    this.#cancelAlarm?.();
    this.#unwatch?.();
    this.#others.delete(this);
  }
}

/** `AcquireOptions`, checked; `maxWait` in µs. */
interface Asked {
  readonly permits: number;
  readonly maxWait: number;
  readonly signal: AbortSignal | undefined;
  readonly renew: boolean;
}

const plain: Asked = { permits: 1, maxWait: Number.POSITIVE_INFINITY, signal: undefined, renew: true };

function checkAcquire(options: AcquireOptions): Asked {
  checkOptions(options);
  const { permits = 1, maxWait, signal, renew = true } = options;
  wholeNumber(permits, "permits", "ERR_INVALID_COST");
  checkSignal(signal);
  if (typeof renew !== "boolean") {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected renew to be true or false, got ${show(renew)}.`);
  }
  return { permits, maxWait: maxWaitOf(maxWait), signal, renew };
}

/** More were asked than there are. */
function tooMany(maxWait: number): MaxWaitExceededError {
  return new MaxWaitExceededError(Number.POSITIVE_INFINITY, milliseconds(maxWait));
}

/** How long it was waited for in vain, ms. */
function noneCame(wait: number, maxWait: number): MaxWaitExceededError {
  return new MaxWaitExceededError(wait, maxWait, `No permit came within ${maxWait} ms.`);
}

/** The lease of one who would not wait at all. */
function orTooLate(lease: HeldLease | undefined): HeldLease {
  if (lease === undefined) throw noneCame(0, 0);
  return lease;
}
