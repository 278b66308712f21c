import { type Decision, decideDegraded, decideMany, markDegraded } from "./decision.js";
import { type Duration, maxWaitOf, micros, milliseconds } from "./duration.js";
import { ClosedError, RateLimitExceededError, show, typeError } from "./errors.js";
import { type FailureAnswer, orElse } from "./failure.js";
import { nameFor } from "./name.js";
import type { Policy } from "./policy.js";
import { type Gate, type Store, storeDriver } from "./store.js";
import { Turns } from "./turn.js";
import { checkKey, checkName, checkOptions, checkSignal, costOf, wholeNumber } from "./validate.js";
import {
  type CostOptions,
  consume,
  type Member,
  peek,
  type Reservation,
  reserve,
  run,
  runNow,
  type Target,
  type WaitOptions,
  wait,
} from "./verbs.js";
import { type Wrapper, wrapper } from "./wrap.js";

/**
 * Policies in force. Three attitudes to one question, "may this cost start, and when?": `consume` spends now or is
 * refused, `wait` spends and goes on when its turn comes, `reserve` spends an estimate and settles later. Most callers
 * want `consume` towards their clients and `wait` towards the services they call.
 *
 * A key is 1 to 65 536 characters; every verb rejects with a TypeError or RangeError for a wrong argument, with
 * `ClosedError` after `close`, and with `StoreError` when the store fails and `whenStoreFails` is 'throw'.
 */
export interface RateLimiter {
  readonly policies: readonly Policy[];
  /** Spend now or be refused. A refusal charges nothing. With several policies: all are charged, or none. */
  consume(key: string, options?: CostOptions): Promise<Decision>;
  /** What `consume` would say, with `remaining` and `resetAfter` as of now, nothing spent. Changes nothing. */
  peek(key: string, options?: CostOptions): Promise<Decision>;
  /**
   * Spend patiently: resolves when it is this caller's turn, first come first served per key, also across processes.
   * One store round trip, however long the wait.
   *
   * @throws MaxWaitExceededError at once when the turn is too far away, or would never come (`wait: Infinity`).
   */
  wait(key: string, options?: WaitOptions): Promise<Decision>;
  /**
   * Spend an estimate now and the truth later. Waits like `wait` when `maxWait` is given, else asks like `consume`.
   *
   * @throws RateLimitExceededError, or MaxWaitExceededError when `maxWait` was given.
   */
  reserve(key: string, options?: WaitOptions): Promise<Reservation>;
  /** Give `cost` back, the newest first; never lifts `remaining` above the limit. */
  refund(key: string, options?: CostOptions): Promise<void>;
  /** Spend unconditionally, into debt if need be: a penalty, or a cost known only afterwards. `allowed` is true. A window's debt ends with the window. */
  charge(key: string, options?: CostOptions): Promise<Decision>;
  /** Forget the key. Rejects with `StoreError` when the store fails, whatever `whenStoreFails` says. */
  reset(key: string): Promise<void>;
  /** `wait`, then the function. */
  run<T>(key: string, task: () => T | Promise<T>, options?: WaitOptions): Promise<T>;
  /**
   * A wrapper: `limiter.wrap({ key })(fn)`, or the decorator `@limiter.wrap({ key })`. `whenLimited` 'wait' (default)
   * waits its turn; 'throw' throws `RateLimitExceededError`.
   *
   * @example
   * const limiter = rateLimiter(tokenBucket({ rate: 5, per: "1s" }))
   * class Partner {
   *   \@limiter.wrap({ key: (id: string) => id, maxWait: "10s" })
   *   async order(id: string) { return { id } }
   * }
   * const order = await new Partner().order("7")
   */
  wrap<A extends unknown[]>(options: WrapOptions<A>): Wrapper<A>;
  /** This limiter on one key; in `all(…)` a `cost` given here is the key's own, whatever the call costs the others. */
  for(key: string, options?: CostOptions): KeyedLimiter;
  /** Finish what is under way, stop timers, and reject what waits with `ClosedError`. Never closes a client that was passed in. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A limiter on the memory store also answers synchronously. */
export interface SyncRateLimiter extends RateLimiter {
  consumeSync(key: string, options?: CostOptions): Decision;
  peekSync(key: string, options?: CostOptions): Decision;
  refundSync(key: string, options?: CostOptions): void;
  resetSync(key: string): void;
}

/** A limiter on one key, or what `all` made of several: the verbs of `RateLimiter`, without the key. */
export interface KeyedLimiter {
  readonly key: string;
  readonly limiter: RateLimiter;
  consume(options?: CostOptions): Promise<Decision>;
  peek(options?: CostOptions): Promise<Decision>;
  wait(options?: WaitOptions): Promise<Decision>;
  reserve(options?: WaitOptions): Promise<Reservation>;
  run<T>(task: () => T | Promise<T>, options?: WaitOptions): Promise<T>;
}

/** What `wrap` takes: for every call, or worked out from its arguments. */
export interface WrapOptions<A extends unknown[]> {
  key: string | ((...args: A) => string);
  cost?: number | ((...args: A) => number);
  maxWait?: Duration;
  signal?: AbortSignal;
  whenLimited?: "wait" | "throw";
}

/** What answers when the store errs or is late; see `LimiterOptions.whenStoreFails`. */
export type StoreFailureAnswer = "throw" | "allow" | "deny" | RateLimiter;

/** What `rateLimiter` takes beside policies. */
export interface LimiterOptions {
  /** Where state lives. Default: a memory store of its own. */
  store?: Store;
  /** Part of every key: give it when a store is shared. Default: derived from the policies. */
  name?: string;
  /** The longest a decision may take before the store counts as failed. Default 100 ms for a remote store. Waiting one's turn does not count. */
  timeout?: Duration;
  /** When the store errs or is late. 'throw' (default) throws `StoreError`; 'allow' fails open; 'deny' fails closed; a limiter answers in its stead. */
  whenStoreFails?: StoreFailureAnswer;
  /** Decide and count, but never refuse; the decision still says what would have happened in `parts`. A would-be refusal charges nothing. Default false. */
  shadow?: boolean;
}

/** How `all` finds what a keyed limiter stands for; shared between copies of the package. */
const targetKey: unique symbol = Symbol.for("sluice.limiter.target");

/** A limiter over any store. */
export class StoreLimiter implements RateLimiter, Member {
  readonly policies: readonly Policy[];
  readonly gate: Gate;
  readonly shadow: boolean;
  readonly turns: Turns = new Turns();
  readonly timeout: number;
  readonly whenStoreFails: FailureAnswer;
  readonly #name: string;
  #closed = false;
  #closing: Promise<void> | undefined;

  constructor(policies: readonly Policy[], store: Store, options: LimiterOptions) {
    this.policies = policies;
    this.shadow = options.shadow ?? false;
    this.timeout = milliseconds(micros(options.timeout ?? 100, "timeout"));
    this.whenStoreFails = failureAnswer(options.whenStoreFails ?? "throw");
    this.#name = options.name ?? nameFor(policies);
    this.gate = storeDriver(store).open(this.#name, policies);
  }

  checkOpen(): void {
    if (this.#closed) throw new ClosedError("limiter");
  }

  /** Not an async function: what is known at once costs one promise, and what is not known no further one. */
  consume(key: string, options?: CostOptions): Promise<Decision> {
    try {
      const answer = consume([this.target(key)], options);
      return answer instanceof Promise ? answer : Promise.resolve(answer);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async peek(key: string, options?: CostOptions): Promise<Decision> {
    return peek([this.target(key)], options);
  }

  async wait(key: string, options?: WaitOptions): Promise<Decision> {
    return wait([this.target(key)], options);
  }

  async reserve(key: string, options?: WaitOptions): Promise<Reservation> {
    return reserve([this.target(key)], options);
  }

  async refund(key: string, options?: CostOptions): Promise<void> {
    await this.#amend(key, -costOf(options));
  }

  async charge(key: string, options?: CostOptions): Promise<Decision> {
    return this.#amend(key, costOf(options));
  }

  /** An operator's act: it fails when the store does, whatever `whenStoreFails` says. */
  async reset(key: string): Promise<void> {
    this.checkOpen();
    checkKey(key);
    await this.gate.reset(key, this.timeout);
  }

  async run<T>(key: string, task: () => T | Promise<T>, options?: WaitOptions): Promise<T> {
    return run([this.target(key)], task, options);
  }

  wrap<A extends unknown[]>(options: WrapOptions<A>): Wrapper<A> {
    const { key, cost, maxWait, signal, whenLimited = "wait" } = wrapOptions(options);
    return wrapper<A>(async (call, args) => {
      const chosen = typeof key === "function" ? key(...args) : key;
      const spent = typeof cost === "function" ? cost(...args) : cost;
      const asked = { ...(spent !== undefined && { cost: spent }), ...(signal !== undefined && { signal }) };
      if (whenLimited === "wait")
        return this.run(chosen, call, { ...asked, ...(maxWait !== undefined && { maxWait }) });
      if (signal !== undefined) return runNow([this.target(chosen)], call, { ...asked, signal });
      const decision = await this.consume(chosen, asked);
      if (!decision.allowed) throw new RateLimitExceededError(decision);
      return call();
    });
  }

  for(key: string, options?: CostOptions): KeyedLimiter {
    checkKey(key);
    checkOptions(options);
    const own = options?.cost === undefined ? undefined : costOf(options);
    const target: Target = { member: this, key, cost: own };
    return Object.assign(verbsOn([target]), { key, limiter: this, [targetKey]: target });
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.turns.giveUp(() => new ClosedError("limiter")), this.gate.driver.leave(this.#name)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  protected target(key: string): Target {
    checkKey(key);
    return { member: this, key, cost: undefined };
  }

  protected amend(key: string, delta: number): ReturnType<Gate["amend"]> {
    this.checkOpen();
    checkKey(key);
    return this.gate.amend(key, delta, this.timeout);
  }

  /** A charge is never refused, so that 'deny' has nothing to deny here either. */
  async #amend(key: string, delta: number): Promise<Decision> {
    const target = this.target(key);
    const verb = async ([asked]: readonly Target[]): Promise<Decision> => {
      const { member } = asked as Target;
      member.checkOpen();
      const findings = await member.gate.amend(key, delta, member.timeout);
      return decideMany(member.gate.policies, Array.from(findings), true);
    };
    return orElse([target], verb, markDegraded, () => decideDegraded(this.policies, true, 0));
  }
}

/** What answers when the store does not, made ready. */
function failureAnswer(answer: StoreFailureAnswer): FailureAnswer {
  if (typeof answer === "string") return answer;
  return (key, cost) => targetOf(answer.for(key, cost === undefined ? {} : { cost })) as Target;
}

/** The gate of a store that answers at once: its `consume` needs no deadline, and is a function of its own. */
interface SyncGate extends Gate {
  readonly consume: (key: string, cost: number) => Decision;
}

/** A limiter over a store that answers at once. */
export class SyncStoreLimiter extends StoreLimiter implements SyncRateLimiter {
  #consume: (key: string, cost: number) => Decision;

  constructor(policies: readonly Policy[], store: Store, options: LimiterOptions) {
    super(policies, store, options);
    this.#consume = this.shadow
      ? (key, cost) => consume([{ member: this, key, cost: undefined }], { cost }) as Decision
      : (this.gate as SyncGate).consume;
  }

  consumeSync(key: string, options?: CostOptions): Decision {
    const cost = options === undefined ? 1 : costOf(options);
    if (typeof key !== "string" || key.length === 0 || key.length > 512) checkKey(key);
    return this.#consume(key, cost);
  }

  override async consume(key: string, options?: CostOptions): Promise<Decision> {
    return this.consumeSync(key, options);
  }

  peekSync(key: string, options?: CostOptions): Decision {
    return peek([this.target(key)], options) as Decision;
  }

  refundSync(key: string, options?: CostOptions): void {
    void this.amend(key, -costOf(options));
  }

  resetSync(key: string): void {
    this.checkOpen();
    checkKey(key);
    void this.gate.reset(key, this.timeout);
  }

  override close(): Promise<void> {
    this.#consume = () => {
      throw new ClosedError("limiter");
    };
    return super.close();
  }
}

/** The verbs on fixed targets. */
function verbsOn(targets: readonly Target[]): Omit<KeyedLimiter, "key" | "limiter"> {
  return {
    consume: async (options) => consume(targets, options),
    peek: async (options) => peek(targets, options),
    wait: async (options) => wait(targets, options),
    reserve: async (options) => reserve(targets, options),
    run: async (task, options) => run(targets, task, options),
  };
}

/**
 * One decision over several keys or limiters (user and tenant, requests and tokens): all are charged, or none. One round
 * trip where they share a store and, on a cluster, a slot; otherwise they are asked in order and given back on refusal.
 *
 * The strictest `whenStoreFails` of them answers for all, and the shortest `timeout` holds.
 *
 * @throws TypeError with code `ERR_INVALID_ARGUMENT` for anything but `limiter.for(key)`.
 * @example
 * const perUser = rateLimiter(slidingWindow({ limit: 10, window: "1m", name: "user" }))
 * const perTenant = rateLimiter(slidingWindow({ limit: 100, window: "1m", name: "tenant" }))
 * const decision = await all(perUser.for("user:1"), perTenant.for("tenant:7")).consume()
 * decision.policy // "user"
 */
export function all(...limiters: KeyedLimiter[]): Omit<KeyedLimiter, "key" | "limiter"> {
  if (limiters.length === 0)
    throw typeError("ERR_INVALID_ARGUMENT", "Expected all() to be given at least one limiter.for(key).");
  return verbsOn(
    limiters.map((limiter) => {
      const target = targetOf(limiter);
      if (target === undefined) {
        throw typeError(
          "ERR_INVALID_ARGUMENT",
          `Expected every argument of all() to be limiter.for(key), got ${show(limiter)}.`,
        );
      }
      return target;
    }),
  );
}

function targetOf(limiter: unknown): Target | undefined {
  return typeof limiter === "object" && limiter !== null ? (limiter as { [targetKey]?: Target })[targetKey] : undefined;
}

function wrapOptions<A extends unknown[]>(options: WrapOptions<A>): WrapOptions<A> {
  if (typeof options !== "object" || options === null) {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected wrap to be given an object with a key, got ${show(options)}.`);
  }
  if (typeof options.key !== "function") checkKey(options.key);
  if (options.cost !== undefined && typeof options.cost !== "function")
    wholeNumber(options.cost, "cost", "ERR_INVALID_COST");
  maxWaitOf(options.maxWait);
  checkSignal(options.signal);
  const { whenLimited = "wait" } = options;
  if (whenLimited !== "wait" && whenLimited !== "throw") {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected whenLimited to be 'wait' or 'throw', got ${show(whenLimited)}.`);
  }
  return options;
}

/** The options of a limiter, checked. */
export function limiterOptions(options: LimiterOptions): LimiterOptions {
  checkOptions(options);
  if (options.name !== undefined) checkName(options.name, "the limiter's name");
  if (options.shadow !== undefined && typeof options.shadow !== "boolean") {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected shadow to be true or false, got ${show(options.shadow)}.`);
  }
  const { whenStoreFails = "throw", timeout } = options;
  if (timeout !== undefined) micros(timeout, "timeout");
  const answers = whenStoreFails === "throw" || whenStoreFails === "allow" || whenStoreFails === "deny";
  if (!answers && targetOf((whenStoreFails as Partial<RateLimiter> | null)?.for?.("?")) === undefined) {
    throw typeError(
      "ERR_INVALID_ARGUMENT",
      `Expected whenStoreFails to be 'throw', 'allow', 'deny' or a limiter, got ${show(whenStoreFails)}.`,
    );
  }
  return options;
}
