/** Counts distinct keys exactly up to a bound; beyond it, it only knows that there were at least so many. */
export class BoundedSet {
  readonly #keys = new Set<string>();
  readonly #most: number;
  /** False once a key came that found no room. */
  exact = true;

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#keys.size;
  }

  add(key: string): void {
    if (this.#keys.size < this.#most) this.#keys.add(key);
    else if (this.exact && !this.#keys.has(key)) this.exact = false;
  }
}
