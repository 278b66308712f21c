import { expect, it, vi } from "vitest";
import { type Driver, driverOf, type Store } from "../core/store.js";
import { memoryStore } from "../stores/memory/memory.js";
import type { StoreUnderTest } from "./bench.js";
import { laws, storeConformance } from "./conformance.js";
import { manualClock } from "./manual-clock.js";

interface Report {
  readonly passed: string[];
  readonly skipped: string[];
  readonly failed: Map<string, string>;
}

/** Runs the suite with a runner of our own. */
async function run(create: () => Promise<StoreUnderTest>): Promise<Report> {
  const tests: { name: string; body: (context?: unknown) => Promise<void> }[] = [];
  storeConformance("a store", create, {
    describe: (_name, body) => body(),
    it: (name, body) => tests.push({ name, body }),
    effort: 0.5,
  });
  const report: Report = { passed: [], skipped: [], failed: new Map() };
  for (const { name, body } of tests) {
    const skip = vi.fn();
    try {
      await body({ skip });
      (skip.mock.calls.length > 0 ? report.skipped : report.passed).push(name);
    } catch (error) {
      report.failed.set(name, (error as Error).message);
    }
  }
  return report;
}

/** A memory store whose driver is tampered with. */
function tampered(tamper: (driver: Driver) => Partial<Driver>): () => Promise<StoreUnderTest> {
  return async () => {
    const clock = manualClock(1_700_000_000_000_000);
    const store = memoryStore({ clock }) as Store as Store & { [driverOf]: Driver };
    const driver = store[driverOf];
    Object.assign(driver, tamper(driver));
    return { store, advance: (ms) => clock.advance(ms) };
  };
}

it("without a clock that can be moved runs the laws that need none, and skips the others by name", async () => {
  const dispose = vi.fn(async () => {});
  const { passed, skipped, failed } = await run(async () => ({ store: memoryStore(), dispose }));
  expect([...failed]).toEqual([]);
  expect(skipped).toEqual(laws.filter(({ moves }) => moves).map(({ name }) => name));
  expect(passed).toEqual(laws.filter(({ moves }) => !moves).map(({ name }) => name));
  expect(dispose).toHaveBeenCalledTimes(laws.length);
});

it("finds a clock in the wrong unit, and names the seed and the history", async () => {
  const { failed } = await run(async () => {
    const clock = manualClock(1_700_000_000_000_000);
    return { store: memoryStore({ clock }), advance: (ms) => clock.advance(2 * ms) };
  });
  expect(failed.size).toBeGreaterThan(10);
  expect([...failed.values()].find((message) => message.includes("\n  after "))).toMatch(
    /^seed \d+: .*\n {2}after .*\n/,
  );
});

it("finds a store that charges what it only looks at", async () => {
  const { failed } = await run(
    tampered((driver) => {
      const decide = driver.decide.bind(driver);
      return { decide: (asks, maxWait, _spend, keep, timeout) => decide(asks, maxWait, true, keep, timeout) };
    }),
  );
  expect([...failed.keys()]).toEqual(
    expect.arrayContaining([expect.stringMatching(/^looking/), expect.stringMatching(/^equal/)]),
  );
});

it("finds a store that gives nothing back", async () => {
  const { failed } = await run(
    tampered((driver) => {
      const decide = driver.decide.bind(driver);
      return {
        decide: async (asks, maxWait, spend, keep, timeout) => {
          const verdict = await decide(asks, maxWait, spend, keep, timeout);
          const ticket = verdict.ticket === undefined ? undefined : { cancel: () => {}, settle: () => {} };
          return { ...verdict, ticket };
        },
      };
    }),
  );
  expect([...failed.keys()].map((name) => name.split(":")[0])).toEqual(
    expect.arrayContaining(["giving up", "settling", "cancelling"]),
  );
});

it("needs a runner", () => {
  expect(() => storeConformance("a store", async () => ({ store: memoryStore() }))).toThrow(
    expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
  );
});
