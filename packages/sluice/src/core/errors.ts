import type { Decision } from "./decision.js";
import { refusalHeaders } from "./headers.js";

const brand = Symbol.for("sluice.error");

/** Every stable `code` that this library puts on an error. Each has a section in `docs/errors.md`. */
export type ErrorCode =
  | "ERR_RATE_LIMIT_EXCEEDED"
  | "ERR_MAX_WAIT_EXCEEDED"
  | "ERR_RETRY_LIMIT_REACHED"
  | "ERR_STORE_UNAVAILABLE"
  | "ERR_STORE_TIMEOUT"
  | "ERR_LEASE_LOST"
  | "ERR_CLOSED"
  | "ERR_QUEUE_FULL"
  | "ERR_INVALID_ARGUMENT"
  | "ERR_INVALID_COST"
  | "ERR_INVALID_DURATION"
  | "ERR_INVALID_KEY"
  | "ERR_INVALID_LIMIT"
  | "ERR_INVALID_NAME"
  | "ERR_INVALID_POLICY"
  | "ERR_DUPLICATE_POLICY"
  | "ERR_LIMITER_NAME_TAKEN";

/**
 * The base of every error of this library: a class, a stable `code`, and a section in the docs.
 *
 * @example
 * const limiter = rateLimiter(tokenBucket({ rate: 1, per: "1m" }))
 * await limiter.consume("user:1")
 * const error = await limiter.wait("user:1", { maxWait: "1s" }).catch((thrown) => thrown)
 * if (isSluiceError(error)) console.log(error.code) // ERR_MAX_WAIT_EXCEEDED
 */
export class SluiceError extends Error {
  readonly code: string;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  static {
    Object.defineProperty(SluiceError.prototype, brand, { value: true });
    Object.defineProperty(SluiceError.prototype, "name", { value: "SluiceError", configurable: true });
  }
}

/**
 * True for errors of this library, also those of another copy of the package in the same process. False for a
 * `TypeError` or `RangeError` about an argument, though it has a `code` too.
 *
 * @example
 * isSluiceError(new Error("not ours")) // false
 */
export function isSluiceError(value: unknown): value is SluiceError {
  return typeof value === "object" && value !== null && brand in value;
}

/** Refused now; `retryAfter` says when to come back. Code `ERR_RATE_LIMIT_EXCEEDED`; `status` is 429 (RFC 6585). */
export class RateLimitExceededError extends SluiceError {
  readonly decision: Decision;
  /** ms; Infinity when the call can never be allowed. */
  readonly retryAfter: number;
  /** Ready to send: `Retry-After` (RFC 9110), `RateLimit`, `RateLimit-Policy`, `X-RateLimit-*`; see `HeaderFamily`. */
  readonly headers: Record<string, string>;
  readonly status = 429 as const;

  constructor(decision: Decision) {
    super(
      "ERR_RATE_LIMIT_EXCEEDED",
      decision.retryAfter === Number.POSITIVE_INFINITY
        ? `Policy "${decision.policy}" can never allow this call: its cost is above the limit of ${decision.limit}.`
        : `Policy "${decision.policy}" (limit ${decision.limit}) refused this call; it could be allowed in ${decision.retryAfter} ms.`,
    );
    this.decision = decision;
    this.retryAfter = decision.retryAfter;
    this.headers = refusalHeaders(decision);
  }
}

/** The turn was further away than `maxWait`; nothing was charged. Code `ERR_MAX_WAIT_EXCEEDED`. */
export class MaxWaitExceededError extends SluiceError {
  /** How long it would have taken, ms; Infinity when never. */
  readonly wait: number;
  /** ms */
  readonly maxWait: number;

  constructor(wait: number, maxWait: number, message?: string) {
    super(
      "ERR_MAX_WAIT_EXCEEDED",
      message ??
        (wait === Number.POSITIVE_INFINITY
          ? "Waiting would never help: more was asked than can ever be there at once."
          : `The turn is ${wait} ms away, further than the ${maxWait} ms that the caller would wait.`),
    );
    this.wait = wait;
    this.maxWait = maxWait;
  }
}

/** All attempts failed; `cause` is the last error. Code `ERR_RETRY_LIMIT_REACHED`. */
export class RetryLimitReachedError extends SluiceError {
  readonly attempts: number;

  constructor(attempts: number, cause: unknown) {
    super("ERR_RETRY_LIMIT_REACHED", `All ${attempts} attempts failed; the last error is the cause.`, { cause });
    this.attempts = attempts;
  }
}

/**
 * The store could not answer; whether it counted is unknown. `cause` is the client's own error. Code
 * `ERR_STORE_UNAVAILABLE`, or `ERR_STORE_TIMEOUT` when it did not answer in time.
 */
export class StoreError extends SluiceError {}

/** The lease was lost, or could not be confirmed in time. Code `ERR_LEASE_LOST`. */
export class LeaseLostError extends SluiceError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_LEASE_LOST", message, options);
  }
}

/** The limiter, semaphore or queue was closed. Code `ERR_CLOSED`. */
export class ClosedError extends SluiceError {
  constructor(what: string) {
    super("ERR_CLOSED", `This ${what} was closed.`);
  }
}

/** The queue holds as much as `maxQueue` allows. Code `ERR_QUEUE_FULL`. */
export class QueueFullError extends SluiceError {
  constructor(maxQueue: number) {
    super("ERR_QUEUE_FULL", `The queue is full: ${maxQueue} are waiting already.`);
  }
}

for (const type of [
  RateLimitExceededError,
  MaxWaitExceededError,
  RetryLimitReachedError,
  StoreError,
  LeaseLostError,
  ClosedError,
  QueueFullError,
]) {
  Object.defineProperty(type.prototype, "name", { value: type.name, configurable: true });
}

/** A value for a message: short, and of a kind that the reader recognises. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value === "symbol") return "a symbol";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}

/** A caller's mistake about the kind of a value. */
export function typeError(code: ErrorCode, message: string): TypeError {
  return Object.assign(new TypeError(message), { code });
}

/** A caller's mistake about the size of a value. */
export function rangeError(code: ErrorCode, message: string): RangeError {
  return Object.assign(new RangeError(message), { code });
}
