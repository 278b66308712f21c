import { describe, expect, it } from "vitest";
import { memoryStore, rateLimiter, slidingWindow } from "../../index.js";
import { manualClock } from "../../testing/manual-clock.js";

const start = 1_700_000_000_000_000;

function limiterOf(limit: number, window: number) {
  const clock = manualClock(start);
  return { clock, limiter: rateLimiter(slidingWindow({ limit, window }), { store: memoryStore({ clock }) }) };
}

describe("a debt", () => {
  it("is exact beyond what two bytes hold, whatever the limit", async () => {
    const { clock, limiter } = limiterOf(30_000, 1000);
    await limiter.charge("key", { cost: 40_000 });
    clock.advance(1);
    await limiter.charge("key", { cost: 40_000 });
    await limiter.refund("key", { cost: 60_000 });
    expect(limiter.peekSync("key").remaining).toBe(10_000);
    clock.advance(999);
    expect(limiter.peekSync("key").remaining).toBe(30_000);
  });

  it("beyond the most that a window is charged is forgotten, and never lets more in", async () => {
    const { clock, limiter } = limiterOf(10, 1000);
    await limiter.charge("key", { cost: 2 ** 52 });
    await limiter.charge("key", { cost: 2 ** 52 });
    await limiter.refund("key", { cost: 2 ** 47 - 4 });
    expect(limiter.peekSync("key").remaining).toBe(6);
    clock.advance(1000);
    expect(limiter.peekSync("key").remaining).toBe(10);
  });
});

describe("what a decision takes does not grow with the log", () => {
  /** ms: the best of some rounds, so that whatever else the machine does is left out. */
  function best(round: () => void): number {
    return Math.min(
      ...Array.from({ length: 9 }, () => {
        const from = performance.now();
        round();
        return performance.now() - from;
      }),
    );
  }

  /** A key of so many calls; then a look each, by turns with another key, so that nothing is left from the last. */
  async function looks(
    calls: number,
    prepare: (given: ReturnType<typeof limiterOf>) => Promise<unknown>,
  ): Promise<number> {
    const given = limiterOf(calls, 1000);
    for (let call = 0; call < calls; call++) {
      given.clock.advance(0.001);
      given.limiter.consumeSync("key");
    }
    await prepare(given);
    return best(() => {
      for (let look = 0; look < 300; look++) {
        given.limiter.consumeSync("key", { cost: 2 });
        given.limiter.peekSync("other");
      }
    });
  }

  it("for a refusal while thousands of calls have expired", async () => {
    const refusals = (calls: number) =>
      looks(calls, async ({ clock, limiter }) => {
        clock.advance(900);
        await limiter.charge("key", { cost: calls });
        clock.advance(900);
      });
    // each would look at all of them otherwise: a thousand times as much
    expect(await refusals(20_000)).toBeLessThan(40 * (await refusals(20)) + 5);
  });

  it("while someone waits", async () => {
    const refusals = (calls: number) =>
      looks(calls, async ({ limiter }) => {
        void limiter.wait("key", { maxWait: "1h" });
        await limiter.peek("key");
      });
    expect(await refusals(20_000)).toBeLessThan(40 * (await refusals(20)) + 5);
  });
});
