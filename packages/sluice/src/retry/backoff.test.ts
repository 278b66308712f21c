import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Backoff, delaysOf, type Jitter } from "./backoff.js";

const backoffs = (jitter: Jitter): fc.Arbitrary<Backoff> =>
  fc.record({
    base: fc.nat(1_000_000),
    factor: fc.oneof(fc.constant(1), fc.double({ min: 1, max: 10, noNaN: true })),
    most: fc.nat(60_000_000),
    jitter: fc.constant(jitter),
  });
const chances = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
  minLength: 20,
  maxLength: 20,
});

function delays(backoff: Backoff, chance: readonly number[]): number[] {
  let asked = 0;
  const next = delaysOf(backoff, () => chance[asked++] as number);
  return chance.map(() => next());
}

function ceiling({ base, factor, most }: Backoff, retry: number): number {
  return Math.min(most, base * factor ** retry);
}

/** What every delay must be, of its ceiling and the delay before it: at least, at most. In µs, give or take the rounding. */
const bounds: Record<Jitter, (ceiling: number, previous: number, backoff: Backoff) => readonly [number, number]> = {
  none: (top) => [top, top],
  full: (top) => [0, top],
  equal: (top) => [top / 2, top],
  decorrelated: (_top, previous, { base, most }) => [
    Math.min(most, base),
    Math.min(most, Math.max(base, 3 * previous)),
  ],
};

describe.each(Object.keys(bounds) as Jitter[])("jitter '%s'", (jitter) => {
  it("keeps its delays within its formula", () => {
    fc.assert(
      fc.property(backoffs(jitter), chances, (backoff, chance) => {
        let previous = backoff.base;
        for (const [retry, delay] of delays(backoff, chance).entries()) {
          const [least, most] = bounds[jitter](ceiling(backoff, retry), previous, backoff);
          expect(Number.isInteger(delay)).toBe(true);
          expect(delay).toBeGreaterThanOrEqual(Math.min(least, most) - 0.5);
          expect(delay).toBeLessThanOrEqual(most + 0.5);
          expect(delay).toBeLessThanOrEqual(backoff.most);
          previous = delay;
        }
      }),
    );
  });
});

describe("delays in ms, of 100 ms, doubled, up to 1 s", () => {
  const backoff = { base: 100_000, factor: 2, most: 1_000_000 };
  it.each<[Jitter, number, number[]]>([
    ["none", 0.9, [100, 200, 400, 800, 1000, 1000]],
    ["full", 0.5, [50, 100, 200, 400, 500, 500]],
    ["full", 0, [0, 0, 0, 0, 0, 0]],
    ["equal", 0, [50, 100, 200, 400, 500, 500]],
    ["equal", 0.5, [75, 150, 300, 600, 750, 750]],
    // 100 + ½ · (3 · 100 − 100) = 200, then 100 + ½ · (3 · 200 − 100) = 350, …
    ["decorrelated", 0.5, [200, 350, 575, 912.5, 1000, 1000]],
    ["decorrelated", 0, [100, 100, 100, 100, 100, 100]],
  ])("jitter '%s' with a chance of %d", (jitter, chance, expected) => {
    const made = delays(
      { ...backoff, jitter },
      Array.from({ length: 6 }, () => chance),
    );
    expect(made.map((delay) => delay / 1000)).toEqual(expected);
  });

  it("stay numbers after ten thousand retries, also of nothing", () => {
    for (const base of [0, 100]) {
      const next = delaysOf({ ...backoff, base, jitter: "none" }, () => 0);
      let last = 0;
      for (let retry = 0; retry < 10_000; retry++) last = next();
      expect(last).toBe(base === 0 ? 0 : 1_000_000);
    }
  });
});
