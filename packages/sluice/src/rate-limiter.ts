import {
  type LimiterOptions,
  limiterOptions,
  type RateLimiter,
  StoreLimiter,
  type SyncRateLimiter,
  SyncStoreLimiter,
} from "./core/limiter.js";
import { type Policy, policyList } from "./core/policy.js";
import { storeDriver } from "./core/store.js";
import { type MemoryStore, memoryStore } from "./stores/memory/memory.js";

/**
 * A limiter: one policy, or several that are charged together or not at all, over a store (default: memory of its own).
 * In memory it also answers synchronously.
 *
 * @throws TypeError or RangeError with a `code` for wrong arguments; `ERR_DUPLICATE_POLICY`, `ERR_LIMITER_NAME_TAKEN`.
 * @example
 * const limiter = rateLimiter(slidingWindow({ limit: 100, window: "1m" }))
 * const { allowed, retryAfter } = await limiter.consume("user:1")
 */
export function rateLimiter(
  policy: Policy | readonly Policy[],
  options?: LimiterOptions & { store?: MemoryStore },
): SyncRateLimiter;
export function rateLimiter(policy: Policy | readonly Policy[], options?: LimiterOptions): RateLimiter;
export function rateLimiter(policy: Policy | readonly Policy[], options: LimiterOptions = {}): RateLimiter {
  const policies = policyList(policy);
  const checked = limiterOptions(options);
  const store = checked.store === undefined ? memoryStore() : checked.store;
  return storeDriver(store).remote
    ? new StoreLimiter(policies, store, checked)
    : new SyncStoreLimiter(policies, store, checked);
}
