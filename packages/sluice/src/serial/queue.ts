/** What an entry needs to stand in a `Queue`. */
export interface Queued<T> {
  previous: T | undefined;
  next: T | undefined;
}

/** First in, first out, and out of the middle too: each in O(1), at any length. The entries are the links. */
export class Queue<T extends Queued<T>> {
  first: T | undefined;
  length = 0;
  #last: T | undefined;

  push(entry: T): void {
    entry.previous = this.#last;
    if (this.#last === undefined) this.first = entry;
    else this.#last.next = entry;
    this.#last = entry;
    this.length += 1;
  }

  /** `entry` stands in this queue. */
  remove(entry: T): void {
    const { previous, next } = entry;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    entry.previous = undefined;
    entry.next = undefined;
    this.length -= 1;
  }
}
