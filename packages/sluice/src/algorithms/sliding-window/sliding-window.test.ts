import { afterEach, describe, expect, it, vi } from "vitest";
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

describe("what a decision touches does not grow with the log", () => {
  /** Reads of the store's arrays of words, which hold the logs. */
  let reads = 0;
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  /** The arrays that are made from here on count what is read of them. */
  function countReads(): void {
    const Words = Uint32Array;
    const counting: ProxyHandler<Uint32Array> = {
      get: (words, at) => {
        reads += 1;
        const value: unknown = Reflect.get(words, at);
        return typeof value === "function" ? value.bind(words) : value;
      },
      set: (words, at, value) => Reflect.set(words, at, value),
    };
    vi.stubGlobal("Uint32Array", function made(length: number) {
      return new Proxy(new Words(length), counting);
    });
  }

  /** A key of so many calls; then what a refusal reads, by turns with a look at another key, so that nothing is left from the last. */
  async function readsOfRefusals(
    calls: number,
    prepare: (given: ReturnType<typeof limiterOf>) => Promise<unknown>,
  ): Promise<number> {
    countReads();
    const given = limiterOf(calls, 1000);
    for (let call = 0; call < calls; call++) {
      given.clock.advance(0.001);
      given.limiter.consumeSync("key");
    }
    await prepare(given);
    given.limiter.consumeSync("key", { cost: 2 });
    reads = 0;
    for (let look = 0; look < 10; look++) {
      expect(given.limiter.consumeSync("key", { cost: 2 }).allowed).toBe(false);
      given.limiter.peekSync("other");
    }
    return reads;
  }

  it.each([20, 20_000])("for a refusal while %d calls have expired", async (calls) => {
    const read = await readsOfRefusals(calls, async ({ clock, limiter }) => {
      clock.advance(900);
      await limiter.charge("key", { cost: calls });
      clock.advance(900);
    });
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(400);
  });

  it.each([20, 20_000])("while someone waits, at %d calls", async (calls) => {
    const read = await readsOfRefusals(calls, async ({ limiter }) => {
      void limiter.wait("key", { maxWait: "1h" });
      await limiter.peek("key");
    });
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(400);
  });
});
