import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { manualClock } from "../testing/manual-clock.js";
import { RetryBudget } from "./budget.js";

const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ calls: fc.nat(20) }) },
    { weight: 4, arbitrary: fc.record({ failures: fc.nat(20) }) },
    { weight: 2, arbitrary: fc.record({ pause: fc.nat(3000) }) },
    { weight: 1, arbitrary: fc.record({ pause: fc.constantFrom(999, 1000, 9999, 10_000, 10_001, 86_400_000) }) },
  ),
  { maxLength: 80 },
);

/** Retries granted of so many asked for. */
function granted(budget: RetryBudget, asked: number): number {
  return Array.from({ length: asked }, () => budget.spend()).filter(Boolean).length;
}

function called(budget: RetryBudget, calls: number): void {
  for (let call = 0; call < calls; call++) budget.earn();
}

describe("RetryBudget", () => {
  it("law R1: never more retries than the share of calls and the reserve allow", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0, 0.01, 0.07, 0.1, 0.2, 0.29, 1 / 3, 0.5, 1),
        fc.oneof(fc.constant(0), fc.double({ min: 0.05, max: 30, noNaN: true }), fc.integer({ min: 1, max: 10 })),
        steps,
        (ratio, minPerSecond, sequence) => {
          const clock = manualClock(123_456_789);
          const start = clock.now();
          const budget = new RetryBudget({ ratio, minPerSecond }, clock);
          let [calls, retries] = [0, 0];
          for (const step of sequence) {
            if ("calls" in step) {
              calls += step.calls;
              for (let call = 0; call < step.calls; call++) budget.earn();
            } else if ("failures" in step) {
              for (let failure = 0; failure < step.failures; failure++) if (budget.spend()) retries += 1;
            } else {
              clock.advance(step.pause);
            }
            const elapsed = (clock.now() - start) / 1e6;
            const reserve = minPerSecond === 0 ? 0 : minPerSecond * elapsed + Math.max(1, minPerSecond);
            expect(retries).toBeLessThanOrEqual(ratio * calls + reserve + 1e-6);
          }
        },
      ),
    );
  });

  it.each([
    [0.1, 10, 1],
    [0.1, 9, 0],
    [0.2, 100, 20],
    [0.29, 100, 29],
    [1 / 3, 3, 1],
    [1, 7, 7],
    [0, 1000, 0],
  ])("a ratio of %d grants, of %i calls, %i retries and no more", (ratio, calls, retries) => {
    const budget = new RetryBudget({ ratio, minPerSecond: 0 }, manualClock());
    called(budget, calls);
    expect(granted(budget, calls + 10)).toBe(retries);
    expect(budget.spend()).toBe(false);
  });

  it("forgets calls after ten seconds, and the retries that they paid for too", () => {
    const clock = manualClock();
    const budget = new RetryBudget({ ratio: 0.5, minPerSecond: 0 }, clock);
    called(budget, 100);
    clock.advance(9999);
    expect(granted(budget, 20)).toBe(20);
    clock.advance(1);
    expect(budget.spend()).toBe(false);
    called(budget, 50);
    expect(granted(budget, 20)).toBe(5);
    clock.advance(9999);
    expect(granted(budget, 100)).toBe(20);
    clock.advance(3_600_000);
    expect(budget.spend()).toBe(false);
  });

  it("grants the reserve of a second at once, and then as it comes back", () => {
    const clock = manualClock();
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 4 }, clock);
    expect(granted(budget, 10)).toBe(4);
    clock.advance(249.999);
    expect(budget.spend()).toBe(false);
    clock.advance(0.001);
    expect(granted(budget, 10)).toBe(1);
    clock.advance(60_000);
    expect(granted(budget, 10)).toBe(4);
  });

  it("grants one at once of less than one a second", () => {
    const clock = manualClock();
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 0.1 }, clock);
    expect(granted(budget, 10)).toBe(1);
    clock.advance(9999);
    expect(budget.spend()).toBe(false);
    clock.advance(1);
    expect(granted(budget, 10)).toBe(1);
  });

  it("survives a clock that is put back", () => {
    const clock = manualClock(100_000_000);
    const budget = new RetryBudget({ ratio: 0.5, minPerSecond: 0 }, clock);
    called(budget, 2);
    clock.advance(-50_000);
    called(budget, 2);
    expect(granted(budget, 10)).toBe(2);
  });
});
