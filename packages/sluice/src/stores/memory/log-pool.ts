import type { Log } from "../../core/algorithm.js";

/**
 * The logs of all keys of a limiter, in blocks of eight calls from one pool: a doubly linked list of blocks for each key.
 *
 * A call takes two words (48 bits of stamp, 16 of cost) or, for limits above 65 535, three (48 of cost). With the two
 * links that is 9 (13) bytes a call; the alternatives were a typed array per key (200 bytes before its first call) and
 * a JS array (16 bytes a call, and O(n) to drop from its front). Stamps are kept modulo 2⁴⁸ µs and read relative to
 * the newest, which is kept whole.
 */

const callsPerBlock = 8;
const blocksPerChunk = 1024;
const stampRange = 2 ** 48;
const word = 2 ** 32;
/** Calls of one stamp that a single push may add: what a debt is cut to. */
const longestDebt = 16;

/** What a key remembers of its log: the position (`block · 8 + index`) of its first call, one more than that of its last, the newest stamp. */
export const headerWidth = 3;
const HEAD = 0;
const END = 1;
const NEWEST = 2;

export class LogPool implements Log {
  readonly #words: number;
  readonly #costLimit: number;
  readonly #blockWords: number;
  readonly #chunks: Uint32Array[] = [];
  #free = -1;
  #unused = 0;
  /** The header of the key at hand: loaded and saved by the caller. Zeros are an empty log. */
  readonly header: Float64Array = new Float64Array(headerWidth);

  constructor(largestCost: number) {
    this.#words = largestCost > 0xffff ? 3 : 2;
    this.#costLimit = largestCost > 0xffff ? stampRange - 1 : 0xffff;
    this.#blockWords = callsPerBlock * this.#words + 2;
  }

  newest(): number {
    return this.header[NEWEST] as number;
  }

  scan(visit: (stamp: number, cost: number) => boolean, fromNewest = false): void {
    if (fromNewest) {
      this.#eachBack(0, (at) => visit(this.#stamp(at), this.#cost(at)));
      return;
    }
    if (this.#empty()) return;
    const tail = this.#tail();
    for (let at = this.header[HEAD] as number; visit(this.#stamp(at), this.#cost(at)); at = this.#after(at)) {
      if (at === tail) return;
    }
  }

  push(stamp: number, cost: number): number {
    let left = Math.min(cost, this.#costLimit * longestDebt);
    const logged = left;
    if (!this.#empty() && this.newest() === stamp) left -= this.#raise(this.#tail(), left);
    while (left > 0) left -= this.#append(stamp, Math.min(left, this.#costLimit));
    return logged;
  }

  dropThrough(stamp: number): number {
    let dropped = 0;
    while (!this.#empty()) {
      const head = this.header[HEAD] as number;
      if (this.#stamp(head) > stamp) break;
      dropped += this.#cost(head);
      this.#removeHead(head);
    }
    return dropped;
  }

  take(cost: number, from: number, through: number): number {
    let left = cost;
    // an entry before the newest stays, with a cost of 0, until it leaves the window
    this.#eachBack(from, (at) => {
      if (this.#stamp(at) <= through) left -= this.#lower(at, left);
      return left > 0;
    });
    while (!this.#empty() && this.#cost(this.#tail()) === 0) this.#removeTail(this.#tail());
    return cost - left;
  }

  add(stamp: number, cost: number): number {
    if (this.#empty()) return 0;
    if (this.newest() === stamp) return this.push(stamp, cost);
    let left = cost;
    this.#eachBack(stamp, (at) => {
      if (this.#stamp(at) === stamp) left -= this.#raise(at, left);
      return left > 0;
    });
    return cost - left;
  }

  shift(back: number): void {
    if (this.#empty()) return;
    const tail = this.#tail();
    let at = this.header[HEAD] as number;
    for (;;) {
      this.#write(at, Math.max(0, this.#stamp(at) - back), this.#cost(at));
      if (at === tail) break;
      at = this.#after(at);
    }
    this.header[NEWEST] = Math.max(0, this.newest() - back);
  }

  /** Forgets every key. */
  empty(): void {
    this.#chunks.length = this.#unused = 0;
    this.#free = -1;
  }

  /** Gives all blocks of the key at hand back. */
  clear(): void {
    if (this.#empty()) return;
    const last = Math.floor(this.#tail() / callsPerBlock);
    let block = Math.floor((this.header[HEAD] as number) / callsPerBlock);
    for (;;) {
      const next = this.#link(block, 1);
      this.#release(block);
      if (block === last) break;
      block = next;
    }
    this.header.fill(0);
  }

  #empty(): boolean {
    return this.header[END] === 0;
  }

  #tail(): number {
    return (this.header[END] as number) - 1;
  }

  /** Visits the entries from the newest back to `from`, until `visit` returns false. */
  #eachBack(from: number, visit: (at: number) => boolean): void {
    if (this.#empty()) return;
    const head = this.header[HEAD] as number;
    for (let at = this.#tail(); this.#stamp(at) >= from && visit(at) && at !== head; at = this.#previous(at));
  }

  #append(stamp: number, cost: number): number {
    let at: number;
    if (this.#empty()) {
      at = this.#allocate() * callsPerBlock;
      this.header[HEAD] = at;
    } else {
      const tail = this.#tail();
      at = tail + 1;
      if (at % callsPerBlock === 0) {
        const block = this.#allocate();
        this.#setLink(Math.floor(tail / callsPerBlock), 1, block);
        this.#setLink(block, 0, Math.floor(tail / callsPerBlock));
        at = block * callsPerBlock;
      }
    }
    this.header[END] = at + 1;
    this.header[NEWEST] = stamp;
    this.#write(at, stamp, cost);
    return cost;
  }

  #removeHead(head: number): void {
    if (head === this.#tail()) {
      this.clear();
      return;
    }
    this.header[HEAD] = this.#after(head);
    if (head % callsPerBlock === callsPerBlock - 1) this.#release(Math.floor(head / callsPerBlock));
  }

  #removeTail(tail: number): void {
    if (tail === this.header[HEAD]) {
      this.clear();
      return;
    }
    const previous = this.#previous(tail);
    const newest = this.#stamp(previous);
    if (tail % callsPerBlock === 0) this.#release(Math.floor(tail / callsPerBlock));
    this.header[END] = previous + 1;
    this.header[NEWEST] = newest;
  }

  #after(at: number): number {
    return (at + 1) % callsPerBlock === 0 ? this.#link(Math.floor(at / callsPerBlock), 1) * callsPerBlock : at + 1;
  }

  #previous(at: number): number {
    return at % callsPerBlock === 0
      ? this.#link(Math.floor(at / callsPerBlock), 0) * callsPerBlock + callsPerBlock - 1
      : at - 1;
  }

  #stamp(at: number): number {
    const chunk = this.#chunk(at);
    const offset = this.#offset(at);
    const kept = ((chunk[offset + 1] as number) >>> 16) * word + (chunk[offset] as number);
    const newest = this.newest();
    const age = (newest % stampRange) - kept;
    return newest - (age < 0 ? age + stampRange : age);
  }

  #cost(at: number): number {
    const chunk = this.#chunk(at);
    const offset = this.#offset(at);
    const low = (chunk[offset + 1] as number) & 0xffff;
    return this.#words === 2 ? low : low * word + (chunk[offset + 2] as number);
  }

  #raise(at: number, cost: number): number {
    const before = this.#cost(at);
    const added = Math.min(cost, this.#costLimit - before);
    this.#setCost(at, before + added);
    return added;
  }

  #lower(at: number, cost: number): number {
    const before = this.#cost(at);
    const taken = Math.min(cost, before);
    this.#setCost(at, before - taken);
    return taken;
  }

  #write(at: number, stamp: number, cost: number): void {
    const chunk = this.#chunk(at);
    const offset = this.#offset(at);
    const kept = stamp % stampRange;
    chunk[offset] = kept % word;
    chunk[offset + 1] = Math.floor(kept / word) << 16;
    this.#setCost(at, cost);
  }

  #setCost(at: number, cost: number): void {
    const chunk = this.#chunk(at);
    const offset = this.#offset(at);
    const high = (chunk[offset + 1] as number) & 0xffff0000;
    if (this.#words === 2) {
      chunk[offset + 1] = high | cost;
    } else {
      chunk[offset + 1] = high | Math.floor(cost / word);
      chunk[offset + 2] = cost % word;
    }
  }

  #chunk(at: number): Uint32Array {
    return this.#chunks[Math.floor(at / (callsPerBlock * blocksPerChunk))] as Uint32Array;
  }

  #offset(at: number): number {
    const block = Math.floor(at / callsPerBlock) % blocksPerChunk;
    return block * this.#blockWords + (at % callsPerBlock) * this.#words;
  }

  #link(block: number, which: 0 | 1): number {
    const chunk = this.#chunks[Math.floor(block / blocksPerChunk)] as Uint32Array;
    return chunk[((block % blocksPerChunk) + 1) * this.#blockWords - 2 + which] as number;
  }

  #setLink(block: number, which: 0 | 1, to: number): void {
    const chunk = this.#chunks[Math.floor(block / blocksPerChunk)] as Uint32Array;
    chunk[((block % blocksPerChunk) + 1) * this.#blockWords - 2 + which] = to;
  }

  #allocate(): number {
    if (this.#free >= 0) {
      const block = this.#free;
      const next = this.#link(block, 1);
      this.#free = next === block ? -1 : next;
      return block;
    }
    const block = this.#unused++;
    if (block % blocksPerChunk === 0) this.#chunks.push(new Uint32Array(blocksPerChunk * this.#blockWords));
    return block;
  }

  /** Freed blocks are a list through their second link; the last points to itself. */
  #release(block: number): void {
    this.#setLink(block, 1, this.#free < 0 ? block : this.#free);
    this.#free = block;
  }
}
