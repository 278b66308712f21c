import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import {
  all,
  type Decision,
  fixedWindow,
  isSluiceError,
  memoryStore,
  RateLimitExceededError,
  type RateLimiter,
  rateLimiter,
  type SyncRateLimiter,
  slidingCounter,
  slidingWindow,
  tokenBucket,
} from "../index.js";
import { manualClock } from "../testing/manual-clock.js";

const unhandled: unknown[] = [];
const note = (reason: unknown): void => {
  unhandled.push(reason);
};
beforeAll(() => {
  process.on("unhandledRejection", note);
});
afterAll(async () => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.off("unhandledRejection", note);
  expect(unhandled).toEqual([]);
});

function bench(start = 1_000_000_000) {
  const clock = manualClock(start);
  return { clock, store: memoryStore({ clock }) };
}

describe("a decision", () => {
  it("has its fields as its own, and makes its parts when they are read", async () => {
    const { store } = bench();
    const policy = slidingWindow({ limit: 3, window: "10s", name: "calls" });
    const decision = await rateLimiter(policy, { store }).consume("key", { cost: 2 });
    expect(Object.keys(decision)).toEqual([
      "allowed",
      "policy",
      "limit",
      "remaining",
      "retryAfter",
      "resetAfter",
      "degraded",
    ]);
    const fields = { allowed: true, limit: 3, remaining: 1, retryAfter: 0, resetAfter: 10_000, policy: "calls" };
    expect({ ...decision }).toEqual({ ...fields, degraded: false });
    expect(decision.parts).toEqual([{ ...fields, window: 10_000 }]);
    expect(JSON.parse(JSON.stringify(decision))).toEqual({
      ...fields,
      degraded: false,
      parts: [{ ...fields, window: 10_000 }],
    });
  });

  it("speaks for the policy that refuses, else for the one with the least left", async () => {
    const { store, clock } = bench();
    const limiter = rateLimiter(
      [
        slidingWindow({ limit: 5, window: "1s", name: "burst" }),
        slidingWindow({ limit: 6, window: "1m", name: "steady" }),
      ],
      { store },
    );
    expect(await limiter.consume("key", { cost: 4 })).toMatchObject({ policy: "burst", limit: 5, remaining: 1 });
    expect(await limiter.consume("key", { cost: 2 })).toMatchObject({
      allowed: false,
      policy: "burst",
      retryAfter: 1000,
      remaining: 1,
      resetAfter: 60_000,
      parts: [
        { policy: "burst", allowed: false, window: 1000, remaining: 1, retryAfter: 1000, resetAfter: 1000 },
        { policy: "steady", allowed: true, window: 60_000, remaining: 2, retryAfter: 0, resetAfter: 60_000 },
      ],
    });
    clock.advance(1000);
    expect(await limiter.consume("key", { cost: 2 })).toMatchObject({ allowed: true, policy: "steady", remaining: 0 });
    expect(await limiter.consume("key")).toMatchObject({ allowed: false, policy: "steady", retryAfter: 59_000 });
    expect((await limiter.consume("key", { cost: 7 })).retryAfter).toBe(Infinity);
  });

  it("of a wait says what is left as of its start", async () => {
    const { store, clock } = bench();
    const limiter = rateLimiter(slidingWindow({ limit: 2, window: "10s" }), { store });
    await limiter.consume("key", { cost: 2 });
    const waiting = limiter.wait("key");
    clock.advance(10_000);
    expect(await waiting).toMatchObject({ allowed: true, retryAfter: 0, remaining: 1, resetAfter: 10_000 });
  });
});

describe("verbs", () => {
  it("refund gives back the newest first, and never more than was spent", async () => {
    const { store, clock } = bench();
    const limiter = rateLimiter(slidingWindow({ limit: 4, window: "10s" }), { store });
    await limiter.consume("key", { cost: 2 });
    clock.advance(4000);
    await limiter.consume("key", { cost: 2 });
    await limiter.refund("key", { cost: 2 });
    expect(await limiter.peek("key")).toMatchObject({ remaining: 2, resetAfter: 6000 });
    await limiter.refund("key", { cost: 100 });
    expect(await limiter.peek("key")).toMatchObject({ remaining: 4, resetAfter: 0 });
    await limiter.refund("never seen");
    expect(store.size).toBe(1);
  });

  it("charge spends into debt, and a window's debt ends with the window", async () => {
    const { store, clock } = bench();
    const limiter = rateLimiter(fixedWindow({ limit: 3, window: "10s" }), { store });
    expect(await limiter.charge("key", { cost: 50 })).toMatchObject({ allowed: true, remaining: 0, retryAfter: 0 });
    clock.advance(9999.999);
    expect(await limiter.consume("key")).toMatchObject({ allowed: false, retryAfter: 0.001 });
    clock.advance(0.001);
    expect(await limiter.consume("key")).toMatchObject({ allowed: true, remaining: 2 });
  });

  it("a bucket's debt is paid before anything passes", async () => {
    const { store, clock } = bench();
    const limiter = rateLimiter(tokenBucket({ rate: 1, per: "1s", burst: 5 }), { store });
    await limiter.charge("key", { cost: 25 });
    expect(await limiter.consume("key")).toMatchObject({ allowed: false, retryAfter: 21_000, resetAfter: 25_000 });
    clock.advance(21_000);
    expect((await limiter.consume("key")).allowed).toBe(true);
  });

  it("reset forgets the key", async () => {
    const { store } = bench();
    const limiter = rateLimiter(fixedWindow({ limit: 1, window: "1h" }), { store });
    await limiter.consume("key");
    await limiter.reset("key");
    expect(store.size).toBe(0);
    expect((await limiter.consume("key")).allowed).toBe(true);
    await limiter.reset("never seen");
  });

  it("run waits, and its outcome is the task's", async () => {
    const { store, clock } = bench();
    const limiter = rateLimiter(tokenBucket({ rate: 1, per: "1s" }), { store });
    expect(await limiter.run("key", () => 1)).toBe(1);
    const second = limiter.run("key", async () => clock.now());
    clock.advance(1000);
    expect(await second).toBe(1_001_000_000);
    clock.advance(1000);
    const failing = limiter.run("key", () => {
      throw new Error("the task's own");
    });
    await expect(failing).rejects.toThrow("the task's own");
  });

  it("for keeps the key, and a cost of its own only with all()", async () => {
    const { store } = bench();
    const limiter = rateLimiter(fixedWindow({ limit: 10, window: "1h" }), { store });
    const keyed = limiter.for("key");
    expect([keyed.key, keyed.limiter]).toEqual(["key", limiter]);
    expect((await keyed.consume({ cost: 3 })).remaining).toBe(7);
    expect((await keyed.peek()).remaining).toBe(7);
    expect((await keyed.wait()).remaining).toBe(6);
    expect(await keyed.run(() => "done")).toBe("done");
    const reservation = await keyed.reserve({ cost: 2 });
    await reservation.cancel();
    expect((await keyed.peek()).remaining).toBe(5);
    const both = all(limiter.for("key"), limiter.for("other", { cost: 4 }));
    await both.consume({ cost: 2 });
    expect([limiter.peekSync("key").remaining, limiter.peekSync("other").remaining]).toEqual([3, 6]);
  });

  it("the synchronous twins say what the others say", async () => {
    const { store, clock } = bench();
    for (const policy of [
      fixedWindow({ limit: 5, window: "7s" }),
      slidingWindow({ limit: 5, window: "7s" }),
      slidingCounter({ limit: 5, window: "7s" }),
      tokenBucket({ rate: 5, per: "7s", burst: 3 }),
    ]) {
      const one = rateLimiter(policy, { store, name: `${policy.algorithm}-one` });
      const other = rateLimiter(policy, { store, name: `${policy.algorithm}-other` });
      for (let step = 0; step < 30; step++) {
        const cost = (step % 3) + 1;
        expect(one.consumeSync("key", { cost })).toEqual(await other.consume("key", { cost }));
        expect(one.peekSync("key", { cost })).toEqual(await other.peek("key", { cost }));
        if (step % 7 === 3) {
          one.refundSync("key");
          await other.refund("key");
        }
        if (step % 11 === 5) {
          one.resetSync("key");
          await other.reset("key");
        }
        clock.advance((step % 5) * 300.5);
      }
    }
  });

  it("wrap: inline, as a TC39 decorator and as a legacy one", async () => {
    const { store, clock } = bench();
    const limiter = rateLimiter(fixedWindow({ limit: 2, window: "1s" }), { store });
    const inline = limiter.wrap({ key: "inline" })(async function greet(name: string) {
      return `hello ${name}`;
    });
    expect([inline.name, inline.length, await inline("you")]).toEqual(["greet", 1, "hello you"]);

    class Service {
      greeting = "hello";

      @limiter.wrap({ key: (name: string) => name, cost: (name: string) => name.length, whenLimited: "throw" })
      async greet(name: string): Promise<string> {
        return `${this.greeting} ${name}`;
      }
    }
    const service = new Service();
    expect(await service.greet("al")).toBe("hello al");
    await expect(service.greet("al")).rejects.toBeInstanceOf(RateLimitExceededError);
    await expect(service.greet("long")).rejects.toMatchObject({ retryAfter: Infinity });

    const wrapped = limiter.wrap({ key: "legacy" });
    const descriptor = { value: (name: string) => `hi ${name}`, writable: true, configurable: true };
    const legacy = wrapped({}, "greet", descriptor) as { value: (name: string) => Promise<string> };
    expect(await legacy.value("you")).toBe("hi you");

    const patient = limiter.wrap({ key: "inline", maxWait: "2s" })(() => clock.now());
    await inline("again");
    const third = patient();
    clock.advance(1000);
    expect(await third).toBe(1_001_000_000);
  });

  it("await using closes a limiter, and keeps the estimate of a reservation", async () => {
    const { store } = bench();
    let inner: SyncRateLimiter;
    {
      await using limiter = rateLimiter(fixedWindow({ limit: 5, window: "1h" }), { store });
      inner = limiter;
      await using reservation = await limiter.reserve("key", { cost: 2 });
      expect(reservation.decision.remaining).toBe(3);
    }
    await expect(inner.consume("key")).rejects.toMatchObject({ code: "ERR_CLOSED" });
    expect(() => inner.consumeSync("key")).toThrow(expect.objectContaining({ code: "ERR_CLOSED" }));
    const again = rateLimiter(fixedWindow({ limit: 5, window: "1h" }), { store });
    expect(again.peekSync("key").remaining).toBe(3);
  });

  it("types: synchronous on memory, asynchronous on any store", () => {
    const policy = fixedWindow({ limit: 1, window: 1 });
    expectTypeOf(rateLimiter(policy)).toEqualTypeOf<SyncRateLimiter>();
    expectTypeOf(rateLimiter(policy, { store: memoryStore() })).toEqualTypeOf<SyncRateLimiter>();
    expectTypeOf<ReturnType<RateLimiter["consume"]>>().toEqualTypeOf<Promise<Decision>>();
  });
});

describe("a reservation", () => {
  it("settles below, at and above the estimate, once", async () => {
    const { store } = bench();
    const limiter = rateLimiter(tokenBucket({ rate: 10, per: "10s" }), { store });
    const below = await limiter.reserve("a", { cost: 6 });
    await below.settle(2);
    await below.settle(9);
    await below.cancel();
    expect(limiter.peekSync("a").remaining).toBe(8);
    const above = await limiter.reserve("b", { cost: 6 });
    await above.settle(13);
    expect(limiter.consumeSync("b")).toMatchObject({ allowed: false, retryAfter: 4000 });
    const nothing = await limiter.reserve("c", { cost: 6 });
    await nothing.settle(0);
    expect(limiter.peekSync("c")).toMatchObject({ remaining: 10, resetAfter: 0 });
  });

  it("after its window can no longer be corrected", async () => {
    const { store, clock } = bench();
    for (const policy of [
      fixedWindow({ limit: 10, window: "1s" }),
      slidingWindow({ limit: 10, window: "1s" }),
      slidingCounter({ limit: 10, window: "1s" }),
    ]) {
      const limiter = rateLimiter(policy, { store });
      const reservation = await limiter.reserve("key", { cost: 6 });
      clock.advance(5000);
      limiter.consumeSync("key", { cost: 4 });
      await reservation.settle(0);
      expect(limiter.peekSync("key").remaining).toBe(6);
      const other = await limiter.reserve("key", { cost: 1 });
      clock.advance(5000);
      await other.settle(9);
      expect(limiter.peekSync("key").remaining).toBe(10);
    }
  });

  it("waits when maxWait is given, and throws when the turn is too far away", async () => {
    const { store, clock } = bench();
    const limiter = rateLimiter(slidingWindow({ limit: 4, window: "10s" }), { store });
    limiter.consumeSync("key", { cost: 4 });
    await expect(limiter.reserve("key")).rejects.toMatchObject({ code: "ERR_RATE_LIMIT_EXCEEDED", retryAfter: 10_000 });
    await expect(limiter.reserve("key", { maxWait: "9s" })).rejects.toMatchObject({ wait: 10_000, maxWait: 9000 });
    const waiting = limiter.reserve("key", { cost: 3, maxWait: "10s" });
    clock.advance(10_000);
    const reservation = await waiting;
    expect(reservation.decision).toMatchObject({ allowed: true, remaining: 1 });
    await reservation.settle(1);
    expect(limiter.peekSync("key").remaining).toBe(3);
  });

  it("refuses a cost that is none, and stays open", async () => {
    const { store } = bench();
    const limiter = rateLimiter(slidingWindow({ limit: 4, window: "10s" }), { store });
    const reservation = await limiter.reserve("key", { cost: 3 });
    for (const cost of [-1, 0.5, Number.NaN, Infinity]) {
      await expect(reservation.settle(cost)).rejects.toMatchObject({ code: "ERR_INVALID_COST" });
    }
    await reservation.settle(1);
    expect(limiter.peekSync("key").remaining).toBe(3);
  });
});

describe("shadow", () => {
  it("never refuses, says what would have happened, and charges nothing for a would-be refusal", async () => {
    const { store, clock } = bench();
    const limiter = rateLimiter(slidingWindow({ limit: 2, window: "10s" }), { store, shadow: true });
    expect(await limiter.consume("key", { cost: 2 })).toMatchObject({ allowed: true, remaining: 0 });
    for (const decision of [await limiter.consume("key"), limiter.consumeSync("key"), await limiter.peek("key")]) {
      expect(decision).toMatchObject({ allowed: true, retryAfter: 0 });
      expect(decision.parts).toMatchObject([{ allowed: false, retryAfter: 10_000 }]);
    }
    expect(await limiter.wait("key")).toMatchObject({ allowed: true });
    expect(await limiter.consume("key", { cost: 3 })).toMatchObject({
      allowed: true,
      parts: [{ retryAfter: Infinity }],
    });
    clock.advance(10_000);
    expect(limiter.peekSync("key")).toMatchObject({ remaining: 2, resetAfter: 0 });
  });

  it("a reservation settles what was really charged", async () => {
    const { store } = bench();
    const limiter = rateLimiter(slidingWindow({ limit: 10, window: "10s" }), { store, shadow: true });
    const reservation = await limiter.reserve("key", { cost: 6 });
    await reservation.settle(2);
    expect(limiter.peekSync("key").remaining).toBe(8);
    const cancelled = await limiter.reserve("key", { cost: 6 });
    await cancelled.cancel();
    expect(limiter.peekSync("key").remaining).toBe(8);
  });

  it("beside limiters in force, in one decision", async () => {
    const { store } = bench();
    const policy = (name: string) => slidingWindow({ limit: 10, window: "10s", name });
    const one = rateLimiter(policy("one"), { store, name: "one" });
    const two = rateLimiter(policy("two"), { store, name: "two" });
    const trial = rateLimiter(slidingWindow({ limit: 5, window: "10s", name: "trial" }), {
      store,
      name: "trial",
      shadow: true,
    });
    const together = all(trial.for("key"), one.for("key"), two.for("key"));
    const left = () => [trial, one, two].map((limiter) => limiter.peekSync("key").parts[0]?.remaining);
    const reservation = await together.reserve({ cost: 4 });
    expect(left()).toEqual([1, 6, 6]);
    await reservation.settle(1);
    expect(left()).toEqual([4, 9, 9]);
    const decision = await together.consume({ cost: 5 });
    expect(decision.allowed).toBe(true);
    expect(Object.fromEntries(decision.parts.map(({ policy: name, allowed }) => [name, allowed]))).toEqual({
      trial: false,
      one: true,
      two: true,
    });
    expect(left()).toEqual([4, 4, 4]);
    const cancelled = await together.reserve({ cost: 4 });
    expect(left()).toEqual([0, 0, 0]);
    await cancelled.cancel();
    expect(left()).toEqual([4, 4, 4]);
    expect((await together.consume({ cost: 5 })).allowed).toBe(false);
    expect(left()).toEqual([4, 4, 4]);
  });
});

describe("all", () => {
  it("counts a key twice that two limiters of one name share", async () => {
    const { store } = bench();
    const policy = slidingWindow({ limit: 3, window: "10s" });
    const [one, other] = [rateLimiter(policy, { store }), rateLimiter(policy, { store })];
    const both = all(one.for("key"), other.for("key"));
    expect((await both.consume()).allowed).toBe(true);
    expect(one.peekSync("key").remaining).toBe(1);
    expect((await both.consume()).allowed).toBe(false);
    expect(one.peekSync("key").remaining).toBe(1);
    const reservation = await all(one.for("a"), other.for("a", { cost: 1 })).reserve({ cost: 2 });
    await reservation.settle(0);
    expect(one.peekSync("a").remaining).toBe(2);
  });

  it("over two stores: all are charged, or none, and everything comes back", async () => {
    const [here, there] = [bench(), bench()];
    const one = rateLimiter(slidingWindow({ limit: 2, window: "10s" }), { store: here.store });
    const other = rateLimiter(slidingWindow({ limit: 1, window: "20s" }), { store: there.store });
    const both = all(one.for("key"), other.for("key"));
    expect(await both.consume()).toMatchObject({ allowed: true, remaining: 0 });
    expect(await both.consume()).toMatchObject({ allowed: false, retryAfter: 20_000 });
    expect(one.peekSync("key").remaining).toBe(1);
    const controller = new AbortController();
    const waiting = both.wait({ signal: controller.signal });
    const outcome = expect(waiting).rejects.toThrow("never mind");
    await new Promise(setImmediate);
    expect(other.peekSync("key").retryAfter).toBe(40_000);
    controller.abort(new Error("never mind"));
    await outcome;
    expect(one.peekSync("key").remaining).toBe(1);
    expect(other.peekSync("key").retryAfter).toBe(20_000);
    there.clock.advance(20_000);
    const reservation = await both.reserve();
    await reservation.settle(0);
    expect([one.peekSync("key").remaining, other.peekSync("key").remaining]).toEqual([1, 1]);
    expect(await both.peek({ cost: 2 })).toMatchObject({ allowed: false, retryAfter: Infinity });
    expect(await both.run(() => "done")).toBe("done");
  });

  it("a wait for several ends when any of their limiters closes", async () => {
    const { store } = bench();
    const one = rateLimiter(slidingWindow({ limit: 1, window: "10s" }), { store });
    const other = rateLimiter(slidingWindow({ limit: 1, window: "20s" }), { store });
    const both = all(one.for("key"), other.for("key"));
    await both.consume();
    const waiting = both.wait();
    const outcome = expect(waiting).rejects.toMatchObject({ code: "ERR_CLOSED" });
    await other.close();
    await outcome;
    expect(one.peekSync("key").retryAfter).toBe(10_000);
  });
});

describe("the ends of the range", () => {
  it.each([
    ["a limit of 1 in a microsecond", fixedWindow({ limit: 1, window: 0.001 })],
    ["a sliding microsecond", slidingWindow({ limit: 1, window: 0.001 })],
    ["a counted microsecond", slidingCounter({ limit: 1, window: 0.001 })],
    ["a million tokens a second", tokenBucket({ rate: 1, per: 0.001 })],
    ["more than a token a microsecond", tokenBucket({ rate: 7, per: 0.003, burst: 1 })],
  ])("%s", async (_, policy) => {
    const { clock, store } = bench();
    const limiter = rateLimiter(policy, { store });
    expect(limiter.consumeSync("key").allowed).toBe(true);
    const refused = limiter.consumeSync("key");
    expect(refused.allowed).toBe(false);
    clock.advance(refused.retryAfter);
    expect(limiter.consumeSync("key").allowed).toBe(true);
  });

  it.each([
    ["weeks", "4w"],
    ["years", "1460d"],
  ] as const)("windows of %s", (_, window) => {
    const { clock, store } = bench(1_700_000_000_000_000);
    for (const policy of [
      fixedWindow({ limit: 2, window }),
      fixedWindow({ limit: 2, window, anchor: "epoch" }),
      slidingWindow({ limit: 2, window }),
      slidingCounter({ limit: 2, window }),
      tokenBucket({ rate: 2, per: window }),
      tokenBucket({ rate: 2, per: window, refill: "interval" }),
    ]) {
      const limiter = rateLimiter(policy, { store });
      expect(limiter.consumeSync("key", { cost: 2 }).allowed).toBe(true);
      const { retryAfter } = limiter.consumeSync("key");
      clock.advance(retryAfter - 0.001);
      expect(limiter.consumeSync("key").allowed).toBe(false);
      clock.advance(0.001);
      expect(limiter.consumeSync("key").allowed).toBe(true);
    }
  });

  it("a clock at zero", async () => {
    for (const policy of [
      fixedWindow({ limit: 2, window: "1s" }),
      fixedWindow({ limit: 2, window: "1s", anchor: "epoch" }),
      slidingWindow({ limit: 2, window: "1s" }),
      slidingCounter({ limit: 2, window: "1s" }),
      tokenBucket({ rate: 2, per: "1s" }),
      tokenBucket({ rate: 2, per: "1s", refill: "interval" }),
    ]) {
      const clock = manualClock();
      const limiter = rateLimiter(policy, { store: memoryStore({ clock }) });
      const starts: number[] = [];
      const waits = Array.from({ length: 8 }, () => limiter.wait("key").then(() => starts.push(clock.now())));
      await new Promise(setImmediate);
      expect(starts, policy.algorithm).toEqual([0, 0]);
      while (starts.length < 8) {
        clock.advance(125);
        await new Promise(setImmediate);
      }
      await Promise.all(waits);
      expect(starts, policy.algorithm).toEqual(starts.toSorted((one, other) => one - other));
      for (const start of starts) {
        const most = policy.algorithm === "sliding-window" ? 2 : 4;
        const inside = starts.filter((other) => other >= start && other < start + 1e6);
        expect(inside.length, policy.algorithm).toBeLessThanOrEqual(most);
      }
      expect(clock.now()).toBeGreaterThanOrEqual(3e6);
      limiter.resetSync("key");
      await limiter.charge("key", { cost: 9 });
      expect(limiter.consumeSync("key").allowed).toBe(false);
      await limiter.close();
    }
  });

  it("a debt at a clock of zero is not forgiven", async () => {
    const limiter = rateLimiter(tokenBucket({ rate: 1, per: "1s", burst: 2 }), {
      store: memoryStore({ clock: manualClock() }),
    });
    await limiter.charge("key", { cost: 10 });
    expect(limiter.consumeSync("key").retryAfter).toBe(9000);
    expect(limiter.consumeSync("key").retryAfter).toBe(9000);
  });

  it("a jump of years ahead, and back", () => {
    const { clock, store } = bench(1_700_000_000_000_000);
    const limiter = rateLimiter(slidingWindow({ limit: 2, window: "1h" }), { store });
    clock.advance(20 * 365 * 86_400_000);
    limiter.consumeSync("key", { cost: 2 });
    clock.advance(-20 * 365 * 86_400_000);
    const { allowed, retryAfter } = limiter.consumeSync("key");
    expect([allowed, retryAfter]).toEqual([false, 3_600_000]);
    clock.advance(retryAfter);
    expect(limiter.consumeSync("key").allowed).toBe(true);
  });

  it.each(["__proto__", "constructor", "\0", "a\0b", "\ud800", "\udfff\ud800", "😀", "x".repeat(65_536)])(
    "the key %j",
    (key) => {
      const { store } = bench();
      const limiter = rateLimiter(fixedWindow({ limit: 1, window: "1h" }), { store });
      expect(limiter.consumeSync(key).allowed).toBe(true);
      expect(limiter.consumeSync(key).allowed).toBe(false);
      expect(limiter.consumeSync(`${key.slice(1)}.`).allowed).toBe(true);
      limiter.resetSync(key);
      expect(limiter.consumeSync(key).allowed).toBe(true);
    },
  );

  it("a cost above the limit leaves no trace of a new key", async () => {
    const { store } = bench();
    const limiter = rateLimiter(
      [fixedWindow({ limit: 2, window: "1h" }), slidingWindow({ limit: 3, window: "1h", name: "other" })],
      { store },
    );
    limiter.consumeSync("key", { cost: 3 });
    await limiter.peek("key");
    rateLimiter(fixedWindow({ limit: 2, window: "1h" }), { store }).consumeSync("key", { cost: 3 });
    await expect(limiter.wait("key", { cost: 4 })).rejects.toMatchObject({ wait: Infinity, maxWait: Infinity });
    expect(store.size).toBe(0);
  });

  it("the largest limits are counted to the last unit", () => {
    const { store } = bench();
    const limit = 2 ** 52 - 1;
    for (const policy of [
      fixedWindow({ limit, window: "1h" }),
      slidingWindow({ limit: 2 ** 47, window: "1h" }),
      slidingCounter({ limit, window: "1h" }),
    ]) {
      const limiter = rateLimiter(policy, { store });
      expect(limiter.consumeSync("key", { cost: policy.limit - 1 })).toMatchObject({ allowed: true, remaining: 1 });
      expect(limiter.consumeSync("key", { cost: 2 }).allowed).toBe(false);
      expect(limiter.consumeSync("key")).toMatchObject({ allowed: true, remaining: 0 });
    }
  });
});

it("errors are recognised across copies of the package", async () => {
  const { store } = bench();
  const limiter = rateLimiter(fixedWindow({ limit: 1, window: "1h" }), { store });
  limiter.consumeSync("key");
  const error = await limiter.reserve("key").catch((reason: unknown) => reason);
  expect(isSluiceError(error)).toBe(true);
  expect(error).toMatchObject({ name: "RateLimitExceededError", status: 429, headers: { "Retry-After": "3600" } });
});
