import { describe, expect, it } from "vitest";
import { maxMicros, maxWaitOf, micros } from "./duration.js";

const never = Number.POSITIVE_INFINITY;

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

describe("a duration", () => {
  it.each([
    ["250ms", 250_000],
    ["10s", 10_000_000],
    ["1 m", 60_000_000],
    ["2h", 7_200_000_000],
    ["1d", 86_400_000_000],
    ["1w", 604_800_000_000],
    ["1.5s", 1_500_000],
    ["1.s", 1_000_000],
    [".25s", 250_000],
    [".5s", 500_000],
    ["1e3ms", 1_000_000],
    ["1.5e+2ms", 150_000],
    ["25e-2s", 250_000],
    ["1e10ms", 10_000_000_000_000],
    [0.001, 1],
    [1500, 1_500_000],
  ])("%s is %d µs", (value, expected) => {
    expect(micros(value, "window")).toBe(expected);
  });

  it.each(["", "10", "s", ".s", "1 s ", " 1s", "1  s", "1sec", "1e", "1es", "1e5", "1,5s", "--1s", "1s1s", "0x10ms"])(
    "%j has a typo",
    (value) => {
      expect(messageOf(() => micros(value, "window"))).toBe(
        `Expected window to be milliseconds or a number with its unit ('250ms', '10s', '1m', '2h', '1d', '1w'), got ${JSON.stringify(value)}.`,
      );
    },
  );

  it("is exactly within its bounds", () => {
    expect(micros(maxMicros / 1000, "window")).toBe(maxMicros);
    expect(messageOf(() => micros(maxMicros / 1000 + 1, "window"))).toMatch(
      /from 0\.001 ms to \d+ days, got [\d.]+\.$/,
    );
    expect(micros(5, "lease", 5000, 7000)).toBe(5000);
    expect(micros(7, "lease", 5000, 7000)).toBe(7000);
    expect(messageOf(() => micros(4.999, "lease", 5000, 7000))).toBe(
      "Expected lease to be a duration from 5 ms to 0 days, got 4.999.",
    );
    expect(messageOf(() => micros(7.001, "lease", 5000, 7000))).toMatch(/got 7\.001\.$/);
    expect(messageOf(() => micros(never, "window", 1, 2 * maxMicros))).toMatch(/got Infinity\.$/);
    expect(messageOf(() => micros(Number.NaN, "window"))).toMatch(/got NaN\.$/);
    const days = Math.floor(maxMicros / 86_400e6);
    expect(messageOf(() => micros(0, "window", 1, never))).toBe(
      `Expected window to be a duration from 0.001 ms to ${days} days, got 0.`,
    );
  });

  it("to wait may be as long as it takes", () => {
    expect([maxWaitOf(undefined), maxWaitOf(never), maxWaitOf(0), maxWaitOf("1s")]).toEqual([never, never, 0, 1e6]);
  });
});
