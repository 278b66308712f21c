import type { Log } from "../../core/algorithm.js";

/**
 * The logs of all keys of a limiter, in blocks of eight calls from one pool: a doubly linked list of blocks for each key.
 *
 * A call takes two words: 48 bits of stamp, 16 of cost. With the two links of its block that is 9 bytes a call; the
 * alternatives were a typed array per key (200 bytes before its first call) and a JS array (16 bytes a call, and O(n) to
 * drop from its front). A chunk in which some call costs more than 65 535 has a third word for each. Stamps are kept
 * modulo 2⁴⁸ µs and read relative to the newest, which is kept whole.
 */

const blockBits = 3;
const callsPerBlock = 1 << blockBits;
const callMask = callsPerBlock - 1;
const chunkBits = 10;
const blocksPerChunk = 1 << chunkBits;
const blockMask = blocksPerChunk - 1;
/** Two for each call, and two links. */
const blockWords = 2 * callsPerBlock + 2;
const stampRange = 2 ** 48;
const ranges = 2 ** -48;
const word = 2 ** 32;
const lowCosts = 2 ** 16;
const highMask = blocksPerChunk * callsPerBlock - 1;
/** What one entry can cost. */
const costLimit = 2 ** 48 - 1;
/** Calls of one stamp that a single push may add: what a debt is cut to. */
const longestDebt = 16;

/** What a key remembers of its log: the position (`block · 8 + index`) of its first call, one more than that of its last, the newest stamp. */
export const headerWidth = 3;
const HEAD = 0;
const END = 1;
const NEWEST = 2;

export class LogPool implements Log {
  readonly #chunks: Uint32Array[] = [];
  /** By chunk: what the calls cost beyond their low 16 bits, where some call does. */
  readonly #highCosts: (Uint32Array | undefined)[] = [];
  #free = -1;
  #unused = 0;
  /** The header of the key at hand: loaded and saved by the caller. Zeros are an empty log. */
  readonly header: Float64Array;

  constructor(header: Float64Array = new Float64Array(headerWidth)) {
    this.header = header;
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
    let left = Math.min(cost, costLimit * longestDebt);
    const logged = left;
    if (!this.#empty() && this.newest() === stamp) left -= this.#raise(this.#tail(), left);
    while (left > 0) left -= this.#append(stamp, Math.min(left, costLimit));
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
    this.#chunks.length = this.#highCosts.length = this.#unused = 0;
    this.#free = -1;
  }

  /** Gives all blocks of the key at hand back. */
  clear(): void {
    if (this.#empty()) return;
    const last = this.#tail() >>> blockBits;
    let block = (this.header[HEAD] as number) >>> blockBits;
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
      if ((at & callMask) === 0) {
        const block = this.#allocate();
        this.#setLink(tail >>> blockBits, 1, block);
        this.#setLink(block, 0, tail >>> blockBits);
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
    if ((head & callMask) === callMask) this.#release(head >>> blockBits);
  }

  #removeTail(tail: number): void {
    if (tail === this.header[HEAD]) {
      this.clear();
      return;
    }
    const previous = this.#previous(tail);
    const newest = this.#stamp(previous);
    if ((tail & callMask) === 0) this.#release(tail >>> blockBits);
    this.header[END] = previous + 1;
    this.header[NEWEST] = newest;
  }

  #after(at: number): number {
    return (at & callMask) === callMask ? this.#link(at >>> blockBits, 1) * callsPerBlock : at + 1;
  }

  #previous(at: number): number {
    return (at & callMask) === 0 ? this.#link(at >>> blockBits, 0) * callsPerBlock + callsPerBlock - 1 : at - 1;
  }

  #stamp(at: number): number {
    const chunk = this.#chunk(at);
    const offset = offsetOf(at);
    const kept = ((chunk[offset + 1] as number) >>> 16) * word + (chunk[offset] as number);
    const newest = this.newest();
    const age = wrapped(newest) - kept;
    return newest - (age < 0 ? age + stampRange : age);
  }

  #cost(at: number): number {
    const low = (this.#chunk(at)[offsetOf(at) + 1] as number) & 0xffff;
    const high = this.#highCosts.length === 0 ? undefined : this.#highCosts[chunkOf(at)];
    return high === undefined ? low : low + (high[at & highMask] as number) * lowCosts;
  }

  #raise(at: number, cost: number): number {
    const before = this.#cost(at);
    const added = Math.min(cost, costLimit - before);
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
    const offset = offsetOf(at);
    const kept = wrapped(stamp);
    // a store into 32 bits takes the low ones
    chunk[offset] = kept;
    chunk[offset + 1] = Math.floor(kept / word) << 16;
    this.#setCost(at, cost);
  }

  #setCost(at: number, cost: number): void {
    const chunk = this.#chunk(at);
    const offset = offsetOf(at);
    chunk[offset + 1] = ((chunk[offset + 1] as number) & 0xffff0000) | (cost & 0xffff);
    if (cost < lowCosts && this.#highCosts.length === 0) return;
    const which = chunkOf(at);
    if (cost >= lowCosts) this.#highCosts[which] ??= new Uint32Array(blocksPerChunk * callsPerBlock);
    const high = this.#highCosts[which];
    if (high !== undefined) high[at & highMask] = Math.floor(cost / lowCosts);
  }

  #chunk(at: number): Uint32Array {
    return this.#chunks[chunkOf(at)] as Uint32Array;
  }

  #link(block: number, which: 0 | 1): number {
    return (this.#chunks[block >>> chunkBits] as Uint32Array)[linksOf(block) + which] as number;
  }

  #setLink(block: number, which: 0 | 1, to: number): void {
    (this.#chunks[block >>> chunkBits] as Uint32Array)[linksOf(block) + which] = to;
  }

  #allocate(): number {
    if (this.#free >= 0) {
      const block = this.#free;
      const next = this.#link(block, 1);
      this.#free = next === block ? -1 : next;
      return block;
    }
    const block = this.#unused++;
    if ((block & blockMask) === 0) this.#chunks.push(new Uint32Array(blocksPerChunk * blockWords));
    return block;
  }

  /** Freed blocks are a list through their second link; the last points to itself. */
  #release(block: number): void {
    this.#setLink(block, 1, this.#free < 0 ? block : this.#free);
    this.#free = block;
  }
}

function chunkOf(at: number): number {
  return at >>> (blockBits + chunkBits);
}

function offsetOf(at: number): number {
  return ((at >>> blockBits) & blockMask) * blockWords + (at & callMask) * 2;
}

function linksOf(block: number): number {
  return (block & blockMask) * blockWords + 2 * callsPerBlock;
}

/** A stamp as it is kept: the remainder, which is exact for a power of two, and faster than `%`. */
function wrapped(stamp: number): number {
  return stamp - Math.floor(stamp * ranges) * stampRange;
}
