import fc from "fast-check";
import { fixedWindow, memoryStore, type Policy, rateLimiter, slidingCounter, slidingWindow, tokenBucket } from "sluice";
import { type PolicyReport, simulate, simulation, type TimedRequest } from "sluice/simulate";
import { manualClock } from "sluice/testing";
import { describe, expect, it } from "vitest";

const second = 1_000_000;

const policies: readonly Policy[] = [
  fixedWindow({ limit: 5, window: "1s" }),
  fixedWindow({ limit: 5, window: "1s", anchor: "epoch" }),
  slidingWindow({ limit: 5, window: "1s" }),
  slidingCounter({ limit: 5, window: "1s" }),
  tokenBucket({ rate: 7, per: "1s", burst: 5 }),
  tokenBucket({ rate: 7, per: "1s", burst: 5, refill: "interval" }),
];

const traffic = fc
  .array(
    fc.record({
      gap: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: second }), fc.integer({ min: 0, max: 5 * second })),
      key: fc.constantFrom("a", "b", "c", "__proto__"),
      cost: fc.integer({ min: 0, max: 7 }),
    }),
    { maxLength: 200 },
  )
  .map((steps) => {
    let at = 1_700_000_000 * second;
    return steps.map(({ gap, key, cost }) => {
      at += gap;
      return { at, key, cost };
    });
  });

function only(report: { readonly policies: readonly PolicyReport[] }): PolicyReport {
  expect(report.policies).toHaveLength(1);
  return report.policies[0] as PolicyReport;
}

describe("simulation", () => {
  it("counts what the limiter itself says to each call, for every policy on its own", async () => {
    await fc.assert(
      fc.asyncProperty(traffic, async (requests) => {
        const report = await simulate(requests, { policies });
        expect(report.requests).toBe(requests.length);
        expect(report.cost).toBe(requests.reduce((sum, { cost }) => sum + cost, 0));
        expect(report.distinctKeys).toBe(new Set(requests.map(({ key }) => key)).size);
        expect(report.from).toBe(requests[0] === undefined ? undefined : requests[0].at / 1000);
        expect(report.to).toBe(requests.length === 0 ? undefined : (requests.at(-1) as TimedRequest).at / 1000);
        for (const [index, policy] of policies.entries()) {
          const clock = manualClock();
          const limiter = rateLimiter(policy, { store: memoryStore({ clock }) });
          const shut = new Map<string, { since: number; until: number }>();
          const lockOuts: number[] = [];
          const refusals = requests.flatMap(({ at, key, cost }) => {
            clock.set(at);
            if (cost === 0) return [];
            const { allowed, retryAfter } = limiter.consumeSync(key, { cost });
            const { since, until } = shut.get(key) ?? { since: at, until: 0 };
            if (allowed && shut.delete(key)) lockOuts.push(Math.min(at, until) - since);
            if (!allowed && Number.isFinite(retryAfter)) {
              shut.set(key, { since, until: Math.max(until, at + Math.round(retryAfter * 1000)) });
            }
            return allowed ? [] : [{ key, cost, wait: retryAfter }];
          });
          lockOuts.push(...[...shut.values()].map(({ since, until }) => until - since));
          const waits = refusals.map(({ wait }) => wait).filter(Number.isFinite);
          const found = report.policies[index] as PolicyReport;
          expect(found).toMatchObject({
            policy: "default",
            algorithm: policy.algorithm,
            limit: policy.limit,
            window: policy.window,
            allowed: requests.length - refusals.length,
            refused: refusals.length,
            refusedShare: requests.length === 0 ? 0 : refusals.length / requests.length,
            refusedCost: refusals.reduce((sum, { cost }) => sum + cost, 0),
            allowedCost: report.cost - refusals.reduce((sum, { cost }) => sum + cost, 0),
            impossible: refusals.length - waits.length,
            refusedKeys: new Set(refusals.map(({ key }) => key)).size,
            refusedKeysExact: true,
            longestLockout: Math.max(0, ...lockOuts) / 1000,
            exact: true,
          });
          expect(found.wait?.longest).toBe(waits.length === 0 ? undefined : Math.max(...waits));
          for (const { key, refused, overestimate } of found.topRefusedKeys) {
            expect(refused).toBe(refusals.filter((refusal) => refusal.key === key).length);
            expect(overestimate).toBe(0);
          }
        }
      }),
    );
  });

  it("gives the waits that refusals announced, and says whom the longest shut out", async () => {
    const requests = [
      { at: 0, key: "a" },
      { at: 100_000, key: "a" },
      { at: 400_000, key: "a" },
      { at: 400_000, key: "b" },
      { at: 900_001, key: "b" },
      { at: 950_000, key: "a", cost: 0 },
      { at: 1_000_000, key: "a" },
    ];
    const report = only(await simulate(requests, { policies: [fixedWindow({ limit: 1, window: "1s" })] }));
    expect(report.wait).toEqual({ p50: 600, p95: 900, p99: 900, longest: 900 });
    expect(report).toMatchObject({ longestLockout: 900, longestLockoutKey: "a", refused: 3 });
    expect(report.topRefusedKeys).toEqual([
      { key: "a", refused: 2, overestimate: 0 },
      { key: "b", refused: 1, overestimate: 0 },
    ]);
  });

  it("keeps calls that can never pass out of the waits", async () => {
    const report = only(
      await simulate([{ at: 5, key: "a", cost: 2 }], { policies: [slidingWindow({ limit: 1, window: "1s" })] }),
    );
    expect(report).toMatchObject({
      refused: 1,
      impossible: 1,
      wait: undefined,
      longestLockout: 0,
      longestLockoutKey: undefined,
    });
  });

  it("lets a call that costs nothing pass without asking", async () => {
    const free = { at: 1, key: "a", cost: 0 };
    const requests = [{ at: 1, key: "a" }, free, free, { at: 1, key: "a" }];
    const report = only(await simulate(requests, { policies: [slidingWindow({ limit: 1, window: "1s" })] }));
    expect(report).toMatchObject({ allowed: 3, refused: 1, allowedCost: 1, refusedCost: 1 });
  });

  it("can be asked on the way, and changes nothing by it", () => {
    const replay = simulation({ policies: [slidingWindow({ limit: 1, window: "1s" })] });
    expect(replay.report()).toMatchObject({ requests: 0, from: undefined, to: undefined, distinctKeys: 0 });
    replay.request(1, "a");
    expect(replay.report()).toMatchObject({ requests: 1, from: 0.001, to: 0.001 });
    replay.request(2, "a");
    expect(only(replay.report()).refused).toBe(1);
  });

  it("names as many keys as were asked for", () => {
    const replay = simulation({ policies: [slidingWindow({ limit: 1, window: "1s" })], topKeys: 2 });
    for (const key of ["a", "b", "c"]) for (let call = 0; call < 2; call++) replay.request(7, key);
    expect(only(replay.report()).topRefusedKeys.map(({ key }) => key)).toEqual(["a", "b"]);
  });

  it("counts refusals without an admission between them as one lock-out", () => {
    const replay = simulation({ policies: [slidingWindow({ limit: 1, window: "1s" })] });
    for (const at of [0, 400_000, 800_000]) replay.request(at, "a", at === 400_000 ? 2 : 1);
    // what can never pass shuts nobody out
    expect(only(replay.report())).toMatchObject({ longestLockout: 200, longestLockoutKey: "a" });
    replay.request(900_000, "a");
    expect(only(replay.report())).toMatchObject({ longestLockout: 200, wait: { longest: 200 } });
    const bucket = simulation({ policies: [tokenBucket({ rate: 10, per: "1s" })] });
    bucket.request(0, "b", 10);
    for (let at = 0; at <= 900_000; at += 100_000) bucket.request(at, "b", 10);
    expect(only(bucket.report())).toMatchObject({ longestLockout: 1000, wait: { longest: 1000, p50: 500 } });
  });

  it("is exact as long as no key had to make room for another", () => {
    const replay = simulation({ policies: [slidingWindow({ limit: 1, window: "1s" })], maxKeys: 3 });
    for (let key = 0; key < 3; key++) replay.request(7, `key ${key}`);
    expect(only(replay.report()).exact).toBe(true);
    // all are fresh again: to forget one costs nothing
    for (let key = 3; key < 6; key++) replay.request(9 * second, `key ${key}`);
    expect(only(replay.report()).exact).toBe(true);
    replay.request(9 * second, "key 6");
    expect(only(replay.report()).exact).toBe(false);
  });

  it("says what is not exact when there are more keys than it may remember", () => {
    const replay = simulation({ policies: [slidingWindow({ limit: 1, window: "1h" })], maxKeys: 3 });
    for (let key = 0; key < 3; key++) for (let call = 0; call < 2; call++) replay.request(7, `key ${key}`);
    for (let call = 0; call < 2; call++) replay.request(8, "one more");
    expect(replay.report()).toMatchObject({ distinctKeys: 3, distinctKeysExact: false });
    expect(only(replay.report())).toMatchObject({ refusedKeys: 3, refusedKeysExact: false, exact: false });
    const small = simulation({ policies: [slidingWindow({ limit: 1, window: "1h" })], maxKeys: 3 });
    for (let key = 0; key < 2; key++) small.request(7, `key ${key}`);
    expect(small.report()).toMatchObject({ distinctKeys: 2, distinctKeysExact: true });
    expect(only(small.report()).exact).toBe(true);
  });

  it("reads what comes over time, too", async () => {
    async function* later(): AsyncGenerator<TimedRequest> {
      yield { at: 1, key: "a" };
      await Promise.resolve();
      yield { at: 2, key: "a" };
    }
    expect((await simulate(later(), { policies })).requests).toBe(2);
  });

  it("refuses what is wrong, with a code, and counts nothing of it", () => {
    const options = { policies: [slidingWindow({ limit: 9, window: "1s" })] };
    const replay = simulation(options);
    replay.request(10, "a");
    const code = (value: string) => expect.objectContaining({ code: value });
    for (const at of [9, -1, 10.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 52]) {
      expect(() => replay.request(at, "a")).toThrow(code("ERR_INVALID_ARGUMENT"));
    }
    for (const cost of [-1, 0.5, Number.NaN]) {
      expect(() => replay.request(11, "a", cost)).toThrow(code("ERR_INVALID_COST"));
    }
    for (const cost of [0, 1]) expect(() => replay.request(11, "", cost)).toThrow(code("ERR_INVALID_KEY"));
    expect(replay.report()).toMatchObject({ requests: 1, to: 0.01 });
    replay.request(10, "a");
    expect(() => simulation(undefined as never)).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(() => simulation({ policies: [] })).toThrow(code("ERR_INVALID_POLICY"));
    expect(() => simulation({ policies: [{}] as never })).toThrow(code("ERR_INVALID_POLICY"));
    for (const wrong of [{ topKeys: -1 }, { topKeys: 1001 }, { maxKeys: 0 }, { maxKeys: 1.5 }]) {
      expect(() => simulation({ ...options, ...wrong })).toThrow(code("ERR_INVALID_ARGUMENT"));
    }
  });
});
