import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  all,
  fixedWindow,
  memoryStore,
  type Policy,
  rateLimiter,
  slidingCounter,
  slidingWindow,
  tokenBucket,
} from "../index.js";
import { manualClock } from "../testing/manual-clock.js";

const second = 1_000_000;
const kinds = (limit: number): readonly (readonly [string, Policy])[] => [
  ["fixed window", fixedWindow({ limit, window: "1s" })],
  ["fixed window on the clock", fixedWindow({ limit, window: "1s", anchor: "epoch" })],
  ["sliding window", slidingWindow({ limit, window: "1s" })],
  ["sliding counter", slidingCounter({ limit, window: "1s" })],
  ["token bucket", tokenBucket({ rate: limit, per: "1s" })],
  ["token bucket by intervals", tokenBucket({ rate: limit, per: "1s", refill: "interval" })],
];
const policies = kinds(3);

function bench(policy: Policy | readonly Policy[]) {
  const clock = manualClock(1_000 * second);
  const store = memoryStore({ clock });
  return { clock, store, limiter: rateLimiter(policy, { store }) };
}

/** Lets everything that can go on go on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

afterEach(() => {
  vi.useRealTimers();
});

describe("thousands of waiters", () => {
  it.each(kinds(30))("%s: all start in the order in which they asked, at the rate", async (_, policy) => {
    const { clock, limiter } = bench(policy);
    const starts: number[] = [];
    const order: number[] = [];
    const calls = Array.from({ length: 3000 }, async (__, index) => {
      await limiter.wait("key");
      order.push(index);
      starts.push(clock.now());
    });
    for (let step = 0; order.length < 3000 && step < 10_000; step++) {
      await turn();
      clock.advance(100);
    }
    await Promise.all(calls);
    expect(order).toEqual(Array.from({ length: 3000 }, (__, index) => index));
    const first = starts[0] as number;
    for (let at = 0; at < starts.length; at += 300) {
      const passed = ((starts[at] as number) - first) / second;
      // nobody starts sooner than the limit allows, and the line moves at the rate
      expect(at + 1).toBeLessThanOrEqual(30 * (passed + 1) + 30);
      const slowest = policy.algorithm === "sliding-counter" ? 0.6 : 1;
      expect(at + 1).toBeGreaterThan(30 * slowest * (passed - 1));
    }
  });

  it("cost one alarm for all, and none when they have gone", async () => {
    vi.useFakeTimers();
    const limiter = rateLimiter(slidingWindow({ limit: 1, window: "1h" }), { store: memoryStore() });
    const calls = Array.from({ length: 5000 }, () => limiter.wait("key"));
    const outcomes = Promise.allSettled(calls.slice(1));
    await calls[0];
    expect(vi.getTimerCount()).toBeLessThanOrEqual(2);
    await limiter.close();
    const codes = (await outcomes).map(
      (outcome) => outcome.status === "rejected" && (outcome.reason as { code: string }).code,
    );
    expect(new Set(codes)).toEqual(new Set(["ERR_CLOSED"]));
    vi.advanceTimersByTime(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("with waits longer than a timer can be set", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "setImmediate", "clearImmediate"] });
    const limiter = rateLimiter(slidingWindow({ limit: 1, window: "60d" }));
    await limiter.wait("key");
    let done = false;
    const waiting = limiter.wait("key").finally(() => {
      done = true;
    });
    await vi.advanceTimersByTimeAsync(59 * 86_400_000);
    expect(done).toBe(false);
    await vi.advanceTimersByTimeAsync(86_400_001);
    expect(done).toBe(true);
    await waiting;
  });
});

describe("giving up", () => {
  it.each(policies)(
    "%s: whoever gives up, in whatever order, the bound holds for those who stay",
    async (_, policy) => {
      const times = policy.algorithm === "sliding-window" ? 1 : 2;
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.oneof(
              {
                weight: 4,
                arbitrary: fc.record({ do: fc.constant("wait" as const), cost: fc.integer({ min: 1, max: 3 }) }),
              },
              { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat(30) }) },
              { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), steps: fc.nat(24) }) },
              { weight: 1, arbitrary: fc.record({ do: fc.constant("turn" as const) }) },
            ),
            { maxLength: 40 },
          ),
          async (steps) => {
            const { clock, limiter } = bench(policy);
            const started: { at: number; cost: number }[] = [];
            const waiting: { abort: () => void; call: Promise<unknown> }[] = [];
            let aborted = 0;
            for (const step of steps) {
              if (step.do === "wait") {
                const controller = new AbortController();
                const call = limiter.wait("key", { cost: step.cost, signal: controller.signal }).then(
                  () => started.push({ at: clock.now(), cost: step.cost }),
                  () => {
                    aborted += 1;
                  },
                );
                waiting.push({ abort: () => controller.abort(), call });
              } else if (step.do === "abort") waiting[step.which]?.abort();
              else if (step.do === "pass") {
                // in steps of which every start is a multiple, so that each notes its own moment
                for (let left = step.steps; left > 0; left -= 1) {
                  await turn();
                  clock.advance(50);
                }
              } else await turn();
            }
            for (let left = 0; started.length + aborted < waiting.length && left < 3000; left++) {
              await turn();
              clock.advance(50);
            }
            await Promise.all(waiting.map(({ call }) => call));
            for (const { at } of started) {
              const inside = started.filter((each) => each.at >= at && each.at < at + second);
              expect(inside.reduce((sum, { cost }) => sum + cost, 0)).toBeLessThanOrEqual(times * 3);
            }
            clock.advance(10_000);
            expect(limiter.peekSync("key")).toMatchObject({ remaining: 3, resetAfter: 0 });
            await limiter.close();
          },
        ),
        { numRuns: 60 },
      );
    },
  );

  it("several policies: a wait that is given up leaves all of them as if it had never asked", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(
          policies.map(([name, policy]) => [name, policy] as const),
          { minLength: 2, maxLength: 4 },
        ),
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(1_500_000), { minLength: 6, maxLength: 6 }),
        async (chosen, before, giving, gaps) => {
          const named = chosen.map(([name, policy]) => remade(name, policy));
          const [asked, spared] = [bench(named), bench(named)];
          for (const [index, cost] of before.entries()) {
            for (const { clock, limiter } of [asked, spared]) {
              limiter.consumeSync("key", { cost });
              clock.advance((gaps[index] as number) / 1000);
            }
          }
          const controller = new AbortController();
          const immediate: number[] = [];
          const calls = giving.map((cost) => {
            if (asked.limiter.peekSync("key", { cost }).allowed) immediate.push(cost);
            return asked.limiter.wait("key", { cost, signal: controller.signal });
          });
          for (const cost of immediate) spared.limiter.consumeSync("key", { cost });
          controller.abort();
          await Promise.allSettled(calls);
          for (let cost = 1; cost <= 3; cost++) {
            expect(asked.limiter.peekSync("key", { cost })).toEqual(spared.limiter.peekSync("key", { cost }));
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it("after the start is too late: what was granted stays spent", async () => {
    const { clock, limiter } = bench(slidingWindow({ limit: 1, window: "1s" }));
    await limiter.wait("key");
    const controller = new AbortController();
    const waiting = limiter.wait("key", { signal: controller.signal });
    clock.advance(1000);
    controller.abort();
    expect(await waiting).toMatchObject({ allowed: true });
    expect(limiter.peekSync("key")).toMatchObject({ allowed: false, retryAfter: 1000 });
  });

  it("rejects with the signal's own reason, one listener for a signal however many wait", async () => {
    const { limiter } = bench(slidingWindow({ limit: 1, window: "1s" }));
    const controller = new AbortController();
    const add = vi.spyOn(controller.signal, "addEventListener");
    const remove = vi.spyOn(controller.signal, "removeEventListener");
    const calls = Array.from({ length: 100 }, () => limiter.wait("key", { signal: controller.signal }));
    const outcomes = Promise.allSettled(calls.slice(1));
    await calls[0];
    expect(add).toHaveBeenCalledTimes(1);
    const reason = { why: "no longer needed" };
    controller.abort(reason);
    for (const outcome of await outcomes) expect(outcome).toEqual({ status: "rejected", reason });
    expect(limiter.peekSync("key").retryAfter).toBe(1000);
    const other = new AbortController();
    const removed = vi.spyOn(other.signal, "removeEventListener");
    const waiting = limiter.wait("key", { signal: other.signal });
    const closed = expect(waiting).rejects.toMatchObject({ code: "ERR_CLOSED" });
    await limiter.close();
    await closed;
    expect(removed).toHaveBeenCalledTimes(1);
    expect(remove.mock.calls.length).toBeLessThanOrEqual(1);
  });

  it("closing takes back what waits, so that another limiter on the store goes on", async () => {
    const { store, limiter } = bench(slidingWindow({ limit: 1, window: "1s" }));
    await limiter.wait("key");
    const calls = Array.from({ length: 50 }, () => limiter.wait("key"));
    const outcomes = Promise.allSettled(calls);
    await limiter.close();
    await outcomes;
    const next = rateLimiter(slidingWindow({ limit: 1, window: "1s" }), { store });
    expect(next.peekSync("key").retryAfter).toBe(1000);
  });

  it("of some who wait with all() leaves the turns of the others", async () => {
    const clock = manualClock(second);
    const store = memoryStore({ clock });
    const user = rateLimiter(slidingWindow({ limit: 1, window: "1s" }), { store });
    const tenant = rateLimiter(slidingWindow({ limit: 2, window: "3s" }), { store });
    const both = all(user.for("a"), tenant.for("t"));
    await both.consume();
    const controller = new AbortController();
    const done: string[] = [];
    const first = both.wait({ signal: controller.signal }).catch(() => done.push("gave up"));
    const secondCall = both.wait().then(() => done.push("second"));
    controller.abort();
    await first;
    for (let step = 0; step < 30; step++) {
      clock.advance(100);
      await turn();
    }
    await secondCall;
    expect(done).toEqual(["gave up", "second"]);
  });
});

it("whoever asks when the loop has been busy starts after those whose moment had come", async () => {
  let now = 1_000 * second;
  // a clock that nobody is told of, as the platform's: its timers are late
  const limiter = rateLimiter(slidingWindow({ limit: 1, window: "1h" }), {
    store: memoryStore({ clock: { now: () => now } }),
  });
  limiter.consumeSync("key");
  const order: string[] = [];
  const first = limiter.wait("key").then(() => order.push("first"));
  now += 2 * 3600 * second;
  const next = limiter.wait("key").then(() => order.push("next"));
  await Promise.all([first, next]);
  expect(order).toEqual(["first", "next"]);
});

/** The same policy under a name of its own. */
function remade(name: string, policy: Policy): Policy {
  const [limit, window] = [policy.limit, policy.window];
  if (policy.algorithm === "fixed-window") {
    return fixedWindow({ limit, window, name, anchor: name.endsWith("clock") ? "epoch" : "first" });
  }
  if (policy.algorithm === "sliding-window") return slidingWindow({ limit, window, name });
  if (policy.algorithm === "sliding-counter") return slidingCounter({ limit, window, name });
  return tokenBucket({
    rate: limit,
    per: window,
    name,
    refill: name.endsWith("intervals") ? "interval" : "continuous",
  });
}
