/** What is kept by slot is kept in chunks, so that nothing has to be moved to grow. */
export const slotBits = 12;
export const slotsPerChunk: number = 1 << slotBits;
export const slotMask: number = slotsPerChunk - 1;

/** In chunks from this one on, texts of up to so many one-byte characters are packed, four a word; others stay strings. */
const firstPackedChunk = 32;
const longestPacked = 28;
/** Words for a text: its length, or that it is elsewhere, then its characters. Two texts fill a cache line. */
const stride = 1 + longestPacked / 4;
const none = 0;
const elsewhere = -1;

/**
 * The keys by slot. In a large store the garbage collector has nothing to do with them.
 *
 * The losers: ten million strings in arrays, of which a scavenge copied 60 000 twice, made the longest call 26 to 38 ms
 * instead of 10 to 13, and weigh 16 bytes a key more. Packing them all: callers who come with the same string again find
 * it by its address, so that random touches of 100 000 keys were a quarter to a half slower.
 */
export class Texts {
  readonly #packed: Int32Array[] = [];
  readonly #strings: (string | undefined)[][] = [];

  holds(slot: number): boolean {
    const chunk = slot >>> slotBits;
    return chunk < firstPackedChunk
      ? this.#strings[chunk]?.[slot & slotMask] !== undefined
      : (this.#packed[chunk]?.[(slot & slotMask) * stride] ?? none) !== none;
  }

  /** Whether the text in the slot is this one, which `pack` has packed. */
  is(slot: number, text: string, words: Int32Array | undefined): boolean {
    const chunk = slot >>> slotBits;
    if (chunk < firstPackedChunk) return (this.#strings[chunk] as string[])[slot & slotMask] === text;
    const packed = this.#packed[chunk] as Int32Array;
    const from = (slot & slotMask) * stride;
    if (words === undefined) {
      return packed[from] === elsewhere && (this.#strings[chunk] as string[])[slot & slotMask] === text;
    }
    const { length } = text;
    if (packed[from] !== length) return false;
    for (let at = 0; at << 2 < length; at++) if (packed[from + 1 + at] !== words[at]) return false;
    return true;
  }

  read(slot: number): string | undefined {
    const chunk = slot >>> slotBits;
    const packed = this.#packed[chunk];
    const from = (slot & slotMask) * stride;
    const length = packed?.[from] ?? elsewhere;
    if (packed === undefined || length === elsewhere) return this.#strings[chunk]?.[slot & slotMask];
    if (length === none) return undefined;
    let text = "";
    for (let at = 0; at < length; at++) {
      text += String.fromCharCode(((packed[from + 1 + (at >> 2)] as number) >>> ((at & 3) << 3)) & 0xff);
    }
    return text;
  }

  /** Writes a text, which `pack` has packed. Slots come in order. */
  write(slot: number, text: string, words: Int32Array | undefined): void {
    const chunk = slot >>> slotBits;
    if (chunk >= firstPackedChunk) {
      let packed = this.#packed[chunk];
      if (packed === undefined) {
        packed = new Int32Array(slotsPerChunk * stride);
        this.#packed[chunk] = packed;
      }
      const from = (slot & slotMask) * stride;
      if (words !== undefined) {
        packed[from] = text.length;
        for (let at = 0; at << 2 < text.length; at++) packed[from + 1 + at] = words[at] as number;
        return;
      }
      packed[from] = elsewhere;
    }
    let strings = this.#strings[chunk];
    if (strings === undefined) {
      strings = [];
      this.#strings[chunk] = strings;
    }
    strings[slot & slotMask] = text;
  }

  clear(slot: number): void {
    const chunk = slot >>> slotBits;
    const packed = this.#packed[chunk];
    const from = (slot & slotMask) * stride;
    if (packed === undefined || packed[from] === elsewhere) {
      (this.#strings[chunk] as (string | undefined)[])[slot & slotMask] = undefined;
    }
    if (packed !== undefined) packed[from] = none;
  }
}

/** Room for one packed text. */
export function newWords(): Int32Array {
  return new Int32Array(longestPacked / 4);
}

/** Packs a text into `words`, the rest of the last one zero; undefined when it is too long or has wider characters. */
export function pack(text: string, words: Int32Array): Int32Array | undefined {
  const { length } = text;
  if (length > longestPacked) return undefined;
  let all = 0;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    const one = text.charCodeAt(at);
    const two = text.charCodeAt(at + 1);
    const three = text.charCodeAt(at + 2);
    const four = text.charCodeAt(at + 3);
    all |= one | two | three | four;
    words[at >> 2] = one | (two << 8) | (three << 16) | (four << 24);
  }
  if (at < length) {
    let last = 0;
    for (let shift = 0; at + (shift >> 3) < length; shift += 8) {
      const character = text.charCodeAt(at + (shift >> 3));
      all |= character;
      last |= character << shift;
    }
    words[at >> 2] = last;
  }
  return all <= 0xff ? words : undefined;
}
