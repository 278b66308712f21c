/** Where a memory store gets its time. */
export interface Clock {
  /** Integer microseconds. A step back is clamped, and locks nobody out for more than two windows (sliding counter: three). */
  now(): number;
}

/** Set on a clock whose time is moved by hand: it calls the listeners after each move, so that nobody has to poll it. */
export const onMove: unique symbol = Symbol.for("sluice.clock.onMove");

/** A clock that says when it was moved. */
export interface MovableClock extends Clock {
  [onMove](listener: () => void): () => void;
}

/** µs from the epoch to the zero of `performance.now()`; read once, so that the clock stays monotonic. */
const origin = performance.timeOrigin * 1000;

/**
 * The platform's monotonic clock, from the epoch, read each time. What is stamped when it ends needs it: a reading shared
 * by a turn of the event loop would date a task's end before the work it did, and let the next one in too soon.
 */
export const preciseClock: Clock = { now: () => Math.floor(origin + performance.now() * 1000) };

/** How many questions one reading may answer. */
const readingsPerTurn = 64;

/**
 * A monotonic clock, read once per turn of the event loop (or per 64 questions, whichever comes first): all calls of a
 * turn count as simultaneous. A reading is only ever earlier than the truth, by what the turn has computed since: what it
 * admits counts from then, and its window ends earlier by as much.
 * Reading `performance.now()` takes 34 to 39 ns, more than the rest of a decision on a hot key.
 */
export function turnClock(): Clock {
  const defer = globalThis.setImmediate as ((task: () => void) => unknown) | undefined;
  let reading = 0;
  let left = 0;
  let armed = false;
  const forget = (): void => {
    left = 0;
    armed = false;
  };
  const read = (): number => {
    reading = preciseClock.now();
    if (defer !== undefined) {
      left = readingsPerTurn;
      if (!armed) {
        armed = true;
        // it keeps the process alive for this turn; unreferenced, it would not run before the process has slept
        defer(forget);
      }
    }
    return reading;
  };
  return {
    now: () => {
      if (left > 0) {
        left -= 1;
        return reading;
      }
      return read();
    },
  };
}
