import { longestTimer } from "./alarm.js";
import type { Clock } from "./clock.js";
import { StoreError } from "./errors.js";

/**
 * Rejects with `ERR_STORE_TIMEOUT` when the answer is not there within `timeout` ms. Input gets two more turns of the event
 * loop first: after a stall of this process, the reply may lie in the socket already. `late` gets an answer that comes
 * after all: nobody else will.
 */
export function withDeadline<T>(
  answer: Promise<T>,
  timeout: number,
  late: (answer: T) => void,
  failed: () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let over = false;
    const timer = afterDeadline(timeout, () => {
      over = true;
      failed();
      reject(timeoutError(timeout));
    });
    const settle = (use: () => void): void => {
      timer.stop();
      use();
    };
    answer
      .then(
        (value) => (over ? late(value) : settle(() => resolve(value))),
        (error: unknown) => (over ? undefined : settle(() => reject(error))),
      )
      // a late answer that is none is nobody's concern either
      .catch(() => {});
  });
}

export function timeoutError(timeout: number): StoreError {
  return new StoreError(
    "ERR_STORE_TIMEOUT",
    `The store did not answer within ${timeout} ms; whether it counted is unknown.`,
  );
}

export interface DeadlineTimer {
  stop(): void;
  /** Whether it keeps the process alive. */
  hold(alive: boolean): void;
}

/**
 * Calls `expire` after `timeout` ms and two more turns of the event loop, unless it is stopped before, with the moment on
 * `clock` before those turns: what was due by then had them.
 */
export function afterDeadline(timeout: number, expire: (reached: number) => void, clock?: Clock): DeadlineTimer {
  let stopped = false;
  const timer = setTimeout(
    () => {
      const reached = clock?.now() ?? 0;
      defer(() => defer(() => (stopped ? undefined : expire(reached))));
    },
    Math.min(timeout, longestTimer),
  ) as ReturnType<typeof setTimeout> & { ref?(): void; unref?(): void };
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
    hold: (alive) => (alive ? timer.ref?.() : timer.unref?.()),
  };
}

function defer(task: () => void): void {
  if (typeof setImmediate === "function") setImmediate(task);
  else setTimeout(task, 0);
}
