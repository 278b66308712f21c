import { type Clock, type MovableClock, onMove } from "../core/clock.js";

/**
 * The clock's forward steps, added up. A step back counts as no time at all, and time goes on from there: it admits
 * nothing too soon, and holds nothing up for as long as the clock was put back.
 */
export function steadyClock(clock: Clock): Clock {
  let last = clock.now();
  let time = last;
  const now = (): number => {
    const reading = clock.now();
    if (reading > last) time += reading - last;
    last = reading;
    return time;
  };
  const movable = clock as Partial<MovableClock>;
  if (movable[onMove] === undefined) return { now };
  const steady: MovableClock = { now, [onMove]: (listener) => (clock as MovableClock)[onMove](listener) };
  return steady;
}
