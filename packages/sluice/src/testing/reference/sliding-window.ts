import { History } from "./model.js";

/** At most `limit` in (moment - window, moment], whatever the moment. */
export class SlidingWindowModel extends History {
  readonly limit: number;
  readonly #window: number;

  constructor(options: { limit: number; window: number }) {
    super();
    this.limit = options.limit;
    this.#window = options.window;
  }

  #used(moment: number): number {
    let used = 0;
    for (const { at, cost } of this.history) if (at > moment - this.#window && at <= moment) used += cost;
    return used;
  }

  start(from: number, cost: number): number {
    if (cost > this.limit) return Number.POSITIVE_INFINITY;
    const first = Math.max(from, this.latest);
    const moments = [first, ...this.history.map(({ at }) => at + this.#window).filter((moment) => moment > first)];
    moments.sort((one, other) => one - other);
    return moments.find((moment) => this.#used(moment) + cost <= this.limit) as number;
  }

  /** Takes the newest calls that have started out of the history. */
  protected override comeBack(now: number, cost: number): void {
    let left = cost;
    this.history = this.history
      .toReversed()
      .map((call) => {
        if (call.at > now || call.at <= now - this.#window) return call;
        const taken = Math.min(left, call.cost);
        left -= taken;
        return { at: call.at, cost: call.cost - taken };
      })
      .toReversed();
  }

  resetAt(now: number): number {
    return Math.max(now, ...this.history.filter(({ cost }) => cost > 0).map(({ at }) => at + this.#window));
  }

  bound(length: number): number {
    return Math.ceil(length / this.#window) * this.limit;
  }
}
