import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyIndex } from "./key-index.js";

/** An index over a list of keys, with hashes of our own choice. */
function indexed(hashOf: (index: KeyIndex, key: string) => number) {
  const index = new KeyIndex();
  const free: number[] = [];
  let slots = 0;
  return {
    find: (key: string) => index.find(key, hashOf(index, key)),
    add: (key: string) => {
      const slot = free.pop() ?? slots++;
      index.add(key, hashOf(index, key), slot);
      expect(index.key(slot)).toBe(key);
      return slot;
    },
    remove: (key: string, slot: number) => {
      index.remove(hashOf(index, key), slot);
      expect(index.key(slot)).toBeUndefined();
      free.push(slot);
    },
  };
}

const hashes: readonly (readonly [string, (index: KeyIndex, key: string) => number])[] = [
  ["its own hash", (index, key) => index.hash(key)],
  ["few hashes", (_, key) => (Number(key) % 7) * 0x1000_0001 - 0x4000_0000],
  ["one hash", () => -1],
  ["neighbouring hashes", (_, key) => (Number(key) % 64) | 0],
  ["the highest bits only", (_, key) => Number(key) << 25],
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
              index.remove(key, slot);
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
    const index = indexed((own, key) => own.hash(key));
    const count = 60_000;
    for (let key = 0; key < count; key++) expect(index.add(`key-${key}`)).toBe(key);
    for (let key = 0; key < count; key += 7) expect(index.find(`key-${key}`)).toBe(key);
    for (let key = 0; key < 1000; key++) expect(index.find(`other-${key}`)).toBe(-1);
    for (let key = 0; key < count; key += 2) index.remove(`key-${key}`, key);
    for (let key = 0; key < count; key++) expect(index.find(`key-${key}`)).toBe(key % 2 === 0 ? -1 : key);
  });

  it("of colliding keys grows as long as it has to", () => {
    const index = indexed((_, key) => Number(key) & 1);
    for (let key = 0; key < 5000; key++) index.add(String(key));
    for (let key = 0; key < 5000; key += 61) expect(index.find(String(key))).toBe(key);
    expect(index.find("5001")).toBe(-1);
  });

  it("hashes keys of every shape apart, and differently in every store", () => {
    const [one, other] = [new KeyIndex(), new KeyIndex()];
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
      "x".repeat(65_536),
      `${"x".repeat(65_535)}y`,
    ];
    const own = keys.map((key) => one.hash(key));
    expect(new Set(own).size).toBe(keys.length);
    expect(keys.map((key) => other.hash(key))).not.toEqual(own);
    const buckets = new Array<number>(64).fill(0);
    for (let key = 0; key < 64_000; key++) {
      const bucket = one.hash(`user:${key}`) >>> 26;
      buckets[bucket] = (buckets[bucket] as number) + 1;
    }
    expect(Math.min(...buckets)).toBeGreaterThan(800);
    expect(Math.max(...buckets)).toBeLessThan(1200);
  });
});
