import { rangeError, show, typeError } from "./errors.js";

/**
 * Milliseconds, or a number with its unit: `250`, `'250ms'`, `'10s'`, `'1m'`, `'2h'`, `'1d'`, `'1 w'`; decimals count to the
 * microsecond. At most 2⁵¹ µs, about 71 years. Anything else is a TypeError or RangeError, `ERR_INVALID_DURATION`.
 */
export type Duration = number | `${number}${"" | " "}${"ms" | "s" | "m" | "h" | "d" | "w"}`;

const microsPerUnit: Readonly<Record<string, number>> = {
  ms: 1e3,
  s: 1e6,
  m: 60e6,
  h: 3600e6,
  d: 86_400e6,
  w: 604_800e6,
};

/** 2⁵¹ µs, about 71 years: with it, every sum of a moment and a duration stays an exact integer. */
export const maxMicros: number = 2 ** 51;

/**
 * A duration in integer microseconds, rounded to the nearest.
 *
 * @throws TypeError or RangeError with code `ERR_INVALID_DURATION` for typos, NaN, negatives, and more than 71 years
 *   (or `most`); for zero too, unless `least` is 0; `Infinity` only passes where `most` is `Infinity`.
 * @example
 * micros("1m", "window") // 60_000_000
 */
export function micros(value: unknown, what: string, least = 1, most: number = maxMicros): number {
  const exact = typeof value === "string" ? parse(value) : typeof value === "number" ? value * 1000 : undefined;
  if (exact === undefined) {
    throw typeError(
      "ERR_INVALID_DURATION",
      `Expected ${what} to be milliseconds or a number with its unit ('250ms', '10s', '1m', '2h', '1d', '1w'), got ${show(value)}.`,
    );
  }
  const rounded = Math.round(exact);
  // also refuses NaN, for which no comparison holds
  const fits = rounded <= Math.min(most, maxMicros) || (value === Number.POSITIVE_INFINITY && most === value);
  if (!(rounded >= least && fits)) {
    throw rangeError(
      "ERR_INVALID_DURATION",
      `Expected ${what} to be a duration from ${least / 1000} ms to ${Math.floor(Math.min(most, maxMicros) / 86_400e6)} days, got ${show(value)}.`,
    );
  }
  return rounded;
}

function parse(text: string): number | undefined {
  const [, number, unit] = /^(-?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?) ?(ms|s|m|h|d|w)$/.exec(text) ?? [];
  return number === undefined || unit === undefined ? undefined : Number(number) * (microsPerUnit[unit] as number);
}

/** How long a caller would wait: absent and `Infinity` both mean "as long as it takes". */
export function maxWaitOf(maxWait: unknown): number {
  return maxWait === undefined ? Number.POSITIVE_INFINITY : micros(maxWait, "maxWait", 0, Number.POSITIVE_INFINITY);
}

/** Microseconds as milliseconds with up to three decimals. */
export function milliseconds(duration: number): number {
  return duration / 1000;
}
