import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, afterEach, describe, expect, inject, it } from "vitest";
import { tokenBucket } from "../../algorithms/token-bucket/token-bucket.js";
import type { Policy } from "../../core/policy.js";
import type { Store } from "../../core/store.js";
import { type RateLimiter, rateLimiter } from "../../index.js";
import { state } from "../../testing/cases.js";
import { type ManualClock, manualClock } from "../../testing/manual-clock.js";
import { Random } from "../../testing/random.js";
import { anySubject } from "../../testing/subjects.js";
import { memoryStore } from "../memory/memory.js";
import { redisStore, scriptClock } from "./redis.js";

// What a reservation corrects when others have asked since, or its key has been forgotten.

const [server] = inject("servers");
const client = new Redis((server as { url: string }).url);
afterAll(() => client.disconnect());

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

function limiterOn(store: Store, policies: Policy | readonly Policy[], name: string = randomUUID()): RateLimiter {
  const limiter = rateLimiter(policies, { store, name, timeout: "10s" });
  ends.push(() => limiter.close());
  return limiter;
}

const start = 1_700_000_000_000_000;

function redis(clock: ManualClock): Store {
  const store = redisStore(client, { [scriptClock]: clock } as object);
  ends.push(() => store.close());
  return store;
}

const minute = tokenBucket({ rate: 1000, per: "1m" });
const second = tokenBucket({ rate: 1, per: "1s", burst: 10 });

describe("settling above the estimate once the estimate has come back", () => {
  it.each([
    ["while the row is still there", async () => {}, 125],
    ["once the row has expired", (_: RateLimiter, row: string) => client.del(row), 125],
    ["after others have asked", (limiter: RateLimiter) => limiter.consume("key"), 124],
  ] as const)("charges what is still owed, %s", async (_, meanwhile, remaining) => {
    const clock = manualClock(start);
    const name = randomUUID();
    const limiter = limiterOn(redis(clock), minute, name);
    const reservation = await limiter.reserve("key", { cost: 10 });
    clock.advance(1500);
    await meanwhile(limiter, `sluice:${name}:default:{key}`);
    await reservation.settle(900);
    expect(await limiter.peek("key")).toMatchObject({ remaining });
  });
});

describe("settling below the estimate, or cancelling, gives nothing back", () => {
  it.each(["settle", "cancel"] as const)("of what has come back, and others have taken: %s", async (correct) => {
    const clock = manualClock(start);
    const limiter = limiterOn(redis(clock), second);
    const reservation = await limiter.reserve("key", { cost: 10 });
    clock.advance(100_000);
    await limiter.consume("key", { cost: 10 });
    await (correct === "cancel" ? reservation.cancel() : reservation.settle(0));
    expect(await limiter.peek("key")).toMatchObject({ remaining: 0 });
  });

  it.each(["settle", "cancel"] as const)("to a key that was reset and spent alike: %s", async (correct) => {
    const limiter = limiterOn(redis(manualClock(start)), second);
    const reservation = await limiter.reserve("key", { cost: 5 });
    await limiter.reset("key");
    await limiter.consume("key", { cost: 5 });
    await (correct === "cancel" ? reservation.cancel() : reservation.settle(0));
    expect(await limiter.peek("key")).toMatchObject({ remaining: 5 });
  });

  it("to a key that another process has reset", async () => {
    const clock = manualClock(start);
    const name = randomUUID();
    const [limiter, other] = [limiterOn(redis(clock), second, name), limiterOn(redis(clock), second, name)];
    const reservation = await limiter.reserve("key", { cost: 5 });
    await other.reset("key");
    await reservation.cancel();
    expect(await client.exists(`sluice:${name}:default:{key}`)).toBe(0);
  });
});

describe("a correction that those who wait have seen", () => {
  it.each([20, 0])("stays when they give up: %i settled", async (actual) => {
    const clock = manualClock(start);
    const [limiter, spared] = [limiterOn(redis(clock), second), limiterOn(redis(clock), second)];
    const reservations = await Promise.all([limiter, spared].map((each) => each.reserve("key", { cost: 5 })));
    clock.advance(6000);
    for (const each of [limiter, spared]) await each.consume("key", { cost: 10 });
    const controller = new AbortController();
    const gone = limiter.wait("key", { signal: controller.signal }).catch(() => "gave up");
    await limiter.peek("key");
    for (const each of reservations) await each.settle(actual);
    controller.abort();
    expect(await gone).toBe("gave up");
    expect(await state(limiter, "key")).toEqual(await state(spared, "key"));
  });
});

describe("both stores", () => {
  it("correct alike, whatever others do meanwhile", async () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = new Random(seed);
      const subjects = [anySubject(random, "one"), anySubject(random, "two")].slice(0, random.pick([1, 1, 2]));
      const policies = subjects.map(({ policy }) => policy);
      const limit = Math.min(...policies.map((policy) => policy.limit));
      const clock = manualClock(start + random.whole(0, 1_000_000_000));
      const limiters = [limiterOn(memoryStore({ clock }), policies), limiterOn(redis(clock), policies)];
      const trace = [`seed ${seed}: ${subjects.map(({ about }) => about).join(" + ")}`];
      const both = async <T>(what: string, act: (limiter: RateLimiter) => Promise<T>): Promise<T[]> => {
        trace.push(what);
        const done: T[] = [];
        for (const each of limiters) done.push(await act(each));
        return done;
      };
      const advance = (): void => {
        const { tick, window } = random.pick(subjects);
        const gap = random.pick([0, 1, tick, random.whole(0, window), window, 2 * window]);
        trace.push(`+${gap}`);
        clock.advance(gap / 1000);
      };
      const spend = (): Promise<unknown> => {
        const cost = random.whole(1, limit);
        if (random.chance(0.3)) return both(`charge ${cost}`, (limiter) => limiter.charge("key", { cost }));
        return both(`consume ${cost}`, (limiter) => limiter.consume("key", { cost }));
      };
      for (let turn = random.whole(0, 2); turn > 0; turn--) await spend();
      const [remaining = 0] = await both("peek", async (limiter) => (await limiter.peek("key")).remaining);
      if (remaining > 0) {
        const estimate = random.whole(1, remaining);
        const reservations = await both(`reserve ${estimate}`, (each) => each.reserve("key", { cost: estimate }));
        advance();
        if (random.chance(0.2)) await both("reset", (limiter) => limiter.reset("key"));
        for (let turn = random.whole(1, 3); turn > 0; turn--) {
          await spend();
          advance();
        }
        // what has expired may be gone in memory: a key that is held is compared
        await spend();
        const actual = random.pick([0, estimate - 1, random.whole(estimate, 5 * limit)]);
        const cancels = random.chance(0.3);
        trace.push(cancels ? "cancel" : `settle ${actual}`);
        for (const each of reservations) await (cancels ? each.cancel() : each.settle(actual));
      }
      const [inMemory, onRedis] = await Promise.all(limiters.map((limiter) => state(limiter, "key")));
      expect(onRedis, trace.join("; ")).toEqual(inMemory);
    }
  });
});
