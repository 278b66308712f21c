/** A key and how often it was counted. */
export interface HeavyHitter {
  readonly key: string;
  /** Never too low. */
  readonly count: number;
  /** By how much `count` may be too high; 0 when it is exact. */
  readonly overestimate: number;
}

interface Counter {
  key: string;
  count: number;
  overestimate: number;
}

/**
 * The keys that were counted most often, in bounded memory: Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient
 * computation of frequent and top-k elements in data streams", ICDT 2005).
 *
 * With `capacity` counters and n counts in all, a count is at most n/capacity too high, and every key that was counted
 * more often than that is held. Up to `capacity` keys every count is exact.
 */
export class SpaceSaving {
  readonly #capacity: number;
  readonly #places = new Map<string, number>();
  /** A heap, the smallest count first, from the moment on that it is full. */
  readonly #counters: Counter[] = [];
  /** False once a key had to make room for another. */
  exact = true;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(key: string): void {
    const place = this.#places.get(key);
    if (place !== undefined) {
      (this.#counters[place] as Counter).count += 1;
      if (!this.exact) this.#sink(place);
    } else if (this.#counters.length < this.#capacity) {
      this.#places.set(key, this.#counters.length);
      this.#counters.push({ key, count: 1, overestimate: 0 });
    } else {
      this.#replace(key);
    }
  }

  /** The `most` keys counted most often, the first in the alphabet first where counts are equal. */
  top(most: number): HeavyHitter[] {
    return this.#counters
      .map((counter) => ({ ...counter }))
      .toSorted((one, other) => other.count - one.count || (one.key < other.key ? -1 : 1))
      .slice(0, most);
  }

  /** The new key takes the counter of the key counted least, and what was counted there as its doubt. */
  #replace(key: string): void {
    if (this.exact) {
      this.exact = false;
      for (let place = (this.#capacity >> 1) - 1; place >= 0; place--) this.#sink(place);
    }
    const least = this.#counters[0] as Counter;
    this.#places.delete(least.key);
    this.#places.set(key, 0);
    least.key = key;
    least.overestimate = least.count;
    least.count += 1;
    this.#sink(0);
  }

  #sink(from: number): void {
    const counters = this.#counters;
    const moving = counters[from] as Counter;
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= counters.length) break;
      const right = counters[child + 1];
      if (right !== undefined && right.count < (counters[child] as Counter).count) child += 1;
      const smaller = counters[child] as Counter;
      if (smaller.count >= moving.count) break;
      counters[place] = smaller;
      this.#places.set(smaller.key, place);
      place = child;
    }
    counters[place] = moving;
    this.#places.set(moving.key, place);
  }
}
