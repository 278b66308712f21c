import type { RateLimiter } from "../core/limiter.js";
import { rateLimiter } from "../rate-limiter.js";
import { redisStore } from "../stores/redis/redis.js";
import { policyFromConfig, type RateLimitConfig } from "./config.js";
import { connectRedis } from "./redis-client.js";

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

/** The same limiter, whose `close` closes what was made for it. */
function closingAlso(limiter: RateLimiter, ...made: readonly { close(): Promise<void> }[]): RateLimiter {
  const close = limiter.close.bind(limiter);
  return Object.assign(limiter, {
    close: async () => {
      await close();
      for (const each of made) await each.close();
    },
  });
}
