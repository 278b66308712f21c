import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ceilMulDiv, floorMulDiv } from "./algorithm.js";

const whole = fc.oneof(
  fc.nat(1000),
  fc.maxSafeNat(),
  fc.integer({ min: 0, max: 53 }).map((power) => Math.min(2 ** power, Number.MAX_SAFE_INTEGER)),
  fc.integer({ min: 1, max: 53 }).map((power) => 2 ** power - 1),
);

/** a, b, c whose quotient a·b/c, rounded up, is an exact integer too. */
const triple = fc
  .tuple(whole, whole, whole)
  .map(([a, b, c]) => [a, b, Math.max(1, c)] as const)
  .filter(([a, b, c]) => (BigInt(a) * BigInt(b)) / BigInt(c) < BigInt(Number.MAX_SAFE_INTEGER));

describe("products and quotients beyond 2⁵³", () => {
  it("floorMulDiv is the floor of the true quotient", () => {
    fc.assert(
      fc.property(triple, ([a, b, c]) => {
        expect(floorMulDiv(a, b, c)).toBe(Number((BigInt(a) * BigInt(b)) / BigInt(c)));
      }),
      {
        numRuns: 5000,
        examples: [
          [[0, 0, 1]],
          [[2 ** 52 - 1, 2 ** 51, 2 ** 51]],
          [[2 ** 52 - 1, 2 ** 51 - 1, 2 ** 52 - 1]],
          [[Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]],
          [[94_906_266, 94_906_267, 3]],
        ],
      },
    );
  });

  it("ceilMulDiv is its ceiling", () => {
    fc.assert(
      fc.property(triple, ([a, b, c]) => {
        expect(ceilMulDiv(a, b, c)).toBe(Number((BigInt(a) * BigInt(b) + BigInt(c) - 1n) / BigInt(c)));
      }),
      { numRuns: 5000 },
    );
  });

  it("a product that is a multiple, or one more or less, is not blurred", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2 ** 26, max: 2 ** 51 }),
        fc.integer({ min: 2 ** 26, max: 2 ** 51 }),
        (c, quotient) => {
          expect(floorMulDiv(c, quotient, c)).toBe(quotient);
          expect(ceilMulDiv(c, quotient, c)).toBe(quotient);
          expect(floorMulDiv(c - 1, quotient, c)).toBe(Number((BigInt(c - 1) * BigInt(quotient)) / BigInt(c)));
          expect(ceilMulDiv(c + 1, quotient, c)).toBe(
            Number((BigInt(c + 1) * BigInt(quotient) + BigInt(c) - 1n) / BigInt(c)),
          );
        },
      ),
      { numRuns: 3000 },
    );
  });
});
