import { onAbort } from "../core/abort.js";
import { Alarms } from "../core/alarm.js";
import { type Clock, preciseClock } from "../core/clock.js";
import { type Duration, micros } from "../core/duration.js";
import { ClosedError, QueueFullError, show, typeError } from "../core/errors.js";
import { checkFunction, checkOptions, checkSignal, countOrInfinity, wholeNumber } from "../core/validate.js";
import { type Wrapper, wrapper } from "../core/wrap.js";
import { Completions } from "./completions.js";
import { type Context, contextOfNow } from "./context.js";
import { Queue, type Queued } from "./queue.js";
import { steadyClock } from "./steady-clock.js";

/** What `serialLimiter` takes. */
export interface SerialOptions {
  /** The most weight that may be completed in any half-open window of length `per`: a positive whole number, or `Infinity`. */
  rate: number;
  per: Duration;
  /** The most that may be queued, not counting the one that runs. Default: no bound. 0 takes a task only when it can start at once. */
  maxQueue?: number;
  /**
   * Gets the errors of tasks that `push` had queued, and a `ClosedError` for each of them that `close` dropped.
   * What it throws itself goes to `console.error`. Default: `console.error`, for errors of tasks only.
   */
  onError?: (error: unknown) => void;
  /** Default: the platform's monotonic clock. A step back counts as no time passed. */
  clock?: Clock;
}

/**
 * One task at a time, first come first served, and at most `rate` of weight *completed* in any half-open window of
 * length `per`: for a partner who counts what is finished, and takes no two at once.
 *
 * `push` and `run` differ in what they answer. `push` says whether the task could start at once and leaves the queued
 * ones to themselves; `run`, which most callers want, gives back the task's own result or error.
 *
 * A task starts at the earliest legal moment: when its predecessor has ended, and its own end, however soon it comes,
 * is within the rate. A heavy task is not overtaken by a light one behind it. A task that fails has completed too and
 * counts; one that was aborted or dropped before its start does not. A task that never ends holds up all the others, and
 * so does one that awaits another of the same limiter, its `idle` or its `close`.
 */
export interface SerialLimiter {
  /**
   * Resolves true once the task has run, if it could start at once (and rejects with its error); false as soon as it is
   * queued (its error then goes to `onError`).
   *
   * Rejects with `ERR_CLOSED`, `ERR_QUEUE_FULL`, or a TypeError or RangeError for a bad task or weight; a weight above
   * `rate` could never run.
   */
  push(task: () => void | Promise<void>, options?: { weight?: number }): Promise<boolean>;
  /** Resolves or rejects with the task's own outcome. Aborting takes a queued task out and rejects with `signal.reason`; a task that runs is left alone. Otherwise rejects as `push`. */
  run<T>(task: () => T | Promise<T>, options?: { weight?: number; signal?: AbortSignal }): Promise<T>;
  /** A wrapper whose calls are `run`, inline or as a decorator. */
  wrap<A extends unknown[]>(options?: { weight?: number }): Wrapper<A>;
  /** Tasks queued or running. */
  readonly size: number;
  /** Resolves when nothing is queued or running. */
  idle(): Promise<void>;
  /** Takes no more, rejects what `run` had queued with `ClosedError`, drops what `push` had queued, and resolves when the task that runs has ended. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * One at a time, at most `rate` completions in any `per`, in order; in this process.
 *
 * @throws TypeError or RangeError with a `code` for options that make no sense.
 * @example
 * const limiter = serialLimiter({ rate: 5, per: "1s", maxQueue: 100 })
 * const answer = await limiter.run(() => fetch("https://example.com/"))
 */
export function serialLimiter(options: SerialOptions): SerialLimiter {
  return new Serial(options);
}

/** A task in line; `resolve` and `reject` take its outcome. */
interface Entry extends Queued<Entry> {
  readonly task: () => unknown;
  readonly weight: number;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
  /** Stops watching the signal. */
  unwatch: (() => void) | undefined;
  /** Of the caller: a queued task runs in it, and not in that of the task before. */
  context: Context | undefined;
}

class Serial implements SerialLimiter {
  readonly #rate: number;
  readonly #maxQueue: number;
  readonly #onError: (error: unknown) => void;
  readonly #clock: Clock;
  readonly #alarms: Alarms;
  /** Absent when the rate is unlimited: then no clock is read either. */
  readonly #completions: Completions | undefined;
  readonly #queue = new Queue<Entry>();
  #running = false;
  #cancelAlarm: (() => void) | undefined;
  #whenIdle: (() => void)[] = [];
  #closed: ClosedError | undefined;

  constructor(options: SerialOptions) {
    if (options === undefined) throw typeError("ERR_INVALID_ARGUMENT", "Expected options with a rate and a per.");
    checkOptions(options);
    const { rate, per, maxQueue = Number.POSITIVE_INFINITY, onError, clock } = options;
    this.#rate = countOrInfinity(rate, "rate", 1);
    const window = micros(per, "per");
    this.#maxQueue = countOrInfinity(maxQueue, "maxQueue", 0);
    if (onError !== undefined) checkFunction(onError, "onError");
    if (clock !== undefined && typeof clock?.now !== "function") {
      throw typeError("ERR_INVALID_ARGUMENT", `Expected clock to have a function now, got ${show(clock)}.`);
    }
    // whoever closes a limiter knows that it drops what is queued
    this.#onError = onError ?? ((error) => error !== this.#closed && console.error(error));
    this.#clock = clock === undefined ? preciseClock : steadyClock(clock);
    this.#alarms = new Alarms(this.#clock);
    this.#completions = this.#rate === Number.POSITIVE_INFINITY ? undefined : new Completions(this.#rate, window);
  }

  push(task: () => void | Promise<void>, options?: { weight?: number }): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const weight = this.#check(task, options);
      if (this.#canStart(weight)) {
        this.#start(entryOf(task, weight, () => resolve(true), reject, undefined));
      } else {
        this.#enqueue(entryOf(task, weight, ignore, this.#report, undefined));
        resolve(false);
      }
    });
  }

  run<T>(task: () => T | Promise<T>, options?: { weight?: number; signal?: AbortSignal }): Promise<T> {
    return new Promise((resolve, reject) => {
      const weight = this.#check(task, options);
      const signal = options?.signal;
      checkSignal(signal);
      if (signal?.aborted) throw signal.reason;
      const entry = entryOf(task, weight, resolve, reject, signal);
      if (this.#canStart(weight)) this.#start(entry);
      else this.#enqueue(entry);
    });
  }

  wrap<A extends unknown[]>(options?: { weight?: number }): Wrapper<A> {
    const weight = this.#weightOf(options);
    return wrapper((call) => this.run(call, { weight }));
  }

  get size(): number {
    return this.#queue.length + (this.#running ? 1 : 0);
  }

  idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.size === 0) resolve();
      else this.#whenIdle.push(resolve);
    });
  }

  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = new ClosedError("serial limiter");
      for (let entry = this.#queue.first; entry !== undefined; entry = this.#queue.first) {
        this.#drop(entry, this.#closed);
      }
      this.#proceed();
    }
    return this.idle();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The weight of a task that may come in, or an error. */
  #check(task: unknown, options: { weight?: number } | undefined): number {
    checkFunction(task, "task");
    const weight = this.#weightOf(options);
    if (this.#closed !== undefined) throw new ClosedError("serial limiter");
    return weight;
  }

  #weightOf(options: { weight?: number } | undefined): number {
    checkOptions(options);
    const weight = options?.weight;
    if (weight === undefined) return 1;
    return wholeNumber(weight, "weight", "ERR_INVALID_COST", 1, Math.min(this.#rate, Number.MAX_SAFE_INTEGER));
  }

  #canStart(weight: number): boolean {
    return !this.#running && this.#queue.length === 0 && this.#isLegal(this.#earliest(weight));
  }

  #earliest(weight: number): number {
    return this.#completions === undefined ? Number.NEGATIVE_INFINITY : this.#completions.earliest(weight);
  }

  #isLegal(earliest: number): boolean {
    return earliest === Number.NEGATIVE_INFINITY || earliest <= this.#clock.now();
  }

  #enqueue(entry: Entry): void {
    if (this.#queue.length >= this.#maxQueue) throw new QueueFullError(this.#maxQueue);
    if (entry.signal !== undefined) {
      entry.unwatch = onAbort(entry.signal, () => {
        this.#drop(entry, entry.signal?.reason);
        this.#proceed();
      });
    }
    entry.context = contextOfNow();
    this.#queue.push(entry);
    if (this.#queue.length === 1) this.#proceed();
  }

  #drop(entry: Entry, reason: unknown): void {
    this.#takeOut(entry);
    entry.reject(reason);
  }

  #takeOut(entry: Entry): void {
    if (entry === this.#queue.first) {
      this.#cancelAlarm?.();
      this.#cancelAlarm = undefined;
    }
    this.#queue.remove(entry);
    entry.unwatch?.();
  }

  /** Starts what may start; a loop, so that any number of tasks that end at once need no stack. */
  #proceed(): void {
    while (!this.#running) {
      const entry = this.#queue.first;
      if (entry === undefined) {
        if (this.#whenIdle.length > 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
        return;
      }
      if (entry.signal?.aborted) {
        // its turn came before its listener: another on the same signal made way for it
        this.#drop(entry, entry.signal.reason);
        continue;
      }
      const earliest = this.#earliest(entry.weight);
      if (!this.#isLegal(earliest)) {
        this.#cancelAlarm ??= this.#alarms.set(earliest, () => {
          this.#cancelAlarm = undefined;
          this.#proceed();
        });
        return;
      }
      this.#takeOut(entry);
      this.#execute(entry);
    }
  }

  #start(entry: Entry): void {
    this.#execute(entry);
    this.#proceed();
  }

  #execute(entry: Entry): void {
    this.#running = true;
    let result: unknown;
    try {
      result = entry.context === undefined ? entry.task() : entry.context.runInAsyncScope(entry.task);
      if (typeof (result as PromiseLike<unknown> | null | undefined)?.then === "function") {
        Promise.resolve(result).then(
          (value) => this.#endAndProceed(entry, entry.resolve, value),
          (reason: unknown) => this.#endAndProceed(entry, entry.reject, reason),
        );
        return;
      }
    } catch (error) {
      this.#end(entry, entry.reject, error);
      return;
    }
    this.#end(entry, entry.resolve, result);
  }

  #end(entry: Entry, settle: (outcome: never) => void, outcome: unknown): void {
    this.#completions?.add(this.#clock.now(), entry.weight);
    this.#running = false;
    settle(outcome as never);
  }

  #endAndProceed(entry: Entry, settle: (outcome: never) => void, outcome: unknown): void {
    this.#end(entry, settle, outcome);
    this.#proceed();
  }

  readonly #report = (failure: unknown): void => {
    // the promise takes what onError throws, and what it rejects with if it is async
    new Promise((resolve) => resolve(this.#onError(failure)))
      .catch((second: unknown) => console.error(second))
      .catch(ignore);
  };
}

function entryOf(
  task: () => unknown,
  weight: number,
  resolve: (value: never) => void,
  reject: (error: unknown) => void,
  signal: AbortSignal | undefined,
): Entry {
  return {
    task,
    weight,
    resolve,
    reject,
    signal,
    unwatch: undefined,
    context: undefined,
    previous: undefined,
    next: undefined,
  };
}

function ignore(): void {
  // a queued task of `push` owes nobody its result
}
