import { newWords, pack, Texts } from "./texts.js";

/**
 * From keys to slots, for millions of keys without a pause: segments of at most 4096 cells, found through a directory by
 * the high bits of a hash; a full segment splits in two (extendible hashing: Fagin et al., ACM TODS 4, 1979). A cell is
 * a hash and a slot.
 *
 * The loser: a `Map<string, number>` of twelve-character keys stalls for 290 to 410 ms while it grows to ten million, and
 * 64 of them for 12 to 17 ms. Here no step moves more than 4096 cells.
 */
export class KeyIndex {
  readonly #hashOf: HashOf;
  readonly #words = newWords();
  #texts = new Texts();
  #directory: Segment[] = [newSegment(0, 16)];
  #depth = 0;

  /** `hashOf` is for tests. Default: keyed, so that nobody can choose keys that collide. */
  constructor(hashOf: HashOf = keyedHash()) {
    this.#hashOf = hashOf;
  }

  clear(): void {
    this.#texts = new Texts();
    this.#directory = [newSegment(0, 16)];
    this.#depth = 0;
  }

  /** The key in the slot. */
  key(slot: number): string | undefined {
    return this.#texts.read(slot);
  }

  /** Whether there is a key in the slot; cheaper than reading it. */
  holds(slot: number): boolean {
    return this.#texts.holds(slot);
  }

  /** The slot of the key; -1 when it is not held. */
  find(key: string): number {
    const packed = pack(key, this.#words);
    const hash = this.#hashOf(key, packed);
    const { cells, mask } = this.#segment(hash);
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const slot = (cells[2 * at + 1] as number) - 1;
      if (slot < 0) return -1;
      if (cells[2 * at] === hash && this.#texts.is(slot, key, packed)) return slot;
    }
  }

  /** Adds a key that is not held, in a slot that was removed before or is the next. */
  add(key: string, slot: number): void {
    const packed = pack(key, this.#words);
    const hash = this.#hashOf(key, packed);
    this.#texts.write(slot, key, packed);
    let segment = this.#segment(hash);
    while (segment.count >= ((segment.mask + 1) * 7) >>> 3) {
      this.#grow(segment, hash);
      segment = this.#segment(hash);
    }
    place(segment, hash, slot);
    segment.count += 1;
  }

  /** Removes the key in the slot. */
  remove(slot: number): void {
    const key = this.#texts.read(slot) as string;
    const hash = this.#hashOf(key, pack(key, this.#words));
    const segment = this.#segment(hash);
    const { cells, mask } = segment;
    let hole = hash & mask;
    while (cells[2 * hole + 1] !== slot + 1) hole = (hole + 1) & mask;
    // close the gap: later cells of the run move up unless that would put them before their own place
    for (let at = (hole + 1) & mask; cells[2 * at + 1] !== 0; at = (at + 1) & mask) {
      const home = (cells[2 * at] as number) & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        cells[2 * hole] = cells[2 * at] as number;
        cells[2 * hole + 1] = cells[2 * at + 1] as number;
        hole = at;
      }
    }
    cells[2 * hole + 1] = 0;
    segment.count -= 1;
    this.#texts.clear(slot);
  }

  #segment(hash: number): Segment {
    return this.#directory[(hash >>> 1) >>> (31 - this.#depth)] as Segment;
  }

  #grow(segment: Segment, hash: number): void {
    const size = segment.mask + 1;
    if (size < largestSegment || segment.depth === deepest) {
      const larger = newSegment(segment.depth, size * 2);
      each(segment, (cellHash, slot) => place(larger, cellHash, slot));
      segment.cells = larger.cells;
      segment.mask = larger.mask;
      return;
    }
    if (segment.depth === this.#depth) {
      this.#directory = this.#directory.flatMap((same) => [same, same]);
      this.#depth += 1;
    }
    const depth = segment.depth + 1;
    const halves = [newSegment(depth, size), newSegment(depth, size)] as const;
    each(segment, (cellHash, slot) => {
      const half = halves[((cellHash >>> (32 - depth)) & 1) as 0 | 1];
      place(half, cellHash, slot);
      half.count += 1;
    });
    const run = 1 << (this.#depth - segment.depth);
    const first = ((hash >>> 1) >>> (31 - this.#depth)) & ~(run - 1);
    this.#directory.fill(halves[0], first, first + run / 2);
    this.#directory.fill(halves[1], first + run / 2, first + run);
  }
}

interface Segment {
  /** Two numbers a cell: hash, slot + 1; a slot of 0 is an empty cell. */
  cells: Int32Array;
  mask: number;
  count: number;
  /** How many high bits of the hash its keys share. */
  readonly depth: number;
}

const largestSegment = 4096;
const deepest = 20;

function newSegment(depth: number, size: number): Segment {
  return { cells: new Int32Array(2 * size), mask: size - 1, count: 0, depth };
}

function place(segment: Segment, hash: number, slot: number): void {
  const { cells, mask } = segment;
  let at = hash & mask;
  while (cells[2 * at + 1] !== 0) at = (at + 1) & mask;
  cells[2 * at] = hash;
  cells[2 * at + 1] = slot + 1;
}

function each(segment: Segment, visit: (hash: number, slot: number) => void): void {
  const { cells } = segment;
  for (let at = 0; at < cells.length; at += 2) {
    const slot = cells[at + 1] as number;
    if (slot !== 0) visit(cells[at] as number, slot - 1);
  }
}

/** From a key, and its words where it could be packed, to 32 bits. */
export type HashOf = (key: string, packed: Int32Array | undefined) => number;

/** Seeded anew each time. */
export function keyedHash(): HashOf {
  const [low = 0, high = 0] = crypto.getRandomValues(new Int32Array(2));
  return (key, packed) => (packed === undefined ? hashText(key, low, high) : hashWords(packed, key.length, low, high));
}

/**
 * HalfSipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). Keyed, so that nobody can choose keys
 * that collide; a multiplicative mix is 15 ns faster on twelve characters, and is not safe.
 */
function hashWords(words: Int32Array, length: number, seedLow: number, seedHigh: number): number {
  // `| 0` tells V8 that all of this is 32-bit integers
  let v0 = seedLow | 0;
  let v1 = seedHigh | 0;
  let v2 = 0x6c796765 ^ seedLow;
  let v3 = 0x74656462 ^ seedHigh;
  for (let at = 0; at << 2 < length; at++) {
    const m = words[at] as number;
    v3 ^= m;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= m;
  }
  return finished(v0, v1, v2, v3, length << 24);
}

/** The same over UTF-16 units, two a word. */
function hashText(key: string, seedLow: number, seedHigh: number): number {
  let v0 = seedLow | 0;
  let v1 = seedHigh | 0;
  let v2 = 0x6c796765 ^ seedLow;
  let v3 = 0x74656462 ^ seedHigh;
  const { length } = key;
  const even = length & ~1;
  for (let at = 0; at < even; at += 2) {
    const m = key.charCodeAt(at) | (key.charCodeAt(at + 1) << 16);
    v3 ^= m;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= m;
  }
  return finished(v0, v1, v2, v3, (length << 24) | (length > even ? key.charCodeAt(even) : 0));
}

function finished(low: number, second: number, third: number, high: number, last: number): number {
  let v0 = low;
  let v1 = second;
  let v2 = third;
  let v3 = high ^ last;
  for (let round = 0; round < 4; round++) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    if (round === 0) {
      v0 ^= last;
      v2 ^= 0xff;
    }
  }
  return v1 ^ v3;
}
