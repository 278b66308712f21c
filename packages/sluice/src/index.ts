export { fixedWindow } from "./algorithms/fixed-window/fixed-window.js";
export { slidingCounter } from "./algorithms/sliding-counter/sliding-counter.js";
export { slidingWindow } from "./algorithms/sliding-window/sliding-window.js";
export { tokenBucket } from "./algorithms/token-bucket/token-bucket.js";
export type { Clock } from "./core/clock.js";
export type { Decision, PolicyDecision } from "./core/decision.js";
export type { Duration } from "./core/duration.js";
export {
  ClosedError,
  isSluiceError,
  LeaseLostError,
  MaxWaitExceededError,
  QueueFullError,
  RateLimitExceededError,
  RetryLimitReachedError,
  SluiceError,
  StoreError,
} from "./core/errors.js";
export {
  all,
  type KeyedLimiter,
  type LimiterOptions,
  type RateLimiter,
  type StoreFailureAnswer,
  type SyncRateLimiter,
} from "./core/limiter.js";
export type { Policy } from "./core/policy.js";
export type { Store } from "./core/store.js";
export type { CostOptions, Reservation, WaitOptions } from "./core/verbs.js";
export { compose, type Wrapper } from "./core/wrap.js";
export { rateLimiter } from "./rate-limiter.js";
export type { RetryOptions } from "./retry/options.js";
export { retry } from "./retry/retry.js";
export {
  type AcquireOptions,
  type Lease,
  type Semaphore,
  type SemaphoreOptions,
  semaphore,
} from "./semaphore/semaphore.js";
export { type SerialLimiter, serialLimiter } from "./serial/serial.js";
export { type MemoryStore, memoryStore } from "./stores/memory/memory.js";
