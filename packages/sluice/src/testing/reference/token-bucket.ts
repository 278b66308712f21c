import { History } from "./model.js";

/** A bucket of `burst` tokens that fills evenly by `rate` every `per`. Tokens are counted in `per`ths, so all is whole. */
export class TokenBucketModel extends History {
  readonly limit: number;
  readonly #rate: bigint;
  readonly #per: bigint;
  readonly #full: bigint;

  constructor(options: { rate: number; per: number; burst: number }) {
    super();
    this.limit = options.burst;
    this.#rate = BigInt(options.rate);
    this.#per = BigInt(options.per);
    this.#full = BigInt(options.burst) * this.#per;
  }

  /** What is in the bucket at a moment that is not before the last happening. */
  #level(moment: number): bigint {
    let level = this.#full;
    let last = 0;
    for (const { at, cost } of this.history.toSorted((one, other) => one.at - other.at)) {
      level = this.#filled(level, at - last) - BigInt(cost) * this.#per;
      if (level > this.#full) level = this.#full;
      last = at;
    }
    return this.#filled(level, moment - last);
  }

  #filled(level: bigint, time: number): bigint {
    const filled = level + this.#rate * BigInt(time);
    return filled < this.#full ? filled : this.#full;
  }

  #last(from: number): number {
    return Math.max(from, this.latest, ...this.history.map(({ at }) => at));
  }

  start(from: number, cost: number): number {
    if (cost > this.limit) return Number.POSITIVE_INFINITY;
    const moment = this.#last(from);
    return moment + this.#timeFor(BigInt(cost) * this.#per - this.#level(moment));
  }

  resetAt(now: number): number {
    const moment = this.#last(now);
    return moment + this.#timeFor(this.#full - this.#level(moment));
  }

  #timeFor(missing: bigint): number {
    return missing <= 0n ? 0 : Number((missing + this.#rate - 1n) / this.#rate);
  }

  bound(length: number): number {
    return this.limit + Number((BigInt(length) * this.#rate + this.#per - 1n) / this.#per) - 1;
  }
}
