import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WaitHistogram } from "./wait-histogram.js";

const wait = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 1, max: 2 ** 31 }),
  fc.maxSafeInteger().map((value) => Math.max(1, Math.abs(value) % 2 ** 52)),
  fc.integer({ min: 0, max: 52 }).map((power) => 2 ** power),
);

describe("WaitHistogram", () => {
  it("gives waits that did occur, never too low, and at most 1/128 too high", () => {
    fc.assert(
      fc.property(fc.array(wait, { minLength: 1 }), fc.constantFrom(0, 0.01, 0.5, 0.95, 0.99, 1), (waits, share) => {
        const histogram = new WaitHistogram();
        for (const each of waits) histogram.add(each);
        const sorted = waits.toSorted((one, other) => one - other);
        const truth = sorted[Math.max(1, Math.ceil(share * waits.length)) - 1] as number;
        const found = histogram.percentile(share) as number;
        expect(found).toBeGreaterThanOrEqual(truth);
        expect(found).toBeLessThan(truth * (1 + 1 / 128) + 1e-9);
        expect(waits).toContain(found);
        expect(histogram.longest).toBe(sorted.at(-1));
        expect(histogram.count).toBe(waits.length);
      }),
    );
  });

  it("is exact where the waits of a bucket are the same", () => {
    const histogram = new WaitHistogram();
    for (const each of [8_000_000, 8_000_000, 20_000_000, 41_000_000]) histogram.add(each);
    expect([0.5, 0.75, 0.99].map((share) => histogram.percentile(share))).toEqual([8_000_000, 20_000_000, 41_000_000]);
  });

  it("says nothing of no waits", () => {
    expect(new WaitHistogram().percentile(0.5)).toBeUndefined();
    expect(new WaitHistogram().longest).toBe(0);
  });
});
