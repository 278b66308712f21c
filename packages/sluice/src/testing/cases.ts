import type { Decision } from "../core/decision.js";
import type { RateLimiter } from "../core/limiter.js";
import type { Bench } from "./bench.js";
import { Random } from "./random.js";

/** Runs a case for each of so many seeds; a failure names its seed. */
export async function cases(bench: Bench, count: number, run: (random: Random) => Promise<void>): Promise<void> {
  for (let seed = 1; seed <= Math.ceil(count * bench.effort); seed++) {
    try {
      await run(new Random(seed));
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    } finally {
      await bench.clear();
    }
  }
}

/** What a key would be told of a few costs. */
export async function observe(limiter: RateLimiter, key: string): Promise<readonly Decision[]> {
  const limit = Math.min(...limiter.policies.map((policy) => policy.limit));
  const costs = [1, 2, Math.ceil(limit / 2), limit - 1, limit].filter((cost) => cost >= 1);
  return Promise.all(costs.map((cost) => limiter.peek(key, { cost })));
}

/** The same, reduced to what a later call can feel. */
export async function state(limiter: RateLimiter, key: string): Promise<readonly unknown[]> {
  const decisions = await observe(limiter, key);
  return decisions.map(({ allowed, remaining, retryAfter, resetAfter }) => [
    allowed,
    remaining,
    retryAfter,
    resetAfter,
  ]);
}
