/** Takes a request on its way. */
export type Sink = (at: number, key: string, cost: number) => void;

/**
 * Puts requests into order of time as they come, while none is later than `window` µs behind the newest, and holds at
 * most about `most` of them. Requests of the same moment keep their order.
 *
 * Those in order wait in a ring, which costs nothing but the copying; only stragglers, which come after a newer one, go
 * through a heap.
 */
export class Reorder {
  readonly #window: number;
  readonly #most: number;
  readonly #ring = new Ring();
  readonly #stragglers = new Heap();
  /** Everything up to here may leave. */
  #watermark = Number.NEGATIVE_INFINITY;
  /** The last that left. */
  #left = Number.NEGATIVE_INFINITY;

  /** Infinite `window` and `most` sort everything. */
  constructor(window: number, most: number) {
    this.#window = window;
    this.#most = most;
  }

  /** By how much a request at this moment would come too late, in µs; 0 when it is in time. */
  late(at: number): number {
    return Math.max(0, this.#watermark - at, this.#left - at);
  }

  /** True when requests had to leave before their window was over, because there were too many. */
  get overflowed(): boolean {
    return this.#left > this.#watermark;
  }

  /** Adds a request that is not late. */
  push(at: number, key: string, cost: number): void {
    if (at >= this.#ring.newest) {
      this.#ring.push(at, key, cost);
      this.#watermark = Math.max(this.#watermark, at - this.#window);
    } else {
      this.#stragglers.push(at, key, cost);
    }
  }

  /** Nothing more will come: everything may leave. */
  end(): void {
    this.#watermark = Number.POSITIVE_INFINITY;
  }

  /** The moment of the first request that may leave; Infinity when none may yet. */
  get ready(): number {
    const first = Math.min(this.#ring.first, this.#stragglers.first);
    const overfull = this.#ring.size + this.#stragglers.size > this.#most;
    return first <= this.#watermark || overfull ? first : Number.POSITIVE_INFINITY;
  }

  /** Sends on, in order, all that may leave, up to and including the moment `until`. */
  drain(until: number, sink: Sink): void {
    for (let first = this.ready; first <= until && first !== Number.POSITIVE_INFINITY; first = this.ready) {
      this.#left = first;
      // a straggler of the same moment came after whatever the ring holds of it
      (this.#ring.first <= this.#stragglers.first ? this.#ring : this.#stragglers).shift(sink);
    }
  }
}

/** First in, first out; grows by doubling. */
class Ring {
  #at = new Float64Array(1024);
  #cost = new Float64Array(1024);
  #keys: string[] = Array.from({ length: 1024 }, () => "");
  #head = 0;
  size = 0;
  /** The moment of the newest that ever came. */
  newest = Number.NEGATIVE_INFINITY;

  get first(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : (this.#at[this.#head] as number);
  }

  push(at: number, key: string, cost: number): void {
    if (this.size === this.#at.length) this.#grow();
    const place = (this.#head + this.size) & (this.#at.length - 1);
    this.#at[place] = at;
    this.#cost[place] = cost;
    this.#keys[place] = key;
    this.size += 1;
    this.newest = at;
  }

  shift(sink: Sink): void {
    const head = this.#head;
    this.#head = (head + 1) & (this.#at.length - 1);
    this.size -= 1;
    sink(this.#at[head] as number, this.#keys[head] as string, this.#cost[head] as number);
  }

  #grow(): void {
    const { length } = this.#at;
    this.#at = unrolled(this.#at, this.#head);
    this.#cost = unrolled(this.#cost, this.#head);
    this.#keys = [...this.#keys.slice(this.#head), ...this.#keys.slice(0, this.#head)];
    for (let place = length; place < 2 * length; place++) this.#keys.push("");
    this.#head = 0;
  }
}

/** Twice as long, and with the head at its beginning. */
function unrolled(numbers: Float64Array, head: number): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(2 * numbers.length);
  larger.set(numbers.subarray(head));
  larger.set(numbers.subarray(0, head), numbers.length - head);
  return larger;
}

interface Straggler {
  readonly at: number;
  readonly order: number;
  readonly key: string;
  readonly cost: number;
}

/** The earliest out first, of the same moment the first in. */
class Heap {
  readonly #heap: Straggler[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  get first(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  push(at: number, key: string, cost: number): void {
    const heap = this.#heap;
    const straggler = { at, order: this.#order++, key, cost };
    let place = heap.length;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!before(straggler, heap[parent] as Straggler)) break;
      heap[place] = heap[parent] as Straggler;
      place = parent;
    }
    heap[place] = straggler;
  }

  shift(sink: Sink): void {
    const heap = this.#heap;
    const { at, key, cost } = heap[0] as Straggler;
    const last = heap.pop() as Straggler;
    if (heap.length > 0) {
      let place = 0;
      for (let child = 1; child < heap.length; child = 2 * place + 1) {
        if (child + 1 < heap.length && before(heap[child + 1] as Straggler, heap[child] as Straggler)) child += 1;
        if (!before(heap[child] as Straggler, last)) break;
        heap[place] = heap[child] as Straggler;
        place = child;
      }
      heap[place] = last;
    }
    sink(at, key, cost);
  }
}

function before(one: Straggler, other: Straggler): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
