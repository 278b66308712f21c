import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Completions } from "./completions.js";

/** The definition, read literally. */
function naiveEarliest(log: readonly { stamp: number; weight: number }[], rate: number, per: number, weight: number) {
  const fits = (at: number): boolean =>
    log.reduce((total, each) => total + (each.stamp > at - per ? each.weight : 0), weight) <= rate;
  if (fits(Number.NEGATIVE_INFINITY)) return Number.NEGATIVE_INFINITY;
  return log.map(({ stamp }) => stamp + per).find(fits);
}

describe("Completions", () => {
  it("agrees with a naive log about the earliest start", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 60 }),
        fc.array(
          fc.record({
            gap: fc.oneof(fc.constant(0), fc.constant(1), fc.nat(12)),
            weight: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 60 })),
          }),
          { maxLength: 200 },
        ),
        (rate, per, tasks) => {
          const completions = new Completions(rate, per);
          let log: { stamp: number; weight: number }[] = [];
          let now = 0;
          for (const { gap, weight: any } of tasks) {
            const weight = Math.min(any, rate);
            const earliest = completions.earliest(weight);
            // what was completed before the last one is forgotten at the last one's stamp, not before
            const newest = log.at(-1)?.stamp ?? 0;
            log = log.filter(({ stamp }) => stamp > newest - per);
            expect(earliest).toBe(naiveEarliest(log, rate, per, weight));
            now = Math.max(now, earliest) + gap;
            completions.add(now, weight);
            log.push({ stamp: now, weight });
          }
        },
      ),
    );
  });

  it("keeps its order when the ring grows after it went round", () => {
    const completions = new Completions(40, 10);
    for (let stamp = 1; stamp <= 16; stamp++) completions.add(stamp, 1);
    // 3 to 16 are left, at the end of the ring and at its start
    for (let stamp = 13; stamp <= 16; stamp++) completions.add(16, 1);
    for (let more = 0; more < 20; more++) completions.add(16, 1);
    expect(completions.earliest(40 - 34 + 1)).toBe(17);
    for (const [freed, earliest] of [
      [1, 17],
      [5, 21],
      [9, 25],
      [10, 26],
      [34, 26],
    ] as const) {
      expect(completions.earliest(40 - 34 + freed)).toBe(earliest);
    }
  });

  it("holds as many as the rate allows, and gives each back in its turn", () => {
    const completions = new Completions(1000, 5000);
    for (let stamp = 1; stamp <= 1000; stamp++) completions.add(stamp, 1);
    expect(completions.earliest(1)).toBe(5001);
    expect(completions.earliest(10)).toBe(5010);
    expect(completions.earliest(1000)).toBe(6000);
    completions.add(5500, 1);
    expect(completions.earliest(500)).toBe(5501);
    expect(completions.earliest(499)).toBe(Number.NEGATIVE_INFINITY);
  });
});
