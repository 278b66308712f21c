import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import type { Found } from "../../../../../scripts/servers.mjs";
import { type ShiftedClock, shiftedClock } from "../../../test/faults/clock-shift.js";
import { type PrivateServer, startPrivateServer } from "../../../test/faults/server.js";
import { endless, kindNames, kinds } from "../../../test/fleet/orders.js";
import { commandsDuring, timesToLive } from "../../../test/observe.js";
import { fixedWindow } from "../../algorithms/fixed-window/fixed-window.js";
import { slidingCounter } from "../../algorithms/sliding-counter/sliding-counter.js";
import { slidingWindow } from "../../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../../algorithms/token-bucket/token-bucket.js";
import { all, type RateLimiter } from "../../core/limiter.js";
import type { Policy } from "../../core/policy.js";
import { rateLimiter } from "../../rate-limiter.js";
import { manualClock } from "../../testing/manual-clock.js";
import { Random } from "../../testing/random.js";
import { anySubject } from "../../testing/subjects.js";
import { type RedisStoreOptions, redisStore, scriptClock } from "./redis.js";
import { marginOf } from "./replay.js";

const program = inject("program") as Found;
let server: PrivateServer;
let client: Redis;
beforeAll(async () => {
  server = await startPrivateServer(program);
  client = new Redis(server.url);
});
afterAll(async () => {
  client?.disconnect();
  await server?.stop();
});

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});
function cleanup<T>(thing: T, end: (thing: T) => unknown): T {
  ends.push(() => end(thing));
  return thing;
}

interface Options extends RedisStoreOptions {
  readonly name?: string;
}
function limiterOn(policies: Policy | readonly Policy[], options: Options = {}, redis = client): RateLimiter {
  const { name = randomUUID(), ...others } = options;
  const store = cleanup(redisStore(redis, { denialCache: false, ...others }), (each) => each.close());
  return cleanup(rateLimiter(policies, { store, name, timeout: "10s" }), (limiter) => limiter.close());
}

describe("every key has an end", () => {
  it("that outlives its state, and not by much, whatever was done to it", async () => {
    const random = new Random(7);
    const prefix = `ttl-${randomUUID()}`;
    const limiters: RateLimiter[] = [];
    for (let index = 0; index < 60; index++) {
      const policies = random.chance(0.7)
        ? anySubject(random).policy
        : [anySubject(random, "one").policy, anySubject(random, "two").policy];
      limiters.push(limiterOn(policies, { prefix, name: `limiter-${index}` }));
    }
    for (const limiter of limiters) {
      const most = Math.min(...limiter.policies.map(({ limit }) => limit));
      const waiting: Promise<unknown>[] = [];
      const signal = AbortSignal.timeout(60_000);
      const controller = new AbortController();
      for (let call = 0; call < 12; call++) {
        const key = random.pick(["a", "b"]);
        const cost = random.whole(1, most);
        const dice = random.next();
        if (dice < 0.35) await limiter.consume(key, { cost });
        else if (dice < 0.45) await limiter.peek(key, { cost });
        else if (dice < 0.6) waiting.push(limiter.wait(key, { cost, signal: controller.signal }));
        else if (dice < 0.7) await limiter.charge(key, { cost: random.whole(1, 3 * most) });
        else if (dice < 0.8) await limiter.refund(key, { cost });
        else if (dice < 0.9) {
          const reservation = await limiter.reserve(key, { cost }).catch(() => undefined);
          if (random.chance(0.7)) await reservation?.settle(random.whole(0, 2 * most));
        } else await all(limiter.for("a"), limiter.for("b")).consume({ cost });
        expect(signal.aborted).toBe(false);
      }
      if (random.chance(0.5)) {
        controller.abort();
        await Promise.allSettled(waiting);
      } else {
        for (const each of waiting) each.catch(() => {});
      }
    }
    const lives = await timesToLive(client, prefix);
    expect(lives.size).toBeGreaterThan(60);
    for (const [index, limiter] of limiters.entries()) {
      for (const key of ["a", "b"]) {
        const began = performance.now();
        const { parts } = await limiter.peek(key);
        const names = limiter.policies.map(({ name }) => `${prefix}:limiter-${index}:${name}:{${key}}`);
        for (const [place, name] of names.entries()) {
          const life = await client.pttl(name);
          const took = performance.now() - began;
          const about = `${name} (${limiter.policies[place]?.algorithm}): lives ${life} ms, says ${parts[place]?.resetAfter}`;
          // -2: it is not there
          expect(life, about).not.toBe(-1);
          if (life < 0) expect(parts[place]?.resetAfter, about).toBeLessThan(200);
          else {
            const resetAfter = parts[place]?.resetAfter as number;
            const margin = marginOf(limiter.policies[place] as Policy);
            if (resetAfter > 0) expect(life, about).toBeGreaterThanOrEqual(resetAfter + margin - took - 1);
            expect(life, about).toBeLessThanOrEqual(resetAfter + 2 * margin + 1000);
          }
        }
      }
    }
    for (const [key, life] of lives) expect(life, key).not.toBe(-1);
  });

  it.each([
    ["token bucket", tokenBucket({ rate: 400, per: "200ms" })],
    ["token bucket, ticks no whole µs", tokenBucket({ rate: 700, per: "200ms" })],
    ["token bucket by intervals", tokenBucket({ rate: 400, per: "200ms", refill: "interval" })],
    ["fixed window", fixedWindow({ limit: 400, window: "200ms" })],
    ["sliding counter", slidingCounter({ limit: 400, window: "200ms" })],
    ["sliding window", slidingWindow({ limit: 400, window: "200ms" })],
  ])("that keeps up with a busy key, though most calls need not set it: %s", async (_, policy) => {
    const prefix = `busy-${randomUUID()}`;
    const limiter = limiterOn(policy, { prefix, name: "busy", denialCache: false });
    const name = `${prefix}:busy:default:{key}`;
    const until = performance.now() + 900;
    for (let round = 0; performance.now() < until; round++) {
      if (round % 17 === 3) await limiter.refund("key", { cost: 1 + (round % 5) });
      if (round % 19 === 5) await limiter.charge("key");
      // alone, and as a batch
      await Promise.all(
        Array.from({ length: round % 3 }, () => limiter.consume("other")).concat(limiter.consume("key")),
      );
      const began = performance.now();
      const { resetAfter } = await limiter.peek("key");
      const life = await client.pttl(name);
      const took = performance.now() - began;
      if (resetAfter > 0) expect(life).toBeGreaterThanOrEqual(resetAfter + marginOf(policy) - took - 1);
      expect(life).toBeLessThanOrEqual(resetAfter + 2 * marginOf(policy) + took + 2);
    }
  });

  it("also when a limit was raised beyond what its log can hold, and nothing was in it", async () => {
    const name = randomUUID();
    const small = limiterOn(slidingWindow({ limit: 10, window: "1h" }), { name });
    await small.consume("key");
    await small.refund("key");
    const large = limiterOn(slidingWindow({ limit: 1_000_000, window: "1h" }), { name });
    await large.refund("key");
    for (const [key, life] of await timesToLive(client, `sluice:${name}`)) expect(life, key).toBeGreaterThan(0);
    expect((await large.consume("key", { cost: 70_000 })).remaining).toBe(930_000);
    for (const [key, life] of await timesToLive(client, `sluice:${name}`)) expect(life, key).toBeGreaterThan(0);
  });

  it("also when a limit was raised beyond what its log can hold, and a grant is settled that was forgotten", async () => {
    const name = randomUUID();
    const large = limiterOn(slidingWindow({ limit: 1_000_000, window: "1h" }), { name });
    const reservation = await large.reserve("key", { cost: 5 });
    await large.reset("key");
    const small = limiterOn(slidingWindow({ limit: 10, window: "1h" }), { name });
    await small.consume("key", { cost: 3 });
    await reservation.settle(6);
    expect((await large.peek("key")).remaining).toBe(999_997);
    for (const [key, life] of await timesToLive(client, `sluice:${name}`)) expect(life, key).toBeGreaterThan(0);
  });

  it.each(kindNames)("and when it comes, the key is as if never seen: %s", async (kind) => {
    const name = randomUUID();
    const limiter = limiterOn(kinds[kind]({ limit: 3, window: 60 }), { name });
    for (let call = 0; call < 3; call++) await limiter.consume("key");
    await expect.poll(() => client.keys(`sluice:${name}:*`), { timeout: 5000 }).toEqual([]);
    expect((await limiter.peek("key")).remaining).toBe(3);
  });

  it.each(kindNames)(
    "a key that is deleted or evicted while it is used is as if never seen, and nothing breaks: %s",
    async (kind) => {
      const name = randomUUID();
      const policy = kinds[kind]({ limit: 5, window: endless });
      const limiter = limiterOn(policy, { name });
      await limiter.consume("key", { cost: 4 });
      const reservation = await limiter.reserve("key");
      const controller = new AbortController();
      const waiting = limiter.wait("key", { signal: controller.signal }).catch((error: Error) => error.name);
      await limiter.peek("key");
      await client.del(...(await client.keys(`sluice:${name}:*`)));
      expect((await limiter.peek("key")).remaining).toBe(5);
      // what belonged to the key that is gone corrects nothing of the new one
      await limiter.consume("key", { cost: 2 });
      await reservation.settle(0);
      controller.abort();
      expect(await waiting).toBe("AbortError");
      const { remaining } = await limiter.peek("key");
      expect(remaining).toBeGreaterThanOrEqual(3);
      expect(remaining).toBeLessThanOrEqual(5);
      await limiter.refund("key", { cost: 5 });
      expect((await limiter.peek("key")).remaining).toBe(5);
      await client.del(...(await client.keys(`sluice:${name}:*`)), "none");
      await limiter.refund("key");
      await limiter.charge("key", { cost: 2 });
      expect((await limiter.peek("key")).remaining).toBe(3);
    },
  );
});

describe("a server whose clock jumps", () => {
  let clock: ShiftedClock | string;
  let shifted: PrivateServer | undefined;
  let redis: Redis;
  beforeAll(async () => {
    clock = await shiftedClock(program);
    if (typeof clock === "string") {
      console.error(`Clocks that jump were not tried: ${clock}`);
      return;
    }
    shifted = await startPrivateServer(clock.found);
    redis = new Redis(shifted.url);
  });
  afterAll(async () => {
    redis?.disconnect();
    await shifted?.stop();
    if (typeof clock !== "string") await clock.remove();
  });

  it.each(kindNames)(
    "five minutes forth and back admits no more than the bound, and locks nobody out: %s",
    async (kind) => {
      if (typeof clock === "string") {
        expect(clock).toMatch(/Linux|compiler/);
        return;
      }
      const [limit, window] = [5, 300];
      const limiter = limiterOn(kinds[kind]({ limit, window }), {}, redis);
      // what was admitted while the clock showed a time: a moment that is lived twice is one moment
      const drain = async (): Promise<number> => {
        let admitted = 0;
        while ((await limiter.consume("key")).allowed) admitted += 1;
        return admitted;
      };
      clock.shift(0);
      expect(await drain()).toBeGreaterThanOrEqual(limit);
      clock.shift(300_000);
      // a new window, a full bucket: once
      expect(await drain()).toBeLessThanOrEqual(2 * limit);
      clock.shift(0);
      const began = performance.now();
      expect(await drain()).toBeLessThanOrEqual(2 * limit);
      const windows = kind === "sliding counter" ? 3 : 2;
      await expect
        .poll(async () => (await limiter.consume("key")).allowed, { timeout: 20 * window, interval: 10 })
        .toBe(true);
      expect(performance.now() - began).toBeLessThan(windows * window + 200);

      clock.shift(-300_000);
      const back = performance.now();
      expect(await drain()).toBeLessThanOrEqual(2 * limit);
      await expect
        .poll(async () => (await limiter.consume("key")).allowed, { timeout: 20 * window, interval: 10 })
        .toBe(true);
      expect(performance.now() - back).toBeLessThan(windows * window + 200);
      for (const [key, life] of await timesToLive(redis, "sluice")) expect(life, key).toBeGreaterThan(0);
      clock.shift(0);
    },
  );

  it.each(kindNames)("a little back within its window gives nobody more than the limit: %s", async (kind) => {
    if (typeof clock === "string") return;
    const limiter = limiterOn(kinds[kind]({ limit: 5, window: 60_000 }), {}, redis);
    clock.shift(0);
    let admitted = 0;
    for (const shift of [0, -7000, 3000, -20_000, -1000]) {
      clock.shift(shift);
      for (let call = 0; call < 8; call++) admitted += (await limiter.consume("key")).allowed ? 1 : 0;
    }
    clock.shift(0);
    // the bucket gains one in 12 seconds; windows on the clock may end in between
    expect(admitted).toBeGreaterThanOrEqual(5);
    expect(admitted).toBeLessThanOrEqual(kind.endsWith("on the clock") ? 10 : 6);
  });
});

describe("an exact window", () => {
  it("takes at most ten bytes a call at ten thousand calls, and a few commands a decision, whatever it holds", async () => {
    const name = randomUUID();
    const clock = manualClock(1_700_000_000_000_000);
    const limiter = limiterOn(slidingWindow({ limit: 10_000, window: "1h" }), {
      name,
      [scriptClock]: clock,
    } as Options);
    const key = `sluice:${name}:default:{key}`;
    const used: number[] = [];
    for (let call = 0; call < 10_000; call += 100) {
      const batch: Promise<unknown>[] = [];
      for (let each = 0; each < 100; each++) {
        // each call has a stamp of its own: it cannot be merged with another
        clock.advance(0.001);
        batch.push(limiter.for("key").consume());
      }
      await Promise.all(batch);
      if (call % 1000 === 900) used.push((await client.memory("USAGE", key)) as number);
    }
    expect((await limiter.peek("key")).remaining).toBe(0);
    expect(((await client.memory("USAGE", key)) as number) / 10_000).toBeLessThanOrEqual(10);
    const emptied = async (): Promise<unknown> => {
      clock.advance(3_600_000);
      return limiter.consume("key");
    };
    for (const decide of [() => limiter.consume("key"), () => limiter.peek("key"), emptied]) {
      const counts = await commandsDuring(client, decide);
      // never the whole ring: its ends, and a search of them by halves
      expect(counts["getrange"] ?? 0).toBeLessThanOrEqual(40);
      // an empty ring makes room for one as small as what it holds
      expect(counts["set"] ?? 0).toBe(decide === emptied ? 1 : 0);
      expect(counts["setrange"] ?? 0).toBeLessThanOrEqual(2);
    }
  });

  it("reads and writes a few dozen bytes a decision", async () => {
    const name = randomUUID();
    const limiter = limiterOn(slidingWindow({ limit: 5000, window: "1h" }), { name, batch: { max: 1 } });
    for (let call = 0; call < 300; call++) await limiter.consume("key", { cost: 1 });
    const counts = await commandsDuring(client, () => limiter.consume("key"));
    expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(12);
    const monitor = await new Redis(server.url).monitor();
    const written: number[] = [];
    const read: number[] = [];
    monitor.on("monitor", (_time: string, args: string[]) => {
      const [command = "", , , last = ""] = args;
      if (/^setrange$/i.test(command)) written.push(Buffer.byteLength(last, "latin1"));
      if (/^getrange$/i.test(command)) read.push(Number(args[3]) - Number(args[2]) + 1);
    });
    await limiter.consume("key");
    await client.ping();
    await expect.poll(() => written.length).toBeGreaterThan(0);
    monitor.disconnect();
    const total = (each: readonly number[]) => each.reduce((sum, length) => sum + length, 0);
    expect(total(read)).toBeLessThanOrEqual(200);
    // as the monitor shows them, bytes beyond ASCII are four characters
    expect(total(written)).toBeLessThanOrEqual(4 * 60);
  });

  it("forgets fifty thousand calls at once in a moment", async () => {
    const clock = manualClock(1_700_000_000_000_000);
    const name = randomUUID();
    const limiter = limiterOn(slidingWindow({ limit: 60_000, window: "1h" }), {
      name,
      [scriptClock]: clock,
    } as Options);
    for (let call = 0; call < 50_000; call += 500) {
      const batch: Promise<unknown>[] = [];
      for (let each = 0; each < 500; each++) {
        clock.advance(0.001);
        batch.push(limiter.for("key").consume());
      }
      await Promise.all(batch);
    }
    expect((await limiter.peek("key")).remaining).toBe(10_000);
    clock.advance(2 * 3_600_000);
    await client.config("RESETSTAT");
    expect((await limiter.consume("key")).remaining).toBe(59_999);
    const [, usec] = /cmdstat_evalsha:calls=1,usec=(\d+)/.exec(await client.info("commandstats")) ?? [];
    expect(Number(usec)).toBeLessThan(5000);
  });
});

describe("a turn of the event loop", () => {
  it("asks for 500 decisions over 100 keys in a few calls, one read and one write a key", async () => {
    const limiter = limiterOn(tokenBucket({ rate: 1000, per: endless }));
    await limiter.consume("warm");
    await client.ping();
    const counts = await commandsDuring(client, () =>
      Promise.all(Array.from({ length: 500 }, (_, index) => limiter.consume(`key-${Math.floor(index / 5)}`))),
    );
    expect(counts["evalsha"]).toBe(2);
    // whoever asks for the last key that a call has room for may travel in the next
    expect(counts["get"]).toBeLessThanOrEqual(101);
    expect(counts["set"]).toBe(counts["get"]);
  });

  it("costs a hot key one read and one write, however often and by however many limiters' policies", async () => {
    const limiter = limiterOn([
      tokenBucket({ rate: 5000, per: endless, name: "one" }),
      fixedWindow({ limit: 700, window: "1d", name: "two" }),
    ]);
    await limiter.consume("warm");
    const counts = await commandsDuring(client, async () => {
      const decisions = await Promise.all(Array.from({ length: 1000 }, () => limiter.consume("hot")));
      expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(700);
    });
    expect(counts["evalsha"]).toBe(1);
    expect(counts["get"]).toBe(2);
    expect(counts["set"]).toBe(2);
  });

  it("keeps a call short however many costs are asked of one key", async () => {
    const limiter = limiterOn(tokenBucket({ rate: 1_000_000, per: endless }));
    await limiter.consume("warm");
    const counts = await commandsDuring(client, () =>
      Promise.all(Array.from({ length: 2000 }, (_, index) => limiter.consume("hot", { cost: 1 + (index % 2) }))),
    );
    expect(counts["evalsha"]).toBeGreaterThanOrEqual(Math.floor(2000 / 65));
    expect((await limiter.peek("hot")).remaining).toBe(1_000_000 - 3000);
  });

  it("sends each alone without batches, and still exactly once", async () => {
    const limiter = limiterOn(fixedWindow({ limit: 30, window: endless }), { batch: false });
    await limiter.consume("warm");
    const counts = await commandsDuring(client, async () => {
      const keys = Array.from({ length: 50 }, (_, index) => `key-${index}`);
      await Promise.all(keys.map((key) => limiter.consume(key)));
    });
    expect(counts["evalsha"]).toBe(50);
    const decisions = await Promise.all(Array.from({ length: 100 }, () => limiter.consume("hot")));
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(30);
  });
});
