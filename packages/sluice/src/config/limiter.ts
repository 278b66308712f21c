import type { RateLimiter } from "../core/limiter.js";
import type { Store } from "../core/store.js";
import { rateLimiter } from "../rate-limiter.js";
import { redisStore } from "../stores/redis/redis.js";
import { policyFromConfig, type RateLimitConfig } from "./config.js";
import { connectRedis, type OwnClient } from "./redis-client.js";

/**
 * The limiter that a configuration describes. With `redisUrl` it connects to Redis itself, by ioredis or node-redis,
 * whichever is installed, and `close()` closes that client; without, it counts in memory. A server that is away does not
 * keep it from starting: until the server is there, `whenStoreFails` answers.
 *
 * @throws TypeError or RangeError with a `code` for a wrong number, or when no client of Redis is installed.
 * @example
 * await using limiter = await limiterFromConfig(configFromEnv())
 * const { allowed } = await limiter.consume("user:1")
 */
export async function limiterFromConfig(config: RateLimitConfig): Promise<RateLimiter> {
  const policy = policyFromConfig(config);
  const { redisUrl, keyPrefix, timeout, whenStoreFails } = config;
  if (redisUrl === undefined) return rateLimiter(policy, { timeout, whenStoreFails });
  const own = await connectRedis(redisUrl);
  try {
    const store = redisStore(own.client, { prefix: keyPrefix });
    const limiter: RateLimiter = rateLimiter(policy, { store, timeout, whenStoreFails });
    return closingAlso(limiter, store, own);
  } catch (error) {
    await own.close();
    throw error;
  }
}

/** The same limiter, whose `close` closes what was made for it, whatever becomes of the closing before. */
function closingAlso(limiter: RateLimiter, store: Store, own: OwnClient): RateLimiter {
  const close = limiter.close.bind(limiter);
  return Object.assign(limiter, {
    close: async () => {
      try {
        await close();
      } finally {
        try {
          await store.close();
        } finally {
          await own.close();
        }
      }
    },
  });
}
