import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SpaceSaving } from "./space-saving.js";

/** Few keys often, many seldom. */
const stream = fc.array(
  fc.oneof(fc.constantFrom("a", "b", "c"), fc.integer({ min: 0, max: 60 }).map(String), fc.constant("__proto__")),
  { maxLength: 400 },
);

function counted(keys: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

describe("SpaceSaving", () => {
  it("is never too low, at most n/capacity too high, and holds every key above that", () => {
    fc.assert(
      fc.property(stream, fc.integer({ min: 1, max: 12 }), (keys, capacity) => {
        const sketch = new SpaceSaving(capacity);
        for (const key of keys) sketch.add(key);
        const truth = counted(keys);
        const held = sketch.top(Number.POSITIVE_INFINITY);
        for (const { key, count, overestimate } of held) {
          const exact = truth.get(key) as number;
          expect(count).toBeGreaterThanOrEqual(exact);
          expect(count - overestimate).toBeLessThanOrEqual(exact);
          expect(overestimate).toBeLessThanOrEqual(keys.length / capacity);
        }
        expect(new Set(held.map(({ key }) => key)).size).toBe(held.length);
        expect(held.length).toBe(Math.min(capacity, truth.size));
        expect(held.reduce((sum, { count }) => sum + count, 0)).toBe(keys.length);
        for (const [key, count] of truth) {
          if (count > keys.length / capacity) expect(held.map((each) => each.key)).toContain(key);
        }
      }),
    );
  });

  it("is exact while there are no more keys than counters, and sorts by count and then by key", () => {
    fc.assert(
      fc.property(stream, (keys) => {
        const sketch = new SpaceSaving(100);
        for (const key of keys) sketch.add(key);
        const sorted = [...counted(keys)]
          .toSorted(([one, ones], [other, others]) => others - ones || (one < other ? -1 : 1))
          .map(([key, count]) => ({ key, count, overestimate: 0 }));
        expect(sketch.exact).toBe(true);
        expect(sketch.top(5)).toEqual(sorted.slice(0, 5));
      }),
    );
  });

  it("says when a key had to make room", () => {
    const sketch = new SpaceSaving(2);
    for (const key of ["a", "a", "b", "c"]) sketch.add(key);
    expect(sketch.exact).toBe(false);
    expect(sketch.top(2)).toEqual([
      { key: "a", count: 2, overestimate: 0 },
      { key: "c", count: 2, overestimate: 1 },
    ]);
  });

  it("hands out copies", () => {
    const sketch = new SpaceSaving(2);
    sketch.add("a");
    const [before] = sketch.top(1);
    sketch.add("a");
    expect(before?.count).toBe(1);
  });
});
