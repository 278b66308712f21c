import { expectTypeOf } from "expect-type";
import { describe, it } from "vitest";
import {
  all,
  type Decision,
  fixedWindow,
  type MemoryStore,
  memoryStore,
  type Policy,
  type RateLimiter,
  type Reservation,
  rateLimiter,
  retry,
  type Store,
  type SyncRateLimiter,
  semaphore,
  serialLimiter,
  tokenBucket,
} from "./index.js";
import { redisStore } from "./stores/redis/redis.js";

const policy = tokenBucket({ rate: 1, per: "1s" });

describe("the types of the contract", () => {
  it("a limiter answers synchronously only where its store does", () => {
    expectTypeOf(rateLimiter(policy)).toEqualTypeOf<SyncRateLimiter>();
    expectTypeOf(rateLimiter([policy], { store: memoryStore() })).toEqualTypeOf<SyncRateLimiter>();
    const remote = (store: Store): RateLimiter => rateLimiter(policy, { store });
    expectTypeOf(remote).returns.not.toHaveProperty("consumeSync");
    expectTypeOf(redisStore).returns.toEqualTypeOf<Store>();
    expectTypeOf(memoryStore).returns.toEqualTypeOf<MemoryStore>();
  });

  it("policies and decisions are read-only values", () => {
    expectTypeOf(fixedWindow).returns.toEqualTypeOf<Policy>();
    expectTypeOf<Decision>().toHaveProperty("allowed").toEqualTypeOf<boolean>();
    expectTypeOf<Decision>().toHaveProperty("retryAfter").toEqualTypeOf<number>();
    expectTypeOf<RateLimiter["reserve"]>().returns.resolves.toEqualTypeOf<Reservation>();
  });

  it("durations are checked in the source", () => {
    // @ts-expect-error a unit that does not exist
    const misspelt = (): Policy => tokenBucket({ rate: 1, per: "1 fortnight" });
    expectTypeOf(misspelt).returns.toEqualTypeOf<Policy>();
  });

  it("a wrapped function keeps its arguments, its this and its result", () => {
    const limiter = rateLimiter(policy);
    const load = async (id: string, deep: boolean): Promise<number> => (deep ? id.length : 0);
    const wrapped = limiter.wrap({ key: (id: string) => id })(load);
    expectTypeOf(wrapped).parameters.toEqualTypeOf<[id: string, deep: boolean]>();
    expectTypeOf(wrapped).returns.resolves.toBeNumber();
    expectTypeOf(retry({ retries: 1 })((count: number) => `${count}`)).returns.resolves.toBeString();
    expectTypeOf(semaphore({ permits: 1 }).wrap({ key: "k" })(load)).returns.resolves.toBeNumber();
    expectTypeOf(serialLimiter({ rate: 1, per: 1 }).wrap()(load)).returns.resolves.toBeNumber();
    expectTypeOf(all(limiter.for("a")).consume).returns.resolves.toEqualTypeOf<Decision>();
  });
});
