import { isUtf8 } from "node:buffer";

const cells = 1 << 16;
const longest = 256;

/**
 * Text from bytes, the same string for the same bytes where it was seen lately: most requests come from few clients, and
 * a string that exists already needs no memory, and no hash of its own. A new key takes the place of whatever was there.
 *
 * `keyOf` makes a key of a text; it is asked once for each, while the text is remembered.
 */
export class KeyCache {
  readonly keyOf: (text: string) => string;
  readonly #texts: (string | undefined)[] = Array.from({ length: cells });
  readonly #keys: string[] = Array.from({ length: cells }, () => "");

  constructor(keyOf: (text: string) => string = (text) => text) {
    this.keyOf = keyOf;
  }

  key(bytes: Buffer, from: number, to: number): string {
    if (to - from > longest) return this.keyOf(decode(bytes, from, to));
    let hash = 0x811c9dc5;
    let all = 0;
    for (let at = from; at < to; at++) {
      const byte = bytes[at] as number;
      all |= byte;
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    if (all > 127) return this.keyOf(decode(bytes, from, to));
    const cell = (hash ^ (hash >>> 16)) & (cells - 1);
    const known = this.#texts[cell];
    if (known !== undefined && same(known, bytes, from, to)) return this.#keys[cell] as string;
    const text = bytes.toString("latin1", from, to);
    const key = this.keyOf(text);
    this.#texts[cell] = text;
    this.#keys[cell] = key;
    return key;
  }
}

function same(text: string, bytes: Buffer, from: number, to: number): boolean {
  if (text.length !== to - from) return false;
  for (let at = from; at < to; at++) if (text.charCodeAt(at - from) !== bytes[at]) return false;
  return true;
}

/** UTF-8, or Latin-1 where it is not: so that different bytes stay different keys. */
export function decode(bytes: Buffer, from: number, to: number): string {
  return isUtf8(bytes.subarray(from, to)) ? bytes.toString("utf8", from, to) : bytes.toString("latin1", from, to);
}
