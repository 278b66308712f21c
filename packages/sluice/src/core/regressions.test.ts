import { describe, expect, it } from "vitest";
import {
  fixedWindow,
  memoryStore,
  type Policy,
  rateLimiter,
  slidingCounter,
  slidingWindow,
  tokenBucket,
} from "../index.js";
import { manualClock } from "../testing/manual-clock.js";

/** What five systems before this one got wrong, each as a test by its number in that list. Times in ms. */

const second = 1000;
const kinds = (limit: number, window: number): readonly (readonly [string, Policy])[] => [
  ["fixed window", fixedWindow({ limit, window })],
  ["fixed window on the clock", fixedWindow({ limit, window, anchor: "epoch" })],
  ["sliding window", slidingWindow({ limit, window })],
  ["sliding counter", slidingCounter({ limit, window })],
  ["token bucket", tokenBucket({ rate: limit, per: window })],
  ["token bucket by intervals", tokenBucket({ rate: limit, per: window, refill: "interval" })],
];

function bench(policy: Policy, start = 1_000_000_000_000) {
  const clock = manualClock(start);
  const limiter = rateLimiter(policy, { store: memoryStore({ clock }) });
  return { clock, limiter };
}

describe("regression 1: 2000 calls in one tick, limit 5, admit exactly 5", () => {
  it.each(kinds(5, second))("%s", async (_, policy) => {
    const { limiter } = bench(policy);
    const decisions = await Promise.all(Array.from({ length: 2000 }, () => limiter.consume("key")));
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(5);
  });
});

describe("regression 2: 100 wrapped concurrent calls at 5 a second start at most 5 times in any second", () => {
  it.each([
    ["sliding window", slidingWindow({ limit: 5, window: second })],
    ["paced token bucket", tokenBucket({ rate: 5, per: second, burst: 1 })],
  ])("%s", async (_, policy) => {
    const { clock, limiter } = bench(policy);
    const starts: number[] = [];
    const call = limiter.wrap({ key: "key" })(async (index: number) => {
      starts.push(clock.now());
      return index;
    });
    const calls = Promise.all(Array.from({ length: 100 }, (__, index) => call(index)));
    for (let step = 0; step < 21_000 && starts.length < 100; step += 50) {
      await new Promise(setImmediate);
      clock.advance(50);
    }
    expect(await calls).toEqual(Array.from({ length: 100 }, (__, index) => index));
    for (const start of starts) {
      expect(starts.filter((other) => other >= start && other < start + 1e6).length).toBeLessThanOrEqual(5);
    }
  });
});

describe("regression 3: polling at twice the rate for 6 seconds is admitted at the rate", () => {
  it.each(kinds(5, second))("%s", (_, policy) => {
    const { clock, limiter } = bench(policy);
    let admitted = 0;
    for (let poll = 0; poll < 60; poll++) {
      if (limiter.consumeSync("key").allowed) admitted += 1;
      clock.advance(100);
    }
    // the sliding counter takes the window before as evenly spread, and so refuses some that a log would allow
    expect(admitted).toBeGreaterThanOrEqual(policy.algorithm === "sliding-counter" ? 25 : 30);
    expect(admitted).toBeLessThanOrEqual(35);
  });
});

describe("regression 4: one token an hour, idle for 31 seconds, is still denied", () => {
  it.each(kinds(1, 3600 * second))("%s", (_, policy) => {
    const { clock, limiter } = bench(policy, 3600e6 * 1000);
    expect(limiter.consumeSync("key").allowed).toBe(true);
    clock.advance(31 * second);
    const { allowed, retryAfter } = limiter.consumeSync("key");
    expect(allowed).toBe(false);
    expect(retryAfter).toBeGreaterThanOrEqual((3600 - 31) * second);
  });
});

describe("regression 5: a thousand callers who gave up leave the next caller's wait unchanged", () => {
  it.each(kinds(1, second))("%s: who would not wait so long", async (_, policy) => {
    const { limiter } = bench(policy);
    limiter.consumeSync("key");
    const { retryAfter } = limiter.peekSync("key");
    const calls = Array.from({ length: 1000 }, () => limiter.wait("key", { maxWait: retryAfter - 1 }));
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.every(({ status }) => status === "rejected")).toBe(true);
    expect(limiter.peekSync("key").retryAfter).toBe(retryAfter);
  });

  it.each(kinds(1, second))("%s: who were aborted while they waited", async (_, policy) => {
    const { limiter } = bench(policy);
    limiter.consumeSync("key");
    const { retryAfter } = limiter.peekSync("key");
    const controller = new AbortController();
    const calls = Array.from({ length: 1000 }, () => limiter.wait("key", { signal: controller.signal }));
    const outcomes = Promise.allSettled(calls);
    expect(limiter.peekSync("key").retryAfter).toBeGreaterThanOrEqual(1000 * second);
    controller.abort();
    expect((await outcomes).every(({ status }) => status === "rejected")).toBe(true);
    expect(limiter.peekSync("key").retryAfter).toBe(retryAfter);
  });

  it.each(kinds(1, second))("%s: whose timeouts went off one by one", async (_, policy) => {
    const { limiter } = bench(policy);
    limiter.consumeSync("key");
    const { retryAfter } = limiter.peekSync("key");
    const calls = Array.from({ length: 1000 }, (__, index) =>
      limiter.wait("key", { signal: AbortSignal.timeout(5 + (index % 50)) }),
    );
    expect((await Promise.allSettled(calls)).every(({ status }) => status === "rejected")).toBe(true);
    expect(limiter.peekSync("key").retryAfter).toBe(retryAfter);
  });

  it.each(kinds(1, second))("%s: the oldest first, one a turn", async (_, policy) => {
    const { limiter } = bench(policy);
    limiter.consumeSync("key");
    const { retryAfter } = limiter.peekSync("key");
    const signals = Array.from({ length: 20 }, () => new AbortController());
    const calls = signals.map(({ signal }) => limiter.wait("key", { signal }).catch(() => {}));
    for (const [index, controller] of signals.entries()) {
      controller.abort();
      await calls[index];
    }
    expect(limiter.peekSync("key").retryAfter).toBe(retryAfter);
  });

  it.each(kinds(1, second))("%s: while a reservation before them is settled", async (_, policy) => {
    const { clock, limiter } = bench(policy);
    const spared = rateLimiter(policy, { store: memoryStore({ clock }) });
    const reservations = await Promise.all([limiter, spared].map((each) => each.reserve("key")));
    const signals = Array.from({ length: 20 }, () => new AbortController());
    const calls = signals.map(({ signal }) => limiter.wait("key", { signal }).catch(() => {}));
    for (const reservation of reservations) await reservation.settle(3);
    for (const [index, controller] of signals.entries()) {
      controller.abort();
      await calls[index];
    }
    expect(limiter.peekSync("key")).toEqual(spared.peekSync("key"));
    await spared.close();
  });

  it.each(kinds(1, second))("%s: of whom some stay", async (_, policy) => {
    const { clock, limiter } = bench(policy);
    limiter.consumeSync("key");
    const signals = Array.from({ length: 100 }, () => new AbortController());
    const calls = signals.map(({ signal }) => limiter.wait("key", { signal }));
    const outcomes = Promise.allSettled(calls);
    const untilFourth = (): number => limiter.peekSync("key").retryAfter;
    const others = rateLimiter(policy, { store: memoryStore({ clock }) });
    others.consumeSync("key");
    const stayed = Array.from({ length: 3 }, () => others.wait("key").catch(() => {}));
    for (const { abort } of signals.slice(3).map((each) => ({ abort: () => each.abort() }))) {
      abort();
      await Promise.resolve();
    }
    expect(untilFourth()).toBe(others.peekSync("key").retryAfter);
    await limiter.close();
    await others.close();
    await Promise.all([outcomes, ...stayed]);
  });
});

describe("regression 6: one caller whose clock is a minute ahead does not shift the others", () => {
  it.each(kinds(3, second))("%s: the clock is the store's, and a jump that is taken back heals", (_, policy) => {
    const { clock, limiter } = bench(policy);
    clock.advance(60 * second);
    for (let call = 0; call < 3; call++) limiter.consumeSync("key");
    clock.advance(-60 * second);
    let waited = 0;
    while (!limiter.consumeSync("key").allowed) {
      clock.advance(100);
      waited += 100;
      expect(waited).toBeLessThanOrEqual(3 * second);
    }
  });
});

describe("regression 9: polling an empty bucket each 0.9 T for 900 T keeps the carry", () => {
  it.each([
    [2, 899, 901],
    [1, 499, 501],
  ])("burst %i", (burst, least, most) => {
    const { clock, limiter } = bench(tokenBucket({ rate: 1, per: second, burst }));
    limiter.consumeSync("key", { cost: burst });
    let admitted = 0;
    for (let poll = 1; poll <= 1000; poll++) {
      clock.advance(900);
      if (limiter.consumeSync("key").allowed) admitted += 1;
    }
    expect(admitted).toBeGreaterThanOrEqual(least);
    expect(admitted).toBeLessThanOrEqual(most);
  });
});

describe("regression 10: the first call after 24 idle hours is allowed", () => {
  it.each(kinds(5, second))("%s", (_, policy) => {
    const { clock, limiter } = bench(policy);
    for (let call = 0; call < 6; call++) limiter.consumeSync("key");
    expect(limiter.consumeSync("key").allowed).toBe(false);
    clock.advance(86_400 * second);
    expect(limiter.consumeSync("key")).toMatchObject({ allowed: true, remaining: 4 });
  });
});

it("regression 12: a bucket of 600 at 1 a second that idles for 2.1 seconds has earned 2, not 600", () => {
  const { clock, limiter } = bench(tokenBucket({ rate: 1, per: second, burst: 600 }));
  limiter.consumeSync("key", { cost: 600 });
  clock.advance(2100);
  expect(limiter.peekSync("key").remaining).toBe(2);
});

describe("regression 13: a retry in a third of a second is not told as 0", () => {
  it("token bucket", () => {
    const { clock, limiter } = bench(tokenBucket({ rate: 3, per: second, burst: 1 }));
    limiter.consumeSync("key");
    expect(limiter.consumeSync("key").retryAfter).toBe(333.334);
    clock.advance(333.333);
    expect(limiter.consumeSync("key")).toMatchObject({ allowed: false, retryAfter: 0.001 });
    clock.advance(0.001);
    expect(limiter.consumeSync("key").allowed).toBe(true);
  });
});

describe("regression 14: a cost above the limit is impossible, not a matter of time", () => {
  it.each(kinds(5, second))("%s", async (_, policy) => {
    const { limiter } = bench(policy);
    expect(limiter.consumeSync("key", { cost: 6 })).toMatchObject({
      allowed: false,
      retryAfter: Infinity,
      remaining: 5,
    });
    await expect(limiter.wait("key", { cost: 6 })).rejects.toMatchObject({
      code: "ERR_MAX_WAIT_EXCEEDED",
      wait: Infinity,
    });
    expect(limiter.consumeSync("key", { cost: 5 }).allowed).toBe(true);
  });
});
