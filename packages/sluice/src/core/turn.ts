import { onAbort } from "./abort.js";
import type { Alarms } from "./alarm.js";
import type { Ticket, Verdict } from "./store.js";

/** What is given up in one turn of the event loop, to be taken back newest first: then each finds things as it left them. */
const givenUp: { readonly order: number; readonly giveBack: () => void }[] = [];
let order = 0;

/** The callers of one limiter that wait for the store's answer, or for a start that was granted to them. */
export class Turns {
  readonly #waiting = new Set<(reason: unknown) => void>();
  readonly #owed = new Set<Promise<void>>();

  /** Someone waits, and leaves when told to. */
  add(leave: (reason: unknown) => void): void {
    this.#waiting.add(leave);
  }

  delete(leave: (reason: unknown) => void): void {
    this.#waiting.delete(leave);
  }

  /** Someone has left; `back` resolves, and never rejects, once the store has back what it granted. */
  owe(back: Promise<void>): void {
    this.#owed.add(back);
    void back.then(() => this.#owed.delete(back));
  }

  /** Everyone who waits gives up, for `reason`; resolves once what was granted to them and to others before is given back. */
  async giveUp(reason: () => unknown): Promise<void> {
    for (const leave of Array.from(this.#waiting)) leave(reason());
    await Promise.all(this.#owed);
  }
}

/**
 * Resolves with the answer at the start that it grants; a refusal is an error by now. Rejects at once when the signal
 * aborts or when one of the limiters gives up on those who wait, whether the store has answered or not; the place is
 * given back, as soon as there is one. What starts at once, starts after those whose moment has come.
 */
export function untilTurn<T extends { readonly verdict: Verdict }>(
  answer: T | Promise<T>,
  limiters: ReadonlySet<Turns>,
  alarms: Alarms,
  signal: AbortSignal | undefined,
): T | Promise<T> {
  if (!(answer instanceof Promise) && answer.verdict.wait === 0) {
    alarms.ringDue();
    return answer;
  }
  const place = order++;
  return new Promise((resolve, reject) => {
    let waits = true;
    const leaveAll = (): void => {
      waits = false;
      for (const turns of limiters) turns.delete(leave);
      unwatch?.();
    };
    /** Gives the place back; whether there is one is known only once the store has answered. */
    let part = async (reason: unknown): Promise<void> => {
      reject(reason);
      const late = await Promise.resolve(answer).catch(() => undefined);
      await giveUp(place, () => tookBack(late?.verdict.ticket));
    };
    const leave = (reason: unknown): void => {
      leaveAll();
      const back = part(reason);
      for (const turns of limiters) turns.owe(back);
    };
    const arrive = (granted: T): void => {
      if (!waits) return;
      const { wait, ticket, alarms: own = alarms } = granted.verdict;
      const start = (): void => {
        leaveAll();
        resolve(granted);
      };
      if (wait === 0) {
        own.ringDue();
        start();
        return;
      }
      const cancelAlarm = own.in(wait, start);
      part = (reason) => {
        cancelAlarm();
        return giveUp(place, async () => {
          const back = tookBack(ticket);
          reject(reason);
          await back;
        });
      };
    };
    const unwatch = signal === undefined ? undefined : onAbort(signal, () => leave(signal.reason));
    for (const turns of limiters) turns.add(leave);
    if (!(answer instanceof Promise)) {
      arrive(answer);
      return;
    }
    answer.then(arrive, (error: unknown) => {
      if (!waits) return;
      leaveAll();
      reject(error);
    });
  });
}

function giveUp(place: number, giveBack: () => Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    if (givenUp.length === 0) queueMicrotask(flush);
    givenUp.push({ order: place, giveBack: () => resolve(giveBack()) });
  });
}

function flush(): void {
  const batch = givenUp.splice(0).toSorted((one, other) => other.order - one.order);
  for (const { giveBack } of batch) giveBack();
}

/** Takes a grant back without waiting for the store: if it cannot be reached, the grant runs out by itself. */
export function takeBack(ticket: Pick<Ticket, "cancel"> | undefined): void {
  void tookBack(ticket);
}

/** The same; resolves once the store has answered, and never rejects. */
async function tookBack(ticket: Pick<Ticket, "cancel"> | undefined): Promise<void> {
  try {
    await ticket?.cancel();
  } catch {
    // it runs out by itself
  }
}
