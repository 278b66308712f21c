/**
 * What an algorithm promises, in the plainest form: the whole history is kept, and every question is answered by going
 * through it again. Slow, and meant to be read beside the definition. Times are whole microseconds.
 */
export interface Model {
  readonly limit: number;
  /** The earliest start of `cost`, not before `from` nor before a start granted earlier; Infinity when it never can start. */
  start(from: number, cost: number): number;
  /** `cost` starts at `at`, which `start` has said. The function returned makes it not have happened. */
  grant(at: number, cost: number): () => void;
  /** `cost` is spent without asking, behind all that was granted. */
  charge(now: number, cost: number): void;
  /** `cost` comes back, the newest first. */
  refund(now: number, cost: number): void;
  /** From when on the key is as if never seen, if nobody asks; not before `now`. */
  resetAt(now: number): number;
  /** The latest start that was granted. */
  readonly latest: number;
  /** The most that may start in any half-open interval of this length. */
  bound(length: number): number;
}

/** Something that happened: a cost spent, or, where negative, given back. */
export interface Happening {
  readonly at: number;
  readonly cost: number;
}

/** What all models share: a history, and the latest start that was granted. */
export abstract class History implements Model {
  abstract readonly limit: number;
  protected history: Happening[] = [];
  latest = 0;
  readonly #deeds: (() => void)[] = [];

  abstract start(from: number, cost: number): number;
  abstract resetAt(now: number): number;
  abstract bound(length: number): number;

  grant(at: number, cost: number): () => void {
    return this.#happens(() => {
      this.history.push({ at, cost });
      this.latest = at;
    });
  }

  charge(now: number, cost: number): void {
    this.#happens(() => this.history.push({ at: Math.max(now, this.latest), cost }));
  }

  refund(now: number, cost: number): void {
    this.#happens(() => this.comeBack(now, cost));
  }

  protected comeBack(now: number, cost: number): void {
    this.history.push({ at: now, cost: -cost });
  }

  /** Does it, and knows how to do everything else without it. */
  #happens(deed: () => void): () => void {
    this.#deeds.push(deed);
    deed();
    return () => {
      this.#deeds.splice(this.#deeds.indexOf(deed), 1);
      this.history = [];
      this.latest = 0;
      for (const each of this.#deeds) each();
    };
  }
}

/** By definition: how many unit calls could start at `moment`. */
export function remainingOf(model: Model, moment: number): number {
  let low = 0;
  let high = model.limit;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (model.start(moment, middle) === moment) low = middle;
    else high = middle - 1;
  }
  return low;
}
