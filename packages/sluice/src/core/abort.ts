/** What is to be called when a signal aborts: one listener for each signal, however many callers share it. */
const watched = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `listener` once when the signal aborts. Returns the function that stops watching. A listener of its own for each
 * caller would make Node warn of a leak at the eleventh, and cost O(n) to remove.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const known = watched.get(signal);
  const listeners = known ?? new Set();
  if (known === undefined) {
    watched.set(signal, listeners);
    const ring = (): void => {
      watched.delete(signal);
      for (const each of listeners) each();
    };
    signal.addEventListener("abort", ring, { once: true });
    stops.set(listeners, () => signal.removeEventListener("abort", ring));
  }
  listeners.add(listener);
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0 || watched.get(signal) !== listeners) return;
    watched.delete(signal);
    stops.get(listeners)?.();
  };
}

const stops = new WeakMap<Set<() => void>, () => void>();
