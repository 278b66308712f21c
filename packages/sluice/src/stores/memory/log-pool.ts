import type { Log } from "../../core/algorithm.js";

/**
 * The logs of all keys of a limiter, in blocks of eight calls from one pool: a doubly linked list of blocks for each key.
 *
 * A call takes two words: 48 bits of stamp, 16 of cost. With the two links of its block that is 9 bytes a call; the
 * alternatives were a typed array per key (200 bytes before its first call) and a JS array (16 bytes a call, and O(n) to
 * drop from its front). A chunk in which some call costs more than 65 535 has a third word for each. Stamps are kept
 * modulo 2⁴⁸ µs, from the first that the pool has seen, and read relative to the newest, which is kept whole.
 *
 * The edge of a key moves as the window of those who ask does, so a call is passed a few times in its life, not at each
 * decision. The last block's second link tells where the oldest call is, which only changes when calls are dropped.
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
const words = 2 ** -32;
const lowCosts = 2 ** 16;
const highMask = blocksPerChunk * callsPerBlock - 1;
/** What one call can cost; more is cut. */
const costLimit = 2 ** 48 - 1;

/**
 * What a key remembers of its log: the position (`block · 8 + index`) of the first call from the edge on, one more than
 * that of its last call, the newest stamp, what the calls from the edge on cost.
 */
export const headerWidth = 4;
const EDGE = 0;
const END = 1;
const NEWEST = 2;
const USED = 3;

export class LogPool implements Log {
  readonly #chunks: Uint32Array[] = [];
  /** By chunk: what the calls cost beyond their low 16 bits, where some call does. */
  readonly #highCosts: (Uint32Array | undefined)[] = [];
  #free = -1;
  #unused = 0;
  /** µs: the moment that is kept as 0. */
  #origin = 0;
  /** The header of the key at hand: loaded and saved by the caller. Zeros are an empty log. */
  readonly header: Float64Array;

  constructor(header: Float64Array = new Float64Array(headerWidth)) {
    this.header = header;
  }

  newest(): number {
    return this.header[NEWEST] as number;
  }

  used(): number {
    return this.header[USED] as number;
  }

  moveEdge(past: number): boolean {
    if (this.#empty()) return false;
    const { header } = this;
    const before = header[EDGE] as number;
    let at = before;
    if (this.#stamp(at) > past) {
      const first = this.#first();
      while (at !== first) {
        const previous = this.#previous(at);
        if (this.#stamp(previous) <= past) break;
        this.#count(this.#cost(previous));
        at = previous;
      }
    } else {
      const tail = this.#tail();
      while (at !== tail && this.#stamp(at) <= past) {
        this.#count(-this.#cost(at));
        at = this.#after(at);
      }
    }
    header[EDGE] = at;
    return at !== before;
  }

  reach(cost: number): number {
    let at: number;
    let left = cost;
    if (2 * cost <= this.used()) {
      at = this.header[EDGE] as number;
      for (left -= this.#cost(at); left > 0; left -= this.#cost(at)) at = this.#after(at);
    } else {
      // nearer from the other end: what comes after it
      at = this.#tail();
      left = this.used() - cost;
      for (let each = this.#cost(at); each <= left; each = this.#cost(at)) {
        left -= each;
        at = this.#previous(at);
      }
    }
    return this.#stamp(at);
  }

  push(stamp: number, cost: number): void {
    if (!this.#empty() && this.newest() === stamp) this.#count(this.#raise(this.#tail(), cost));
    else this.#count(this.#append(stamp, Math.min(cost, costLimit)));
  }

  dropThrough(stamp: number): void {
    if (this.#empty()) return;
    if (this.newest() <= stamp) {
      this.clear();
      return;
    }
    const { header } = this;
    const first = this.#first();
    let at = first;
    while (this.#stamp(at) <= stamp) {
      const next = this.#after(at);
      if (at === header[EDGE]) {
        this.#count(-this.#cost(at));
        header[EDGE] = next;
      }
      if ((at & callMask) === callMask) this.#release(at >>> blockBits);
      at = next;
    }
    if (at !== first) this.#setLink(this.#tail() >>> blockBits, 1, at);
  }

  take(cost: number, from: number, through: number): void {
    let left = cost;
    // one before the newest stays, with a cost of 0, until it leaves the window
    this.#eachBack(from, (at, inside) => {
      const taken = this.#stamp(at) > through ? 0 : this.#lower(at, left);
      if (inside) this.#count(-taken);
      left -= taken;
      return left > 0;
    });
    while (!this.#empty() && this.#cost(this.#tail()) === 0) this.#removeTail(this.#tail());
  }

  add(stamp: number, cost: number): void {
    this.#eachBack(stamp, (at, inside) => {
      if (this.#stamp(at) > stamp) return true;
      const added = this.#raise(at, cost);
      if (inside) this.#count(added);
      return false;
    });
  }

  shift(back: number): void {
    if (this.#empty()) return;
    this.#eachBack(0, (at) => {
      this.#write(at, Math.max(0, this.#stamp(at) - back), this.#cost(at));
      return true;
    });
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
    const first = this.#first() >>> blockBits;
    const last = this.#tail() >>> blockBits;
    // they are a list already
    this.#setLink(last, 1, this.#free < 0 ? last : this.#free);
    this.#free = first;
    this.header.fill(0);
  }

  /** The calls from the edge on cost so much more. */
  #count(change: number): void {
    this.header[USED] = this.used() + change;
  }

  #empty(): boolean {
    return this.header[END] === 0;
  }

  #tail(): number {
    return (this.header[END] as number) - 1;
  }

  /** The oldest call. */
  #first(): number {
    return this.#link(this.#tail() >>> blockBits, 1);
  }

  /** Visits the calls from the newest back to `from`, until `visit` returns false. */
  #eachBack(from: number, visit: (at: number, inside: boolean) => boolean): void {
    if (this.#empty()) return;
    const first = this.#first();
    let inside = true;
    for (let at = this.#tail(); this.#stamp(at) >= from && visit(at, inside) && at !== first; at = this.#previous(at)) {
      if (at === this.header[EDGE]) inside = false;
    }
  }

  #append(stamp: number, cost: number): number {
    let at: number;
    if (this.#unused === 0) this.#origin = stamp;
    if (this.#empty()) {
      const block = this.#allocate();
      at = block * callsPerBlock;
      this.#setLink(block, 1, at);
      this.header[EDGE] = at;
    } else {
      const tail = this.#tail();
      at = tail + 1;
      if ((at & callMask) === 0) {
        const block = this.#allocate();
        this.#setLink(block, 0, tail >>> blockBits);
        this.#setLink(block, 1, this.#first());
        this.#setLink(tail >>> blockBits, 1, block);
        at = block * callsPerBlock;
      }
    }
    this.header[END] = at + 1;
    this.header[NEWEST] = stamp;
    this.#write(at, stamp, cost);
    return cost;
  }

  /** The last call, which costs nothing, goes. */
  #removeTail(tail: number): void {
    const first = this.#first();
    if (tail === first) {
      this.clear();
      return;
    }
    const previous = this.#previous(tail);
    const newest = this.#stamp(previous);
    if (tail === this.header[EDGE]) {
      this.header[EDGE] = previous;
      this.header[USED] = this.#cost(previous);
    }
    if ((tail & callMask) === 0) {
      this.#release(tail >>> blockBits);
      this.#setLink(previous >>> blockBits, 1, first);
    }
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
    const stamp = this.#origin + ((chunk[offset + 1] as number) >>> 16) * word + (chunk[offset] as number);
    const age = this.newest() - stamp;
    return age >= 0 && age < stampRange ? stamp : this.newest() - wrapped(age);
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
    let kept = stamp - this.#origin;
    if (kept < 0 || kept >= stampRange) kept = wrapped(kept);
    // a store into 32 bits takes the low ones, and so does a shift
    chunk[offset] = kept;
    chunk[offset + 1] = (kept * words) << 16;
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

/** The remainder of 2⁴⁸, which is exact for a power of two, and faster than `%`. */
function wrapped(span: number): number {
  return span - Math.floor(span * ranges) * stampRange;
}
