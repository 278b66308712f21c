import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, afterEach, describe, expect, inject, it } from "vitest";
import type { Found } from "../../../../../scripts/servers.mjs";
import { startPrivateServer } from "../../../test/faults/server.js";
import { fixedWindow } from "../../algorithms/fixed-window/fixed-window.js";
import { slidingCounter } from "../../algorithms/sliding-counter/sliding-counter.js";
import { slidingWindow } from "../../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../../algorithms/token-bucket/token-bucket.js";
import type { Policy } from "../../core/policy.js";
import { type RateLimiter, rateLimiter } from "../../index.js";
import { type ManualClock, manualClock } from "../../testing/manual-clock.js";
import { redisStore, scriptClock } from "./redis.js";

const [server] = inject("servers");
const client = new Redis((server as { url: string }).url);
afterAll(() => client.disconnect());

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

/** A process: a store of its own over the server and the clock that all of them share. */
function process(clock: ManualClock, name: string, policies: Policy | readonly Policy[]): RateLimiter {
  const store = redisStore(client, { denialCache: false, [scriptClock]: clock } as object);
  const limiter = rateLimiter(policies, { store, name, timeout: "10s" });
  ends.push(
    () => limiter.close(),
    () => store.close(),
  );
  return limiter;
}

const kinds: readonly (readonly [string, Policy | readonly Policy[]])[] = [
  ["token bucket", tokenBucket({ rate: 1, per: "1m" })],
  ["token bucket of ten", tokenBucket({ rate: 10, per: "10m" })],
  ["token bucket by intervals", tokenBucket({ rate: 1, per: "1m", refill: "interval" })],
  ["fixed window", fixedWindow({ limit: 1, window: "1m" })],
  ["fixed window on the clock", fixedWindow({ limit: 1, window: "1m", anchor: "epoch" })],
  ["sliding counter", slidingCounter({ limit: 1, window: "1m" })],
  ["sliding window", slidingWindow({ limit: 1, window: "1m" })],
  [
    "two at once",
    [slidingWindow({ limit: 1, window: "1m", name: "one" }), tokenBucket({ rate: 1, per: "2m", name: "two" })],
  ],
];

const now = 1_700_000_000_000_000;

async function spend(limiter: RateLimiter): Promise<void> {
  while ((await limiter.consume("key")).allowed) {
    // until nothing is left
  }
}

function waiters(limiter: RateLimiter, count: number): readonly { abort: () => void; over: Promise<unknown> }[] {
  return Array.from({ length: count }, () => {
    const controller = new AbortController();
    const over = limiter.wait("key", { signal: controller.signal }).catch((error: unknown) => error);
    return { abort: () => controller.abort(), over };
  });
}

describe("a key that somebody waited for and gave up on is as if he had never asked", () => {
  it.each(kinds)("%s: twenty, the oldest first, one a turn", async (_, policies) => {
    const limiter = process(manualClock(now), randomUUID(), policies);
    await spend(limiter);
    const untouched = await limiter.peek("key");
    const waiting = waiters(limiter, 20);
    expect((await limiter.peek("key")).retryAfter).toBeGreaterThan(untouched.retryAfter);
    for (const { abort, over } of waiting) {
      abort();
      await over;
    }
    expect(await limiter.peek("key")).toEqual(untouched);
  });

  it.each(kinds)("%s: of two processes that close while both have callers in line", async (_, policies) => {
    const clock = manualClock(now);
    const name = randomUUID();
    const [one, other, third] = [1, 2, 3].map(() => process(clock, name, policies)) as [
      RateLimiter,
      RateLimiter,
      RateLimiter,
    ];
    await spend(third);
    const untouched = await third.peek("key");
    const over: Promise<unknown>[] = [];
    for (let turn = 0; turn < 5; turn++) {
      for (const limiter of [one, other]) {
        over.push(...waiters(limiter, 1).map((each) => each.over));
        await limiter.peek("key");
      }
    }
    await Promise.all([one.close(), other.close()]);
    await Promise.all(over);
    expect(await third.peek("key")).toEqual(untouched);
  });

  it.each(kinds)("%s: while a reservation before them is settled", async (_, policies) => {
    const clock = manualClock(now);
    const name = randomUUID();
    const [limiter, spared] = [process(clock, name, policies), process(clock, `${name}-spared`, policies)];
    const reservations = await Promise.all([limiter, spared].map((each) => each.reserve("key")));
    for (const each of [limiter, spared]) await spend(each);
    const waiting = waiters(limiter, 6);
    await limiter.peek("key");
    for (const { abort, over } of waiting.slice(0, 3)) {
      abort();
      await over;
    }
    for (const reservation of reservations) await reservation.settle(3);
    for (const { abort, over } of waiting.slice(3)) {
      abort();
      await over;
    }
    expect(await limiter.peek("key")).toEqual(await spared.peek("key"));
  });

  it("and those who stay keep their starts", async () => {
    const clock = manualClock(now);
    const limiter = process(clock, randomUUID(), tokenBucket({ rate: 1, per: "1m" }));
    await spend(limiter);
    const waiting = waiters(limiter, 20);
    await limiter.peek("key");
    for (const [index, { abort, over }] of waiting.entries()) {
      if (index === 4) continue;
      abort();
      await over;
    }
    // only the fifth is in line, for the fifth minute
    expect((await limiter.peek("key")).retryAfter).toBe(6 * 60_000);
    clock.advance(5 * 60_000);
    expect(await waiting[4]?.over).toMatchObject({ allowed: true });
    expect((await limiter.peek("key")).retryAfter).toBe(60_000);
  });

  it("and who waited for what has been reset takes nothing from those who came later", async () => {
    const limiter = process(manualClock(now), randomUUID(), tokenBucket({ rate: 1, per: "1m" }));
    await spend(limiter);
    const waiting = waiters(limiter, 3);
    await limiter.peek("key");
    await limiter.reset("key");
    await spend(limiter);
    const later = waiters(limiter, 1);
    const untouched = await limiter.peek("key");
    for (const { abort, over } of waiting) {
      abort();
      await over;
    }
    expect(await limiter.peek("key")).toEqual(untouched);
    later[0]?.abort();
    await later[0]?.over;
    expect((await limiter.peek("key")).retryAfter).toBe(60_000);
  });

  it("and a thousand of them who give up in one turn do so in one call", async () => {
    const limiter = process(manualClock(now), randomUUID(), tokenBucket({ rate: 1, per: "1m" }));
    await spend(limiter);
    const untouched = await limiter.peek("key");
    const waiting = waiters(limiter, 1000);
    await limiter.peek("key");
    const calls = async (): Promise<number> => {
      const stats = await client.info("commandstats");
      return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
    };
    const before = await calls();
    for (const { abort } of waiting) abort();
    await Promise.all(waiting.map(({ over }) => over));
    expect(await limiter.peek("key")).toEqual(untouched);
    // theirs, and the look
    expect((await calls()) - before).toBe(2);
  });
});

describe("a key that holds something else", () => {
  const policy = tokenBucket({ rate: 10, per: "1m" });
  const others: readonly (readonly [string, (key: string) => Promise<unknown>])[] = [
    ["hash", (key) => client.hset(key, "field", "value")],
    ["list", (key) => client.rpush(key, "value")],
    ["set", (key) => client.sadd(key, "value")],
  ];

  it.each(others)("a %s is left as it is, and spoils no other key of its batch", async (type, write) => {
    const name = randomUUID();
    const limiter = process(manualClock(now), name, policy);
    await write(`sluice:${name}:default:{bad}`);
    for (const cost of [1, 2]) {
      const [first, bad, last] = await Promise.allSettled([
        limiter.consume("first", { cost }),
        limiter.consume("bad", { cost }),
        limiter.consume("last", { cost }),
      ]);
      expect(bad).toMatchObject({ status: "rejected", reason: { code: "ERR_STORE_UNAVAILABLE" } });
      expect(String((bad as PromiseRejectedResult).reason)).toContain("WRONGTYPE");
      for (const each of [first, last]) {
        expect(each).toMatchObject({ status: "fulfilled", value: { allowed: true } });
      }
    }
    for (const key of ["first", "last"]) expect((await limiter.peek(key)).remaining).toBe(7);
    expect(await client.type(`sluice:${name}:default:{bad}`)).toBe(type);
  });

  it.each(others)(
    "a %s is left as it is by lone calls too, and the server is not blamed for it",
    async (type, write) => {
      const name = randomUUID();
      const limiter = process(manualClock(now), name, policy);
      await write(`sluice:${name}:default:{bad}`);
      // more than the failures that open the breaker
      for (let call = 0; call < 7; call++) {
        const reason: unknown = await limiter.consume("bad").catch((error: unknown) => error);
        expect(reason).toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
        expect(String(reason)).toContain("WRONGTYPE");
      }
      expect(await limiter.consume("good")).toMatchObject({ allowed: true, remaining: 9 });
      expect(await client.type(`sluice:${name}:default:{bad}`)).toBe(type);
    },
  );

  it("among the keys of several limiters in one call harms none of the others", async () => {
    const name = randomUUID();
    const clock = manualClock(now);
    const store = redisStore(client, { denialCache: false, [scriptClock]: clock } as object);
    ends.push(() => store.close());
    const limits = [
      tokenBucket({ rate: 10, per: "1m" }),
      tokenBucket({ rate: 20, per: "1m" }),
      fixedWindow({ limit: 30, window: "1m" }),
      slidingWindow({ limit: 40, window: "1m" }),
      [tokenBucket({ rate: 50, per: "1m", name: "default" }), tokenBucket({ rate: 60, per: "1m", name: "more" })],
    ];
    const limiters = limits.map((policies, index) => rateLimiter(policies, { store, name: `${name}-${index}` }));
    for (const limiter of limiters) ends.push(() => limiter.close());
    await client.set(`sluice:${name}-1:default:{second}`, "hello");
    await client.hset(`sluice:${name}-1:default:{third}`, "field", "value");
    for (const left of [
      [9, 19, 29, 39, 49],
      [8, 18, 28, 38, 48],
    ]) {
      const asked = limiters.flatMap((limiter) => ["first", "second", "third"].map((key) => limiter.consume(key)));
      const answers = await Promise.allSettled(asked);
      const told = answers.map((answer) => (answer.status === "fulfilled" ? answer.value.remaining : "failed"));
      const expected = left.flatMap((each, index) => [each, each, index === 1 ? "failed" : each]);
      expect(told).toEqual(expected);
    }
  });

  it("of several policies: none is charged when one of them cannot be", async () => {
    const name = randomUUID();
    const policies = [
      tokenBucket({ rate: 10, per: "1m", name: "one" }),
      slidingWindow({ limit: 10, window: "1m", name: "two" }),
    ];
    const limiter = process(manualClock(now), name, policies);
    await client.hset(`sluice:${name}:two:{bad}`, "field", "value");
    const [good, bad] = await Promise.allSettled([limiter.consume("good"), limiter.consume("bad")]);
    expect(good).toMatchObject({ status: "fulfilled", value: { allowed: true, remaining: 9 } });
    expect(bad.status).toBe("rejected");
    await expect(limiter.charge("bad")).rejects.toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
    await expect(limiter.wait("bad")).rejects.toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
    expect(await client.exists(`sluice:${name}:one:{bad}`)).toBe(0);
  });

  it.each(["hello", "!", "1 2 3 4 5 6", "-5", "nan", "inf", "0.5", "1e300", "1 99999999999999999999", ""])(
    "the text %o counts as new",
    async (text) => {
      const name = randomUUID();
      const limiter = process(manualClock(now), name, policy);
      await client.set(`sluice:${name}:default:{key}`, text);
      expect(await limiter.consume("key")).toMatchObject({ allowed: true, remaining: 9 });
      await client.set(`sluice:${name}:default:{key}`, text);
      expect(await limiter.consume("key", { cost: 2 })).toMatchObject({ allowed: true, remaining: 8 });
      await client.set(`sluice:${name}:default:{key}`, text);
      expect(await limiter.peek("key")).toMatchObject({ allowed: true, remaining: 10 });
    },
  );

  it("what the server can do for no key fails the call, and so counts against the server", async () => {
    const own = await startPrivateServer(inject("program") as Found);
    ends.push(() => own.stop());
    const redis = new Redis(own.url);
    ends.push(() => redis.disconnect());
    await redis.replicaof("127.0.0.1", 1);
    const store = redisStore(redis);
    const limiter = rateLimiter(policy, { store, name: randomUUID(), timeout: "10s" });
    ends.push(
      () => store.close(),
      () => limiter.close(),
    );
    const failures: unknown[] = [];
    for (let call = 0; call < 6; call++) {
      failures.push(await limiter.consume("key", { cost: 2 }).catch((error: unknown) => error));
    }
    expect(String(failures[0])).toContain("could not answer: READONLY");
    expect(String(failures[5])).toContain("several times in a row");
  });

  it("no policy has the key of a semaphore or of a line", async () => {
    const store = redisStore(client);
    ends.push(() => store.close());
    const name = randomUUID();
    for (const word of ["semaphore", "line", "#line", "%#line"]) {
      const limiter = rateLimiter(fixedWindow({ limit: 1, window: "1m", name: word }), {
        store,
        name: `${name}${word}`,
      });
      ends.push(() => limiter.close());
      await limiter.consume("key");
      expect(await client.exists(`sluice:${name}${word}:%#${word}:{key}`)).toBe(0);
      expect(await client.exists(`sluice:${name}${word}:${word}:{key}`)).toBe(word === "%#line" ? 0 : 1);
    }
  });
});
