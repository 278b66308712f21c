import { longestTimer } from "../core/alarm.js";
import { preciseClock } from "../core/clock.js";

/** µs until what failed in the background is tried again. */
export const retryDelay = 1_000_000;

/** Calls `ring` in `delay` µs, however long that is, and keeps no process alive. Returns the function that cancels it. */
export function inBackground(delay: number, ring: () => void): () => void {
  const end = preciseClock.now() + delay;
  let timer: ReturnType<typeof setTimeout> & { unref?: () => void };
  const set = (left: number): void => {
    const most = Math.ceil(left / 1000);
    timer =
      most <= longestTimer ? setTimeout(ring, most) : setTimeout(() => set(end - preciseClock.now()), longestTimer);
    timer.unref?.();
  };
  set(delay);
  return () => clearTimeout(timer);
}
