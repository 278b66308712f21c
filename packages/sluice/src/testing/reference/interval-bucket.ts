import { History } from "./model.js";

/** A bucket of `burst` tokens that gets `rate` of them at once, every `per`, counted from the call that took from a full one. */
export class IntervalBucketModel extends History {
  readonly limit: number;
  readonly #rate: number;
  readonly #per: number;

  constructor(options: { rate: number; per: number; burst: number }) {
    super();
    this.limit = options.burst;
    this.#rate = options.rate;
    this.#per = options.per;
  }

  /** The bucket at a moment that is not before the last happening, and when its next refill is due. */
  #bucket(moment: number): { level: number; refill: number } {
    const full = this.limit;
    let level = full;
    let refill = Number.POSITIVE_INFINITY;
    const wait = (until: number): void => {
      while (refill <= until) {
        level = Math.min(full, level + this.#rate);
        refill = level === full ? Number.POSITIVE_INFINITY : refill + this.#per;
      }
    };
    for (const { at, cost } of this.history.toSorted((one, other) => one.at - other.at)) {
      wait(at);
      if (level === full) refill = at + this.#per;
      level = Math.min(full, level - cost);
      if (level === full) refill = Number.POSITIVE_INFINITY;
    }
    wait(moment);
    return { level, refill };
  }

  #last(from: number): number {
    return Math.max(from, this.latest, ...this.history.map(({ at }) => at));
  }

  start(from: number, cost: number): number {
    if (cost > this.limit) return Number.POSITIVE_INFINITY;
    const moment = this.#last(from);
    const { level, refill } = this.#bucket(moment);
    return level >= cost ? moment : refill + (Math.ceil((cost - level) / this.#rate) - 1) * this.#per;
  }

  resetAt(now: number): number {
    return this.start(now, this.limit);
  }

  bound(length: number): number {
    return this.limit + this.#rate * Math.ceil(length / this.#per);
  }
}
