import { onAbort } from "../core/abort.js";
import { Alarms } from "../core/alarm.js";
import { type Clock, preciseClock } from "../core/clock.js";
import { milliseconds } from "../core/duration.js";
import { RetryLimitReachedError } from "../core/errors.js";
import { type Wrapper, wrapper } from "../core/wrap.js";
import { delaysOf } from "./backoff.js";
import { RetryBudget } from "./budget.js";
import { planOf, type RetryOptions } from "./options.js";

/** Where time and chance come from. */
export interface Surroundings {
  readonly clock: Clock;
  /** As `Math.random`. */
  readonly random: () => number;
}

/** The longest that a failure can ask for: a day, in µs. */
const longestRetryAfter = 86_400e6;

/**
 * A wrapper that calls again after a failure, with exponential backoff and jitter: `retry({ retries: 3 })(fn)`, or the
 * decorator `@retry({ retries: 3 })`.
 *
 * Throws `RetryLimitReachedError`, whose `cause` is the last error, when attempts run out. An error that is not retried
 * (by `when`, the budget, or a `retryAfter` of `Infinity`) propagates as it is; so does what the options' own functions
 * throw. A delay is never shorter than what the failure asks for (`Retry-After`: RFC 9110, 10.2.3).
 *
 * Jitter is that of Brooker, "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015), the budget that of Finagle.
 *
 * @throws TypeError or RangeError with a `code` for options that make no sense.
 * @example
 * const load = retry({ retries: 3, backoff: "200ms", budget: { ratio: 0.2 } })(async (url: string) => {
 *   const response = await fetch(url)
 *   if (!response.ok) throw response
 *   return response.json()
 * })
 * const order = await load("https://partner.example/orders/7")
 */
export function retry<A extends unknown[] = unknown[]>(options: RetryOptions): Wrapper<A> {
  return retryIn({ clock: preciseClock, random: Math.random }, options);
}

/** `retry` with a clock and chance of your own. */
export function retryIn<A extends unknown[]>({ clock, random }: Surroundings, options: RetryOptions): Wrapper<A> {
  const { retries, backoff, shouldRetry, retryAfter, budget, signal, onRetry } = planOf(options);
  const alarms = new Alarms(clock);
  const allowance = budget === undefined ? undefined : new RetryBudget(budget, clock);

  return wrapper<A>(async (call) => {
    const nextDelay = delaysOf(backoff, random);
    allowance?.earn();
    for (let attempt = 1; ; attempt++) {
      if (signal?.aborted) throw signal.reason;
      try {
        return await unlessAborted(signal, (resolve, reject) => void call().then(resolve, reject));
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        const asked = askedFor(retryAfter(error));
        if (asked === Number.POSITIVE_INFINITY || !shouldRetry(error, attempt)) throw error;
        if (attempt > retries) throw new RetryLimitReachedError(attempt, error);
        if (allowance?.spend() === false) throw error;
        const delay = Math.max(asked, nextDelay());
        if (onRetry !== undefined) {
          // awaited, so that the rejection of an async one is somebody's
          const told = async (): Promise<void> => onRetry({ error, attempt, delay: milliseconds(delay) });
          await unlessAborted(signal, (resolve, reject) => void told().then(resolve, reject));
        }
        await unlessAborted(signal, (resolve) => alarms.in(delay, resolve));
      }
    }
  });
}

/** What a failure asks for, in µs: 0 when it makes no sense. */
function askedFor(retryAfter: number | undefined): number {
  if (retryAfter === Number.POSITIVE_INFINITY) return retryAfter;
  // NaN is not above 0 either
  return typeof retryAfter === "number" && retryAfter > 0
    ? Math.min(Math.round(retryAfter * 1000), longestRetryAfter)
    : 0;
}

/** As `new Promise(begin)`, but rejects with `signal.reason` as soon as it aborts; `begin` returns what is to be undone then. */
async function unlessAborted(
  signal: AbortSignal | undefined,
  begin: (resolve: (value?: unknown) => void, reject: (error: unknown) => void) => (() => void) | undefined,
): Promise<unknown> {
  let unwatch: (() => void) | undefined;
  const outcome = new Promise((resolve, reject) => {
    const undo = begin(resolve, reject);
    if (signal === undefined) return;
    const abort = (): void => {
      undo?.();
      reject(signal.reason);
    };
    if (signal.aborted) abort();
    else unwatch = onAbort(signal, abort);
  });
  try {
    return await outcome;
  } finally {
    unwatch?.();
  }
}
