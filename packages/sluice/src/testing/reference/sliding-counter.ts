import { History } from "./model.js";

/**
 * Windows are multiples of their length. A cost fits at `elapsed` into its window when
 * before·(window - elapsed) + (used + cost)·window <= limit·window, in whole numbers of any size.
 */
export class SlidingCounterModel extends History {
  readonly limit: number;
  readonly #window: number;

  constructor(options: { limit: number; window: number }) {
    super();
    this.limit = options.limit;
    this.#window = options.window;
  }

  #usedIn(index: number): number {
    let used = 0;
    for (const { at, cost } of this.history) if (Math.floor(at / this.#window) === index) used += cost;
    return used;
  }

  #fits(moment: number, cost: number): boolean {
    const index = Math.floor(moment / this.#window);
    const [window, elapsed] = [BigInt(this.#window), BigInt(moment - index * this.#window)];
    const before = BigInt(this.#usedIn(index - 1));
    const used = BigInt(this.#usedIn(index));
    return before * (window - elapsed) + (used + BigInt(cost)) * window <= BigInt(this.limit) * window;
  }

  start(from: number, cost: number): number {
    if (cost > this.limit) return Number.POSITIVE_INFINITY;
    for (let moment = Math.max(from, this.latest); ; ) {
      const end = (Math.floor(moment / this.#window) + 1) * this.#window;
      // within a window, what fits once fits from then on
      if (this.#fits(end - 1, cost)) return this.#firstBetween(moment, end - 1, cost);
      moment = end;
    }
  }

  #firstBetween(from: number, to: number, cost: number): number {
    let [low, high] = [from, to];
    while (low < high) {
      const middle = low + Math.floor((high - low) / 2);
      if (this.#fits(middle, cost)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Comes out of the window of now, then out of the one before; while a start lies ahead, out of neither. */
  protected override comeBack(now: number, cost: number): void {
    if (this.latest > now) return;
    const index = Math.floor(now / this.#window);
    let left = cost;
    for (const candidate of [index, index - 1]) {
      const taken = Math.min(left, this.#usedIn(candidate));
      if (taken > 0) this.history.push({ at: candidate * this.#window, cost: -taken });
      left -= taken;
    }
  }

  resetAt(now: number): number {
    const windows = this.history
      .map(({ at }) => Math.floor(at / this.#window))
      .filter((index) => this.#usedIn(index) > 0);
    return Math.max(now, ...windows.map((index) => (index + 2) * this.#window));
  }

  bound(length: number): number {
    return (Math.ceil(length / this.#window) + 1) * this.limit - 1;
  }
}
