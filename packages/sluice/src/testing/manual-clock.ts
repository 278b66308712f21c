import { type Clock, type MovableClock, onMove } from "../core/clock.js";
import { rangeError, show } from "../core/errors.js";

/** A clock that stands still until it is moved. */
export interface ManualClock extends Clock {
  /** Moves it on (or back) by ms; fractions count to the microsecond. */
  advance(ms: number): void;
  /** Puts it to a moment, in microseconds. */
  set(micros: number): void;
}

/**
 * A clock for tests: time passes when you say so, and whoever waits for a moment that has come goes on. It starts at
 * `startMicros` (whole microseconds, default 0).
 *
 * @throws RangeError with code `ERR_INVALID_ARGUMENT` for a moment that is negative or no whole number.
 * @example
 * const clock = manualClock()
 * const limiter = rateLimiter(tokenBucket({ rate: 1, per: "1s" }), { store: memoryStore({ clock }) })
 * limiter.consumeSync("user:1").allowed // true
 * limiter.consumeSync("user:1").retryAfter // 1000
 * clock.advance(1000)
 * limiter.consumeSync("user:1").allowed // true
 */
export function manualClock(startMicros: number = 0): ManualClock {
  let now = moment(startMicros);
  const listeners = new Set<() => void>();
  const move = (micros: number): void => {
    now = moment(micros);
    for (const listener of Array.from(listeners)) listener();
  };
  const clock: ManualClock & MovableClock = {
    now: () => now,
    advance: (ms) => move(now + Math.round(ms * 1000)),
    set: move,
    [onMove]: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return clock;
}

function moment(micros: number): number {
  if (!Number.isSafeInteger(micros) || micros < 0) {
    throw rangeError(
      "ERR_INVALID_ARGUMENT",
      `Expected a moment in whole microseconds, not negative, got ${show(micros)}.`,
    );
  }
  return micros;
}
