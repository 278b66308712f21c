/** A key that is shut out, in µs. */
interface LockOut {
  readonly since: number;
  /** When its last refusal said that it would be allowed. */
  until: number;
}

/**
 * How long keys were shut out: each from its first refusal until it was allowed again, or could have been, as its last
 * refusal said. Refusals without an admission between them are one lock-out.
 *
 * Remembers at most `most` keys that are shut out; it does not see the lock-outs of further ones.
 */
export class LockOuts {
  readonly #most: number;
  readonly #shut = new Map<string, LockOut>();
  #longest = 0;
  #longestKey: string | undefined;

  constructor(most: number) {
    this.#most = most;
  }

  /** The key was refused at a moment, and told to wait. */
  refused(key: string, at: number, wait: number): void {
    const lockOut = this.#shut.get(key);
    if (lockOut !== undefined) lockOut.until = Math.max(lockOut.until, at + wait);
    else if (this.#shut.size < this.#most) this.#shut.set(key, { since: at, until: at + wait });
  }

  /** The key was allowed. */
  allowed(key: string, at: number): void {
    if (this.#shut.size === 0) return;
    const lockOut = this.#shut.get(key);
    if (lockOut === undefined) return;
    this.#shut.delete(key);
    const duration = Math.min(at, lockOut.until) - lockOut.since;
    if (duration > this.#longest) {
      this.#longest = duration;
      this.#longestKey = key;
    }
  }

  /** The longest of all, those that last included; the first of those that were as long. */
  longest(): { readonly duration: number; readonly key: string | undefined } {
    let duration = this.#longest;
    let longestKey = this.#longestKey;
    for (const [key, { since, until }] of this.#shut) {
      if (until - since <= duration) continue;
      duration = until - since;
      longestKey = key;
    }
    return { duration, key: longestKey };
  }
}
