/** How delays grow, in µs. */
export interface Backoff {
  readonly base: number;
  readonly factor: number;
  readonly most: number;
  readonly jitter: Jitter;
}

export type Jitter = "full" | "equal" | "decorrelated" | "none";

/** A delay from the ceiling of this retry, and the delay before it. */
type Spread = (ceiling: number, previous: number, backoff: Backoff, random: () => number) => number;

/**
 * The formulas of M. Brooker, "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015). In his simulation 'full'
 * finishes with the fewest calls, 'none' with the most.
 */
export const jitters: Readonly<Record<Jitter, Spread>> = {
  none: (ceiling) => ceiling,
  full: (ceiling, _previous, _backoff, random) => random() * ceiling,
  equal: (ceiling, _previous, _backoff, random) => ceiling / 2 + (random() * ceiling) / 2,
  decorrelated: (_ceiling, previous, { base, most }, random) => Math.min(most, base + random() * (3 * previous - base)),
};

/** The delays of one call: each time it is asked, the one before the next retry, in whole µs. */
export function delaysOf(backoff: Backoff, random: () => number): () => number {
  const { base, factor, most, jitter } = backoff;
  let retry = 0;
  let previous = base;
  return () => {
    // finite, so that a base of 0 stays 0
    const power = Math.min(factor ** retry++, Number.MAX_VALUE);
    previous = Math.round(jitters[jitter](Math.min(most, base * power), previous, backoff, random));
    return previous;
  };
}
