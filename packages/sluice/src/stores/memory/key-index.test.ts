import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type HashOf, KeyIndex, keyedHash } from "./key-index.js";
import { newWords, pack } from "./texts.js";

/** An index over a list of keys, with hashes of its own or of our choice. */
function indexed(hashOf?: HashOf) {
  const index = new KeyIndex(hashOf);
  const free: number[] = [];
  let slots = 0;
  return {
    find: (key: string) => index.find(key),
    add: (key: string) => {
      const slot = free.pop() ?? slots++;
      index.add(key, slot);
      expect(index.holds(slot)).toBe(true);
      expect(index.key(slot)).toBe(key);
      return slot;
    },
    remove: (slot: number) => {
      index.remove(slot);
      expect(index.holds(slot)).toBe(false);
      expect(index.key(slot)).toBeUndefined();
      free.push(slot);
    },
  };
}

const hashes: readonly (readonly [string, HashOf | undefined])[] = [
  ["its own hash", undefined],
  ["few hashes", (key) => (Number(key) % 7) * 0x1000_0001 - 0x4000_0000],
  ["one hash", () => -1],
  ["neighbouring hashes", (key) => (Number(key) % 64) | 0],
  ["the highest bits only", (key) => Number(key) << 25],
];

describe.each(hashes)("an index with %s", (name, hashOf) => {
  it("finds what was added and not removed", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ key: fc.nat(name === "its own hash" ? 4000 : 120), add: fc.boolean() }), {
          maxLength: 300,
        }),
        (steps) => {
          const index = indexed(hashOf);
          const held = new Map<string, number>();
          for (const step of steps) {
            const key = String(step.key);
            const slot = held.get(key);
            expect(index.find(key)).toBe(slot ?? -1);
            if (slot === undefined && step.add) held.set(key, index.add(key));
            if (slot !== undefined && !step.add) {
              index.remove(slot);
              held.delete(key);
            }
          }
          for (let key = 0; key <= 120; key++) expect(index.find(String(key))).toBe(held.get(String(key)) ?? -1);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe("a large index", () => {
  it("splits, and still finds every key and no other", () => {
    const index = indexed();
    const count = 60_000;
    for (let key = 0; key < count; key++) expect(index.add(`key-${key}`)).toBe(key);
    for (let key = 0; key < count; key += 7) expect(index.find(`key-${key}`)).toBe(key);
    for (let key = 0; key < 1000; key++) expect(index.find(`other-${key}`)).toBe(-1);
    for (let key = 0; key < count; key += 2) index.remove(key);
    for (let key = 0; key < count; key++) expect(index.find(`key-${key}`)).toBe(key % 2 === 0 ? -1 : key);
  });

  it("of colliding keys grows as long as it has to", () => {
    const index = indexed((key) => Number(key) & 1);
    for (let key = 0; key < 5000; key++) index.add(String(key));
    for (let key = 0; key < 5000; key += 61) expect(index.find(String(key))).toBe(key);
    expect(index.find("5001")).toBe(-1);
  });

  it("hashes keys of every shape apart, and differently in every store", () => {
    const words = newWords();
    const [one, other] = [keyedHash(), keyedHash()].map((hashOf) => (key: string) => hashOf(key, pack(key, words))) as [
      (key: string) => number,
      (key: string) => number,
    ];
    const keys = [
      "",
      "a",
      "b",
      "ab",
      "ba",
      "abc",
      "a\0",
      "\0a",
      "\0",
      "\0\0",
      "ä",
      "\u4e00",
      "x".repeat(28),
      "x".repeat(29),
      "x".repeat(65_536),
      `${"x".repeat(65_535)}y`,
    ];
    const own = keys.map((key) => one(key));
    expect(new Set(own).size).toBe(keys.length);
    expect(keys.map((key) => other(key))).not.toEqual(own);
    const buckets = new Array<number>(64).fill(0);
    for (let key = 0; key < 64_000; key++) {
      const bucket = one(`user:${key}`) >>> 26;
      buckets[bucket] = (buckets[bucket] as number) + 1;
    }
    expect(Math.min(...buckets)).toBeGreaterThan(800);
    expect(Math.max(...buckets)).toBeLessThan(1200);
  });

  it("keeps keys of every shape apart in a store of every size", () => {
    // past the first chunks, short keys are packed
    const index = new KeyIndex();
    const pads = 33 * 4096;
    for (let slot = 0; slot < pads; slot++) index.add(`pad-${slot}`, slot);
    const shape = fc.oneof(
      fc.string({ minLength: 1, maxLength: 32, unit: "binary" }),
      fc.string({ minLength: 1, maxLength: 32, unit: "grapheme" }),
      fc.constantFrom("a", "a\0", "a\0\0", "\xff", "\u0100", "x".repeat(28), "x".repeat(29)),
    );
    fc.assert(
      fc.property(fc.uniqueArray(shape, { maxLength: 40 }), (keys) => {
        const slots = keys.map((_, at) => pads + at);
        for (const [at, key] of keys.entries()) index.add(key, pads + at);
        expect(keys.map((key) => index.find(key))).toEqual(slots);
        expect(slots.map((slot) => index.key(slot))).toEqual(keys);
        for (const slot of slots) index.remove(slot);
        expect(keys.map((key) => index.find(key))).toEqual(keys.map(() => -1));
        expect(slots.map((slot) => index.holds(slot))).toEqual(keys.map(() => false));
      }),
      { numRuns: 200 },
    );
    expect(index.find("pad-100000")).toBe(100_000);
  });
});
