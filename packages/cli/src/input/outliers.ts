/** µs: further than this from both its neighbours, which agree, only a wrong clock takes a request. */
const farAway = 86_400e6;

/** A request with its moment in µs. */
interface Timed {
  readonly at: number;
}

/**
 * Finds lone requests that a wrong clock dated. A request that is far from the one before it may be one, or come after a
 * long silence, or show that nothing is in order: it is held until the next one tells, as is the first of all.
 */
export class Outliers<Request extends Timed> {
  readonly #take: (request: Request) => void;
  readonly #drop: (request: Request, away: number) => void;
  /** The moment of the last that was taken; NaN before the first. */
  #last = Number.NaN;
  /** At most one; two when they are the first of all. */
  #held: Request[] = [];

  /** `take` gets the requests that are right or cannot be told, in their order, `drop` the others. */
  constructor(take: (request: Request) => void, drop: (request: Request, away: number) => void) {
    this.#take = take;
    this.#drop = drop;
  }

  /** True for a request that is near the one before: it counts as taken. For all others, `add`. */
  near(at: number): boolean {
    const apart = at - this.#last;
    if (!(apart <= farAway && apart >= -farAway) || this.#held.length > 0) return false;
    this.#last = at;
    return true;
  }

  add(request: Request): void {
    const { at } = request;
    const [one, two] = this.#held;
    const last = two?.at ?? this.#last;
    if (one === undefined) {
      if (near(at, this.#last)) this.#accept(request);
      else this.#held = [request];
    } else if (two === undefined && Number.isNaN(last) && one.at - at > farAway) {
      this.#held = [one, request];
    } else {
      this.#held = [];
      const agree = near(at, last);
      if (agree) this.#drop(one, Math.abs(one.at - last));
      else this.#accept(one);
      if (two !== undefined && !agree && near(at, one.at)) this.#drop(two, Math.abs(two.at - one.at));
      else if (two !== undefined) this.#accept(two);
      this.add(request);
    }
  }

  /** Those of which nothing can be told any more. */
  end(): readonly Request[] {
    return this.#held;
  }

  #accept(request: Request): void {
    this.#last = request.at;
    this.#take(request);
  }
}

function near(one: number, other: number): boolean {
  return Math.abs(one - other) <= farAway;
}
