import { onAbort } from "./abort.js";
import type { Alarms } from "./alarm.js";
import type { Ticket, Verdict } from "./store.js";

/** What is given up in one turn of the event loop, to be taken back newest first: then each finds things as it left them. */
const givenUp: { readonly order: number; readonly giveBack: () => void }[] = [];
let order = 0;

/** The callers of one limiter that wait for a start that was granted to them. Each costs one alarm and one promise. */
export class Turns {
  readonly #waiting = new Set<(reason: unknown) => void>();

  /** Callers that wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Someone waits, and leaves when told to. */
  add(leave: (reason: unknown) => void): void {
    this.#waiting.add(leave);
  }

  delete(leave: (reason: unknown) => void): void {
    this.#waiting.delete(leave);
  }

  /** Everyone who waits gives up, for `reason`. */
  giveUp(reason: () => unknown): void {
    for (const leave of Array.from(this.#waiting)) leave(reason());
  }
}

/**
 * Resolves at the start of the grant; rejects, and gives the place back, when the signal aborts or when one of the
 * limiters that granted it gives up on those who wait.
 */
export function untilStart(
  limiters: ReadonlySet<Turns>,
  verdict: Verdict,
  alarms: Alarms,
  signal: AbortSignal | undefined,
): Promise<void> | undefined {
  if (verdict.wait === 0) return undefined;
  const place = order++;
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      cancelAlarm();
      for (const turns of limiters) turns.delete(leave);
      unwatch?.();
    };
    const leave = (reason: unknown): void => {
      settle();
      giveUp(place, () => {
        takeBack(verdict.ticket);
        reject(reason);
      });
    };
    const unwatch = signal === undefined ? undefined : onAbort(signal, () => leave(signal.reason));
    const cancelAlarm = alarms.in(verdict.wait, () => {
      settle();
      resolve();
    });
    for (const turns of limiters) turns.add(leave);
  });
}

function giveUp(place: number, giveBack: () => void): void {
  if (givenUp.length === 0) queueMicrotask(flush);
  givenUp.push({ order: place, giveBack });
}

function flush(): void {
  const batch = givenUp.splice(0).toSorted((one, other) => other.order - one.order);
  for (const { giveBack } of batch) giveBack();
}

/** Takes a grant back without waiting for the store: if it cannot be reached, the grant runs out by itself. */
export function takeBack(ticket: Ticket | undefined): void {
  void Promise.resolve(ticket?.cancel()).catch(() => {});
}
