/**
 * What was completed within the last `per`: stamps and weights in a ring, oldest first. O(1) per completion, amortised;
 * at most `rate` entries of 16 bytes, in a ring of up to twice as many.
 *
 * A stamp `s` is in every half-open window of length `per` that ends after `s` and before `s + per`, so its weight comes
 * back at exactly `s + per`:
 *
 *     rate 2        ├────────── per ──────────┤
 *     completed     s₁        s₂              s₁ + per: the earliest legal start of a third
 */
export class Completions {
  readonly #rate: number;
  readonly #per: number;
  #stamps: Float64Array = new Float64Array(16);
  #weights: Float64Array = new Float64Array(16);
  #first = 0;
  #count = 0;
  #total = 0;

  /** `rate`: the most weight in a window; `per`: its length, µs. */
  constructor(rate: number, per: number) {
    this.#rate = rate;
    this.#per = per;
  }

  /** Stamps never decrease. */
  add(stamp: number, weight: number): void {
    this.#dropThrough(stamp - this.#per);
    this.#total += weight;
    if (this.#count === this.#stamps.length) this.#grow();
    const place = (this.#first + this.#count) & (this.#stamps.length - 1);
    this.#stamps[place] = stamp;
    this.#weights[place] = weight;
    this.#count += 1;
  }

  /** The earliest moment at which `weight` may start, µs; −Infinity when nothing holds it up. */
  earliest(weight: number): number {
    let excess = this.#total + weight - this.#rate;
    if (excess <= 0) return Number.NEGATIVE_INFINITY;
    const mask = this.#stamps.length - 1;
    let place = this.#first;
    for (;;) {
      excess -= this.#weights[place] as number;
      if (excess <= 0) return (this.#stamps[place] as number) + this.#per;
      place = (place + 1) & mask;
    }
  }

  #dropThrough(stamp: number): void {
    const mask = this.#stamps.length - 1;
    while (this.#count > 0 && (this.#stamps[this.#first] as number) <= stamp) {
      this.#total -= this.#weights[this.#first] as number;
      this.#first = (this.#first + 1) & mask;
      this.#count -= 1;
    }
  }

  #grow(): void {
    this.#stamps = unrolled(this.#stamps, this.#first);
    this.#weights = unrolled(this.#weights, this.#first);
    this.#first = 0;
  }
}

/** A full ring in one twice its size, from its first entry on. */
function unrolled(ring: Float64Array, first: number): Float64Array {
  const larger = new Float64Array(ring.length * 2);
  larger.set(ring.subarray(first));
  larger.set(ring.subarray(0, first), ring.length - first);
  return larger;
}
