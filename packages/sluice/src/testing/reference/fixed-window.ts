import { History } from "./model.js";

/** At most `limit` in each window. A window starts at its first call, or, when aligned, at a multiple of its length. */
export class FixedWindowModel extends History {
  readonly limit: number;
  readonly #window: number;
  readonly #aligned: boolean;

  constructor(options: { limit: number; window: number; aligned: boolean }) {
    super();
    this.limit = options.limit;
    this.#window = options.window;
    this.#aligned = options.aligned;
  }

  /** The last window: when it opened, and what was used in it. */
  #last(): { opened: number; used: number } {
    let opened = 0;
    let used = 0;
    for (const { at, cost } of this.history) {
      const inside = used > 0 && at < opened + this.#window;
      if (cost < 0) {
        if (inside) used = Math.max(0, used + cost);
        continue;
      }
      if (!inside) {
        opened = this.#aligned ? at - (at % this.#window) : at;
        used = 0;
      }
      used += cost;
    }
    return { opened, used };
  }

  start(from: number, cost: number): number {
    if (cost > this.limit) return Number.POSITIVE_INFINITY;
    const moment = Math.max(from, this.latest);
    const { opened, used } = this.#last();
    const over = used === 0 || moment >= opened + this.#window;
    return over || used + cost <= this.limit ? moment : opened + this.#window;
  }

  /** While a start lies ahead, the window that a refund belongs to is no longer known: nothing comes back. */
  protected override comeBack(now: number, cost: number): void {
    if (this.latest <= now) super.comeBack(now, cost);
  }

  resetAt(now: number): number {
    const { opened, used } = this.#last();
    return used === 0 ? Math.max(now, this.latest) : Math.max(now, opened + this.#window);
  }

  bound(length: number): number {
    const windows = Math.ceil(length / this.#window);
    return this.#aligned ? (windows + 1) * this.limit : (windows + 1) * this.limit - 1;
  }
}
