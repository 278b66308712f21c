/** What became of a call, and how long it took. */
export interface Timed<T> {
  readonly value?: T;
  readonly error?: unknown;
  /** ms */
  readonly took: number;
  /** ms after `timeout` had passed; of a process that is slow, not of the call: a timer of the same length is late by as much. */
  readonly overdue: number;
}

/** Awaits a call that ought to be over within `timeout` ms. */
export async function timed<T>(call: () => Promise<T>, timeout: number): Promise<Timed<T>> {
  const began = performance.now();
  let due = Number.POSITIVE_INFINITY;
  const timer = setTimeout(() => {
    due = performance.now();
  }, timeout);
  const end = (): { took: number; overdue: number } => {
    clearTimeout(timer);
    const now = performance.now();
    return { took: now - began, overdue: Math.max(0, now - Math.max(due, began + timeout)) };
  };
  try {
    const value = await call();
    return { value, ...end() };
  } catch (error) {
    return { error, ...end() };
  }
}
