import type { Duration } from "../../core/duration.js";
import { maxMicros, micros } from "../../core/duration.js";
import { rangeError, show, typeError } from "../../core/errors.js";
import { largestLimit, type Policy, policy, policyOptions } from "../../core/policy.js";
import { wholeNumber } from "../../core/validate.js";
import { type ContinuousParameters, continuous } from "./continuous.js";
import { type IntervalParameters, interval } from "./interval.js";

/**
 * `rate` tokens every `per`, up to `burst` (default: `rate`). `refill` 'continuous' (default) adds them smoothly;
 * 'interval' adds `rate` tokens at once, every `per`, counted from the call that took from a full bucket.
 * `burst: 1` paces calls evenly (a leaky bucket).
 *
 * Bound, continuous: in any half-open interval of length L at most `burst + ceil(L · rate / per) - 1`.
 * Bound, interval: at most `burst + rate · ceil(L / per)`. State of a key: one number, or two.
 * Continuous refill is the generic cell rate algorithm of ITU-T I.371.
 *
 * What a single charge adds is at most what is counted in exact integers, and never less than `burst`.
 *
 * @throws TypeError or RangeError (`ERR_INVALID_LIMIT`, `ERR_INVALID_DURATION`, `ERR_INVALID_NAME`).
 * @example
 * const policy = tokenBucket({ rate: 100, per: "1m", burst: 20 })
 * policy.window // 12_000
 */
export function tokenBucket(options: {
  rate: number;
  per: Duration;
  burst?: number;
  refill?: "continuous" | "interval";
  name?: string;
}): Policy {
  policyOptions(options, "tokenBucket");
  const rate = wholeNumber(options.rate, "rate", "ERR_INVALID_LIMIT", 1, largestLimit);
  const per = micros(options.per, "per");
  const burst =
    options.burst === undefined ? rate : wholeNumber(options.burst, "burst", "ERR_INVALID_LIMIT", 1, largestLimit);
  const { refill = "continuous" } = options;
  if (refill !== "continuous" && refill !== "interval") {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected refill to be 'continuous' or 'interval', got ${show(refill)}.`);
  }
  if (refill === "interval") {
    const span = Math.ceil(burst / rate) * per;
    const mostCost = Math.min(Math.floor(maxMicros / per) * rate, 2 ** 52);
    // so the span is exact too
    checkExact(burst <= mostCost, rate, per, burst);
    const parameters: IntervalParameters = { burst, rate, per, span, mostCost };
    return policy("token-bucket", options.name, burst, span, { algorithm: interval, parameters });
  }
  const divisor = greatestCommonDivisor(rate, per);
  const parts = rate / divisor;
  const tick = per / divisor;
  const tickWhole = Math.floor(tick / parts);
  const tickPart = tick % parts;
  // a cost in ticks, and in parts of one, is an exact integer
  const mostCost = Math.min(
    Math.floor(maxMicros / (tickWhole + Math.min(1, tickPart))),
    Math.floor(Number.MAX_SAFE_INTEGER / Math.max(1, tickPart)),
  );
  checkExact(burst <= mostCost, rate, per, burst);
  const spanParts = burst * tickPart;
  const parameters: ContinuousParameters = {
    burst,
    tickWhole,
    tickPart,
    parts,
    spanWhole: burst * tickWhole + Math.floor(spanParts / parts),
    spanPart: spanParts % parts,
    mostCost,
    tick,
    exact: burst * tick <= Number.MAX_SAFE_INTEGER ? 1 : 0,
  };
  const window = parameters.spanWhole + (parameters.spanPart > 0 ? 1 : 0);
  return policy("token-bucket", options.name, burst, window, { algorithm: continuous, parameters });
}

function checkExact(exact: boolean, rate: number, per: number, burst: number): void {
  if (!exact) {
    throw rangeError(
      "ERR_INVALID_LIMIT",
      `Expected a bucket that can be counted in exact integers; a burst of ${burst} at ${rate} per ${per} µs cannot: use a smaller burst or a rounder rate.`,
    );
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
