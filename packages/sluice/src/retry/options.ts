import { type Duration, micros } from "../core/duration.js";
import { type ErrorCode, rangeError, show, typeError } from "../core/errors.js";
import { checkFunction, checkOptions, checkSignal, countOrInfinity } from "../core/validate.js";
import { type Backoff, type Jitter, jitters } from "./backoff.js";
import type { Budget } from "./budget.js";
import { retryAfterOf } from "./retry-after.js";
import { isTransient } from "./transient.js";

/** What `retry` takes. Attempts are numbered from 1. */
export interface RetryOptions {
  /** Further attempts after the first: a whole number from 0, or `Infinity`. */
  retries: number;
  /** Delay before the first retry. Default '100ms'. */
  backoff?: Duration;
  /** Multiplier per retry, at least 1. Default 2. Not used by 'decorrelated'. */
  factor?: number;
  /** The longest backoff; a longer `retryAfter` passes it. Default '30s'. */
  maxBackoff?: Duration;
  /**
   * How chance spreads the retries of many callers. With `ceiling` = min(maxBackoff, backoff · factor^n) before retry n + 1:
   * 'full' (default) is anything up to `ceiling`; 'equal' is half of it and anything up to the other half; 'none' is
   * `ceiling` itself; 'decorrelated' is anything from `backoff` to three times the delay before, up to `maxBackoff`.
   */
  jitter?: Jitter;
  /**
   * Which errors to retry: classes, or a test that gets the error and the number of the attempt that failed.
   *
   * Default: all but aborts, programming errors (ReferenceError, SyntaxError, RangeError, EvalError, URIError; a
   * TypeError too, unless it carries a cause, as those of a failed fetch do), and this library's own that waiting does not
   * mend: a closed limiter, a cost that can never pass, a retry limit that was reached further in.
   */
  when?: readonly (abstract new (...args: never[]) => unknown)[] | ((error: unknown, attempt: number) => boolean);
  /**
   * ms the failure itself asks for; it wins over the backoff when longer. Clamped to a day, so that nobody is parked for
   * ever by a hostile header; `undefined`, negative and NaN mean nothing; `Infinity` means that no retry can help, and
   * then there is none, whatever `when` says.
   *
   * Default: `RateLimitExceededError`, a thrown `Response`, and `Retry-After` (seconds or a date) in
   * `error.response.headers` or `error.headers`; and how far a `MaxWaitExceededError` missed its turn.
   */
  retryAfter?: (error: unknown) => number | undefined;
  /**
   * Retries may be at most this share, 0 to 1, of the calls of the last ten seconds, so that retries never become the outage;
   * `minPerSecond` (default 0) more are allowed each second in any case. One budget for everything that one `retry(…)`
   * wraps. A failure beyond it propagates as it is.
   */
  budget?: { ratio: number; minPerSecond?: number };
  /** Aborting rejects with `signal.reason` in any phase: before the first attempt, during one (which is not cancelled; give it the signal too), and between two. */
  signal?: AbortSignal;
  /** Told before each delay. `attempt` is the one that failed, `delay` is in ms. What it throws (or rejects with: it is awaited) rejects the call. */
  onRetry?: (event: { error: unknown; attempt: number; delay: number }) => void;
}

/** The options, checked and complete. */
export interface RetryPlan {
  readonly retries: number;
  readonly backoff: Backoff;
  readonly shouldRetry: (error: unknown, attempt: number) => boolean;
  readonly retryAfter: (error: unknown) => number | undefined;
  readonly budget: Budget | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onRetry: RetryOptions["onRetry"];
}

export function planOf(options: RetryOptions): RetryPlan {
  if (options === undefined) throw typeError("ERR_INVALID_ARGUMENT", "Expected options with a number of retries.");
  checkOptions(options);
  const {
    retries,
    backoff = "100ms",
    factor = 2,
    maxBackoff = "30s",
    jitter = "full",
    when = isTransient,
    retryAfter = retryAfterOf,
    budget,
    signal,
    onRetry,
  } = options;
  if (!Object.hasOwn(jitters, jitter)) {
    const known = Object.keys(jitters).map(show).join(", ");
    throw typeError("ERR_INVALID_ARGUMENT", `Expected jitter to be one of ${known}, got ${show(jitter)}.`);
  }
  checkFunction(retryAfter, "retryAfter");
  checkSignal(signal);
  if (onRetry !== undefined) checkFunction(onRetry, "onRetry");
  return {
    retries: countOrInfinity(retries, "retries", 0),
    backoff: {
      base: micros(backoff, "backoff", 0),
      factor: realNumber(factor, "factor", 1, Number.MAX_VALUE),
      most: micros(maxBackoff, "maxBackoff", 0),
      jitter,
    },
    shouldRetry: testOf(when),
    retryAfter,
    budget: budget === undefined ? undefined : budgetOf(budget),
    signal,
    onRetry,
  };
}

function testOf(when: NonNullable<RetryOptions["when"]>): RetryPlan["shouldRetry"] {
  if (typeof when === "function") {
    // of classes it cannot be written, of functions it can
    if (Object.getOwnPropertyDescriptor(when, "prototype")?.writable === false) {
      throw typeError(
        "ERR_INVALID_ARGUMENT",
        `Expected when to be a function or a list of classes, got a class: write [${when.name}].`,
      );
    }
    return when;
  }
  if (!Array.isArray(when)) {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected when to be a function or a list of classes, got ${show(when)}.`);
  }
  const classes = [...(when as readonly (abstract new (...args: never[]) => unknown)[])];
  for (const each of classes) checkFunction(each, "every class in when");
  return (error) => classes.some((each) => error instanceof each);
}

function budgetOf(budget: NonNullable<RetryOptions["budget"]>): Budget {
  if (typeof budget !== "object" || budget === null) {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected budget to be an object, got ${show(budget)}.`);
  }
  const { ratio, minPerSecond = 0 } = budget;
  return {
    ratio: realNumber(ratio, "budget.ratio", 0, 1),
    minPerSecond: realNumber(minPerSecond, "budget.minPerSecond", 0, 1e6),
  };
}

function realNumber(value: unknown, what: string, least: number, most: number): number {
  const code: ErrorCode = "ERR_INVALID_ARGUMENT";
  if (typeof value !== "number") {
    throw typeError(code, `Expected ${what} to be a number, got ${show(value)} (${typeof value}).`);
  }
  // also refuses NaN, for which no comparison holds
  if (!(value >= least && value <= most)) {
    throw rangeError(code, `Expected ${what} to be a number from ${least} to ${most}, got ${show(value)}.`);
  }
  return value;
}
