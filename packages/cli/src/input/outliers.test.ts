import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Outliers } from "./outliers.js";

const hour = 3600e6;
const day = 24 * hour;

/** What is taken and what is dropped, in days. */
function sorted(...days: readonly number[]): { readonly taken: number[]; readonly dropped: number[]; held: number[] } {
  const taken: number[] = [];
  const dropped: number[] = [];
  const outliers = new Outliers<{ at: number }>(
    ({ at }) => taken.push(at / day),
    ({ at }) => dropped.push(at / day),
  );
  for (const each of days) {
    if (outliers.near(each * day)) taken.push(each);
    else outliers.add({ at: each * day });
  }
  return { taken, dropped, held: outliers.end().map(({ at }) => at / day) };
}

describe("Outliers", () => {
  it.each([
    ["in the future", [5, 5.1, 900, 5.2, 5.3], [900]],
    ["in the past", [5, 5.1, 1, 5.2, 5.3], [1]],
    ["one after the other, with one between", [5, 900, 5.1, 1, 5.2], [900, 1]],
    ["at the very beginning, in the future", [900, 5, 5.1], [900]],
    ["in the second place", [5, 1, 5.1], [1]],
    ["in the second place, in the future", [5, 900, 5.1], [900]],
  ])("drops lone requests %s", (_where, days, dropped) => {
    const found = sorted(...days);
    expect(found).toMatchObject({ dropped, taken: days.filter((each) => !dropped.includes(each)) });
  });

  it("takes a silence, however long, and what is not in order at all", () => {
    expect(sorted(1, 3, 9, 9.5, 30)).toEqual({ taken: [1, 3, 9, 9.5], dropped: [], held: [30] });
    expect(sorted(30, 20, 10)).toEqual({ taken: [30, 20], dropped: [], held: [10] });
    expect(sorted(1, 5, 5.1)).toEqual({ taken: [1, 5, 5.1], dropped: [], held: [] });
    expect(sorted(5, 1)).toEqual({ taken: [], dropped: [], held: [5, 1] });
  });

  it("never drops, holds back or reorders what is in order", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(320), { maxLength: 50 }), (eighths) => {
        const inOrder = eighths.toSorted((one, other) => one - other).map((each) => each / 8);
        const { taken, dropped, held } = sorted(...inOrder);
        expect(dropped).toEqual([]);
        expect(held.length).toBeLessThanOrEqual(1);
        expect([...taken, ...held]).toEqual(inOrder);
      }),
    );
  });
});
