import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  fixedWindow,
  memoryStore,
  type Policy,
  rateLimiter,
  type Store,
  type SyncRateLimiter,
  slidingCounter,
  slidingWindow,
  tokenBucket,
} from "../../index.js";
import { manualClock } from "../../testing/manual-clock.js";

const second = 1000;
const kinds: readonly (readonly [string, Policy])[] = [
  ["fixed window", fixedWindow({ limit: 5, window: "1h" })],
  ["sliding window", slidingWindow({ limit: 5, window: "1h" })],
  ["sliding counter", slidingCounter({ limit: 5, window: "1h" })],
  ["token bucket", tokenBucket({ rate: 5, per: "1h" })],
  ["token bucket by intervals", tokenBucket({ rate: 5, per: "1h", refill: "interval" })],
];

function bench(maxKeys?: number) {
  const clock = manualClock(1_700_000_000_000_000);
  return { clock, store: memoryStore(maxKeys === undefined ? { clock } : { clock, maxKeys }) };
}

describe("maxKeys", () => {
  it.each(kinds)("%s: a flood of new keys does not wash a spent one", (_, policy) => {
    const { store } = bench(100);
    const limiter = rateLimiter(policy, { store });
    limiter.consumeSync("spent", { cost: 5 });
    for (let key = 0; key < 20_000; key++) {
      limiter.consumeSync(`flood-${key}`);
      expect(store.size).toBeLessThanOrEqual(100);
    }
    expect(limiter.consumeSync("spent").allowed).toBe(false);
  });

  it("nor does a flood of keys that are all spent, nor one that comes back to its keys", () => {
    const { store } = bench(50);
    const limiter = rateLimiter(slidingWindow({ limit: 3, window: "1h" }), { store });
    limiter.consumeSync("spent", { cost: 3 });
    for (let key = 0; key < 5000; key++) limiter.consumeSync(`flood-${key}`, { cost: 3 });
    expect(limiter.consumeSync("spent").allowed).toBe(false);
    for (let key = 0; key < 5000; key++) {
      limiter.consumeSync(`two-${key % 200}`);
      limiter.consumeSync(`two-${(key * 7) % 200}`);
    }
    expect(limiter.consumeSync("spent").allowed).toBe(false);
    expect(store.size).toBe(50);
  });

  it("counts the keys of all limiters of the store; a flood through one washes no other's spent key", () => {
    const { store } = bench(60);
    const limiters = kinds.map(([name, policy]) => rateLimiter(policy, { store, name }));
    for (const limiter of limiters) limiter.consumeSync("spent", { cost: 5 });
    for (const flooding of limiters) {
      for (let key = 0; key < 1000; key++) flooding.consumeSync(`flood-${key}`);
      expect(store.size).toBe(60);
    }
    for (const limiter of limiters) expect(limiter.consumeSync("spent").allowed).toBe(false);
  });

  it("what was spent goes on counting for its share only", () => {
    const { store } = bench(10);
    const limiter = rateLimiter(fixedWindow({ limit: 10, window: "1h" }), { store });
    for (let key = 0; key < 10; key++) limiter.consumeSync(`key-${key}`, { cost: key + 1 });
    limiter.consumeSync("new", { cost: 5 });
    // the one with the least spent went
    expect(limiter.peekSync("key-0").remaining).toBe(10);
    for (let key = 1; key < 10; key++) expect(limiter.peekSync(`key-${key}`).remaining).toBe(9 - key);
    expect(limiter.peekSync("new").remaining).toBe(5);
  });

  it("what has expired goes before what is spent, whichever limiter it is of", () => {
    const { clock, store } = bench(1000);
    const idle = Array.from({ length: 20 }, (_, index) =>
      rateLimiter(slidingWindow({ limit: 5, window: "1s" }), { store, name: `idle-${index}` }),
    );
    const spending = rateLimiter(slidingWindow({ limit: 5, window: "1h" }), { store, name: "spending" });
    for (let key = 0; key < 1000; key++) idle[key % 20]?.consumeSync(`old-${key}`);
    clock.advance(second);
    for (let key = 0; key < 1000; key++) spending.consumeSync(`spent-${key}`, { cost: 5 });
    for (let key = 0; key < 1000; key++) expect(spending.peekSync(`spent-${key}`).allowed).toBe(false);
  });

  it("a store of one key holds one key", () => {
    const { store } = bench(1);
    const one = rateLimiter(fixedWindow({ limit: 1, window: "1h" }), { store });
    const other = rateLimiter([slidingWindow({ limit: 2, window: "1h" })], { store });
    for (let key = 0; key < 100; key++) {
      one.consumeSync(`key-${key}`);
      other.consumeSync(`key-${key}`);
      expect(store.size).toBe(1);
    }
  });
});

describe("expiry", () => {
  it.each(kinds)("%s: keys that are as if never seen make room by themselves", (_, policy) => {
    const { clock, store } = bench();
    const limiter = rateLimiter(policy, { store });
    for (let key = 0; key < 1000; key++) limiter.consumeSync(`old-${key}`);
    expect(store.size).toBe(1000);
    clock.advance(3 * 3600 * second);
    for (let key = 0; key < 1000; key++) limiter.consumeSync(`new-${key}`);
    expect(store.size).toBeLessThanOrEqual(1001);
    for (let key = 0; key < 1000; key++) expect(limiter.consumeSync(`new-${key}`).remaining).toBe(3);
  });

  it("asking alone sweeps too, and forgets nobody early", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ key: fc.nat(30), cost: fc.integer({ min: 1, max: 5 }), gap: fc.nat(2000) }), {
          maxLength: 120,
        }),
        fc.constantFrom(...kinds.map(([, policy]) => policy)),
        (calls, policy) => {
          const { clock, store } = bench();
          const limiter = rateLimiter(policy, { store });
          const single = new Map<string, SyncRateLimiter>();
          for (const { key, cost, gap } of calls) {
            clock.advance(gap * second);
            const name = `key-${key}`;
            const alone = single.get(name) ?? rateLimiter(policy, { store: memoryStore({ clock }) });
            single.set(name, alone);
            expect(limiter.consumeSync(name, { cost })).toEqual(alone.consumeSync(name, { cost }));
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it("a key with a start ahead is not forgotten", async () => {
    const { clock, store } = bench();
    const limiter = rateLimiter(slidingCounter({ limit: 1, window: "1s" }), { store });
    limiter.consumeSync("key");
    const waits = Array.from({ length: 10 }, () => limiter.wait("key"));
    for (let key = 0; key < 500; key++) limiter.consumeSync(`other-${key}`);
    const { retryAfter } = limiter.peekSync("key");
    expect(retryAfter).toBeGreaterThan(10 * second);
    clock.advance(30 * second);
    await Promise.all(waits);
  });

  it("logs give their room back: a long run of many keys does not grow", () => {
    const { clock, store } = bench();
    const limiter = rateLimiter(slidingWindow({ limit: 20, window: "1s" }), { store });
    const heap: number[] = [];
    for (let round = 0; round < 300; round++) {
      for (let key = 0; key < 50; key++) {
        for (let call = 0; call < 10; call++) limiter.consumeSync(`key-${key}`);
        if (key % 5 === 0) limiter.resetSync(`key-${key}`);
      }
      clock.advance(250 + (round % 7) * 300);
      if (round % 100 === 99) heap.push(process.memoryUsage().arrayBuffers);
    }
    expect(store.size).toBeLessThanOrEqual(50);
    // it may shrink meanwhile: what the tests before have left is collected at some time
    expect(Math.max(...heap) - (heap[0] as number)).toBeLessThan(4_000_000);
  });
});

describe("the store", () => {
  it("says its kind and its size, and forgets everything when it is closed", async () => {
    const { store } = bench();
    expect([store.kind, store.size]).toEqual(["memory", 0]);
    const limiter = rateLimiter(
      [slidingWindow({ limit: 2, window: "1h" }), fixedWindow({ limit: 2, window: "1h", name: "other" })],
      { store },
    );
    for (let key = 0; key < 5000; key++) limiter.consumeSync(`key-${key}`, { cost: 2 });
    expect(store.size).toBe(5000);
    await store.close();
    expect(store.size).toBe(0);
    for (let key = 0; key < 5000; key += 100) expect(limiter.consumeSync(`key-${key}`).allowed).toBe(true);
    expect(store.size).toBe(50);
  });

  it("is read through whatever clock it is given, a real one by default", async () => {
    const limiter = rateLimiter(tokenBucket({ rate: 1, per: 100, burst: 1 }), { store: memoryStore() });
    const before = performance.now();
    for (let call = 0; call < 4; call++) await limiter.wait("key");
    const passed = performance.now() - before;
    expect(passed).toBeGreaterThanOrEqual(295);
    expect(passed).toBeLessThan(5000);
  });

  it("a limiter that is closed leaves nothing once its keys have expired", async () => {
    const { clock, store } = bench();
    const policy = slidingWindow({ limit: 2, window: "1s" });
    for (let index = 0; index < 200; index++) {
      const limiter = rateLimiter(policy, { store, name: `limiter-${index}` });
      limiter.consumeSync("key");
      await limiter.close();
      clock.advance(500);
    }
    expect(store.size).toBeLessThan(20);
    // what has not expired is there for the next of its name
    const again = rateLimiter(policy, { store, name: "limiter-199" });
    expect(again.peekSync("key").remaining).toBe(1);
  });

  it.each(kinds)("%s: a reservation of a key that was forgotten meanwhile gives nothing back", async (_, policy) => {
    const forgetting: ((limiter: SyncRateLimiter, store: Store) => void | Promise<void>)[] = [
      (limiter) => limiter.resetSync("key"),
      (__, store) => store.close(),
    ];
    for (const forget of forgetting) {
      for (const correct of ["cancel", "settle"] as const) {
        const { store } = bench();
        const limiter = rateLimiter(policy, { store });
        limiter.consumeSync("key", { cost: 4 });
        const reservation = await limiter.reserve("key");
        const controller = new AbortController();
        const waiting = limiter.wait("key", { signal: controller.signal }).catch(() => "gave up");
        await forget(limiter, store);
        limiter.consumeSync("key", { cost: 5 });
        const { retryAfter } = limiter.peekSync("key");
        await (correct === "cancel" ? reservation.cancel() : reservation.settle(0));
        controller.abort();
        await waiting;
        expect(limiter.peekSync("key")).toMatchObject({ remaining: 0, retryAfter });
      }
    }
  });

  it("nor does one of a key that had to go", async () => {
    const { store } = bench(2);
    const limiter = rateLimiter(fixedWindow({ limit: 5, window: "1h" }), { store });
    const reservation = await limiter.reserve("key");
    for (const key of ["a", "b", "c"]) limiter.consumeSync(key, { cost: 4 });
    limiter.consumeSync("key", { cost: 5 });
    await reservation.cancel();
    expect(limiter.peekSync("key").remaining).toBe(0);
  });

  const buckets = [
    ["continuous", tokenBucket({ rate: 1, per: "1s", burst: 10 })],
    ["by intervals", tokenBucket({ rate: 1, per: "1s", burst: 10, refill: "interval" })],
  ] as const;
  it.each(buckets)("a bucket, %s: what has come back by itself is not given back again", async (_, policy) => {
    for (const correct of ["cancel", "settle"] as const) {
      const { clock, store } = bench();
      const limiter = rateLimiter(policy, { store });
      const reservation = await limiter.reserve("key", { cost: 10 });
      clock.advance(100 * second);
      limiter.consumeSync("key", { cost: 10 });
      await (correct === "cancel" ? reservation.cancel() : reservation.settle(0));
      expect(limiter.peekSync("key").remaining).toBe(0);
    }
  });

  it.each(buckets)("a bucket, %s: what would have come back by now is not charged late", async (_, policy) => {
    const { clock, store } = bench();
    const limiter = rateLimiter(policy, { store });
    const reservation = await limiter.reserve("key");
    clock.advance(100 * second);
    limiter.consumeSync("key");
    await reservation.settle(10);
    expect(limiter.peekSync("key").remaining).toBe(9);
  });

  it.each([
    ["continuous", tokenBucket({ rate: 1000, per: "1m" })],
    ["by intervals", tokenBucket({ rate: 10, per: 600, burst: 1000, refill: "interval" })],
  ] as const)(
    "a bucket, %s: what was spent besides the estimate is owed, held or not, until it has come back",
    async (_, policy) => {
      for (const others of [0, 1, 500]) {
        const { clock, store } = bench();
        const limiter = rateLimiter(policy, { store });
        const reservation = await limiter.reserve("key", { cost: 10 });
        clock.advance(1.5 * second);
        // the sweep may have taken the key away
        for (let call = 0; call < others; call++) limiter.consumeSync(`other-${call % 3}`);
        await reservation.settle(900);
        const { remaining } = limiter.peekSync("key");
        expect(remaining).toBeGreaterThanOrEqual(115);
        expect(remaining).toBeLessThanOrEqual(125);
      }
    },
  );

  it("a reset gives those who wait nothing to give back", async () => {
    const { store } = bench();
    for (const [name, policy] of [
      ["one", fixedWindow({ limit: 1, window: "1s" })],
      ["two", tokenBucket({ rate: 1, per: "1s" })],
      ["three", slidingCounter({ limit: 1, window: "1s" })],
    ] as const) {
      const limiter = rateLimiter(policy, { store, name });
      const signals = [new AbortController(), new AbortController()] as const;
      limiter.consumeSync("key");
      const gone = limiter.wait("key", { signal: signals[0].signal }).catch(() => "gave up");
      limiter.resetSync("key");
      limiter.consumeSync("key");
      const waiting = limiter.wait("key", { signal: signals[1].signal }).catch(() => "gave up");
      const { retryAfter } = limiter.peekSync("key");
      signals[0].abort();
      expect(await gone).toBe("gave up");
      expect(limiter.peekSync("key").retryAfter, name).toBe(retryAfter);
      signals[1].abort();
      expect(await waiting).toBe("gave up");
    }
  });
});
