import { type Clock, type MovableClock, onMove } from "./clock.js";

/** The longest that a timer of the platform can be set: beyond it, it fires at once. */
export const longestTimer: number = 2 ** 31 - 1;

/** One call that waits for its moment. */
interface Entry {
  /** µs on the clock. */
  readonly at: number;
  readonly ring: () => void;
  readonly order: number;
  /** Whether it keeps the process alive. */
  readonly holds: boolean;
  /** Where it stands in the heap; -1 once it rang or was cancelled. */
  place: number;
}

/**
 * Alarms on one clock, rung strictly in order of their moment, then of their setting. One timer of the platform serves
 * them all (timers of their own would ring out of order when their delays round differently), set and cancelled in
 * O(log n). On a clock that is moved by hand, moving it rings what is due.
 */
export class Alarms {
  readonly #clock: Clock;
  readonly #heap: Entry[] = [];
  #order = 0;
  /** How many keep the process alive. */
  #holding = 0;
  #timer: (ReturnType<typeof setTimeout> & { ref?: () => void; unref?: () => void }) | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #unwatch: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Alarms that have not rung. */
  get size(): number {
    return this.#heap.length;
  }

  /**
   * Rings `ring` once the clock shows `at`. Returns the function that cancels it. With `holds` false it keeps no process
   * alive, where the platform has such timers.
   */
  set(at: number, ring: () => void, holds = true): () => void {
    const entry: Entry = { at, ring, order: this.#order++, holds, place: this.#heap.length };
    this.#heap.push(entry);
    this.#up(entry);
    if (holds && this.#holding++ === 0) this.#timer?.ref?.();
    if (entry.place === 0) this.#arm();
    return () => {
      if (entry.place < 0) return;
      this.#remove(entry);
      if (this.#heap.length === 0) this.#disarm();
    };
  }

  /** Rings `ring` in `delay` µs, as `set`. */
  in(delay: number, ring: () => void, holds = true): () => void {
    return this.set(this.#clock.now() + delay, ring, holds);
  }

  /** Rings what is due; its timer may be late, when the event loop was busy. */
  ringDue(): void {
    if (this.#heap.length === 0) return;
    try {
      for (let first = this.#heap[0]; first !== undefined && first.at <= this.#clock.now(); first = this.#heap[0]) {
        this.#remove(first);
        first.ring();
      }
    } finally {
      if (this.#heap.length === 0) this.#disarm();
      else this.#arm();
    }
  }

  #arm(): void {
    const first = this.#heap[0] as Entry;
    const movable = this.#clock as Partial<MovableClock>;
    if (movable[onMove] !== undefined) {
      this.#unwatch ??= movable[onMove](() => this.ringDue());
      return;
    }
    if (first.at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = first.at;
    // rounded up and at least 1: a timer that rings early is set again, one that rings late costs a millisecond
    const delay = Math.max(1, Math.ceil((first.at - this.#clock.now()) / 1000));
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Number.POSITIVE_INFINITY;
        this.ringDue();
      },
      Math.min(delay, longestTimer),
    );
    if (this.#holding === 0) this.#timer.unref?.();
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#unwatch?.();
    this.#unwatch = undefined;
  }

  #remove(entry: Entry): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry;
    if (last !== entry) {
      heap[entry.place] = last;
      last.place = entry.place;
      this.#up(last);
      this.#down(last);
    }
    entry.place = -1;
    if (entry.holds && --this.#holding === 0) this.#timer?.unref?.();
  }

  #up(entry: Entry): void {
    const heap = this.#heap;
    let place = entry.place;
    while (place > 0) {
      const parent = heap[(place - 1) >> 1] as Entry;
      if (!before(entry, parent)) break;
      heap[place] = parent;
      const parentPlace = parent.place;
      parent.place = place;
      place = parentPlace;
    }
    heap[place] = entry;
    entry.place = place;
  }

  #down(entry: Entry): void {
    const heap = this.#heap;
    let place = entry.place;
    for (;;) {
      let child = heap[2 * place + 1];
      if (child === undefined) break;
      const right = heap[2 * place + 2];
      if (right !== undefined && before(right, child)) child = right;
      if (!before(child, entry)) break;
      const childPlace = child.place;
      heap[place] = child;
      child.place = place;
      place = childPlace;
    }
    heap[place] = entry;
    entry.place = place;
  }
}

function before(one: Entry, other: Entry): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
