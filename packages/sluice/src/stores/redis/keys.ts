import { createHash } from "node:crypto";
import { rangeError, show } from "../../core/errors.js";

/** Keys of more bytes are hashed: a server should not hold what a stranger sends. */
const longestKey = 512;

/**
 * What stands before the key of a limiter's policy: `<prefix>:<limiter>:<policy>:{<key>}`. Braces, percent and, outside
 * the braces, colons are escaped, so that no input chooses its slot or collides with another name. A `%#` starts what no
 * escaped name can: the hash of a key, and our own words.
 */
export function keyStart(prefix: string, limiter: string, policy: string): string {
  return `${outer(prefix, /[%{}]/g)}:${outer(limiter, /[%{}:]/g)}:${outer(policy, /[%{}:]/g)}:{`;
}

/** The same for what else is kept of a key, by a word of ours: no policy has this name. */
export function partStart(prefix: string, limiter: string, part: string): string {
  return `${outer(prefix, /[%{}]/g)}:${outer(limiter, /[%{}:]/g)}:%#${outer(part, /[%{}:]/g)}:{`;
}

/** The whole name of what is kept of a key beside its rows: `<prefix>:<limiter>:%#<part>:{<key>}`. */
export function keyName(prefix: string, limiter: string, part: string, key: string): string {
  return `${partStart(prefix, limiter, part)}${inner(key)}}`;
}

/** The user's part of a key. Malformed UTF-16 has no UTF-8 form of its own, so it would share a key: a RangeError. */
export function inner(key: string): string {
  if (key.length <= longestKey && !/[^\x20-\x24\x26-\x7a\x7c]/.test(key)) return key;
  if (!key.isWellFormed()) {
    throw rangeError(
      "ERR_INVALID_KEY",
      `Expected key to be well-formed UTF-16, got ${show(key)} with a lone surrogate.`,
    );
  }
  return Buffer.byteLength(key) > longestKey
    ? `%#${createHash("sha256").update(key).digest("base64url")}`
    : outer(key, /[%{}]/g);
}

function outer(text: string, unsafe: RegExp): string {
  return text.replace(unsafe, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** How many slots a cluster has. */
export const slots = 16_384;

/** The cluster slot of what stands in the braces: CRC-16/XMODEM modulo 16384 (Redis cluster specification). */
export function slotOf(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc = ((crc << 8) & 0xffff) ^ (crcTable[((crc >>> 8) ^ byte) & 0xff] as number);
  }
  return crc % slots;
}

/** The same of a whole name that was made here: it has one pair of braces, and ends with it. */
export function slotOfName(name: string): number {
  return slotOf(name.slice(name.indexOf("{") + 1, -1));
}

const crcTable = Uint16Array.from({ length: 256 }, (_, index) => {
  let crc = index << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  return crc;
});
