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

/**
 * The platform's monotonic clock, read each time. What is stamped when it ends needs it: a reading shared by a turn of
 * the event loop would date a task's end before the work it did, and let the next one in too soon.
 */
export const preciseClock: Clock = { now: () => Math.floor(performance.now() * 1000) };

/** How many readings one turn of the event loop may share: bounds how stale a loop of microtasks can get. */
const readingsPerTurn = 64;

/**
 * A monotonic clock, read once per turn of the event loop (or per 64 questions, whichever comes first).
 * All calls of a turn count as simultaneous. A late reading is only ever earlier than the truth, so nothing is admitted
 * too soon; what a turn admits counts from when the turn began, so a program that computes for long between two calls
 * of one turn may see a window end earlier by as much.
 * Reading `performance.now()` takes 34 to 39 ns, more than the rest of a decision on a hot key.
 */
export function turnClock(): Clock {
  const defer = globalThis.setImmediate as ((task: () => void) => { unref?: () => void }) | undefined;
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
        defer(forget).unref?.();
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
