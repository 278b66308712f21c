/** Bits of the mantissa that tell buckets apart: 2⁷ buckets between a power of two and the next. */
const precision = 7;
const dropped = 20 - precision;
/** The bucket of the double 1.0: waits below 1 µs do not occur. */
const one = 0x3ff00000 >>> dropped;
const largestExponent = 53;

/**
 * How long waits were, in a fixed 110 kB however many there were: buckets as wide as 1/128 of their value, as in
 * HdrHistogram (Tene, 2012), each with the longest wait that fell into it. So a percentile is a wait that did occur, at
 * most 0.8 % too high, and never too low.
 */
export class WaitHistogram {
  readonly #counts = new Float64Array((largestExponent + 1) << precision);
  readonly #longest = new Float64Array((largestExponent + 1) << precision);
  readonly #view = new DataView(new ArrayBuffer(8));
  /** Waits recorded. */
  count = 0;
  /** µs. */
  longest = 0;

  /** Records a wait in whole µs, at least 1. */
  add(wait: number): void {
    this.#view.setFloat64(0, wait);
    const bucket = (this.#view.getUint32(0) >>> dropped) - one;
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    if (wait > (this.#longest[bucket] as number)) this.#longest[bucket] = wait;
    if (wait > this.longest) this.longest = wait;
    this.count += 1;
  }

  /** µs: the shortest wait such that `share` of all waits are not longer; undefined when there were none. */
  percentile(share: number): number | undefined {
    const rank = Math.max(1, Math.ceil(share * this.count));
    let seen = 0;
    const bucket = this.#counts.findIndex((waits) => {
      seen += waits;
      return seen >= rank;
    });
    return this.#longest[bucket];
  }
}
