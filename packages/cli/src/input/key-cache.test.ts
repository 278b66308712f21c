import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyCache } from "./key-cache.js";

describe("KeyCache", () => {
  it("gives the text of the bytes, whatever was asked before", () => {
    const keys = new KeyCache();
    const text = fc.oneof(fc.string({ unit: "grapheme", maxLength: 20 }), fc.string({ maxLength: 400 }), fc.ipV6());
    fc.assert(
      fc.property(fc.array(text, { maxLength: 50 }), (texts) => {
        for (const each of [...texts, ...texts]) {
          const bytes = Buffer.from(`<${each.toWellFormed()}>`);
          expect(keys.key(bytes, 1, bytes.length - 1)).toBe(each.toWellFormed());
        }
      }),
    );
  });

  it("keeps bytes that are no UTF-8 apart", () => {
    const keys = new KeyCache();
    const texts = [0x80, 0x81, 0xff].map((byte) => keys.key(Buffer.from([0x61, byte]), 0, 2));
    expect(texts).toEqual(["a\x80", "a\x81", "a\xff"]);
  });

  it("is not confused by keys that share a cell", () => {
    const keys = new KeyCache();
    // more keys than cells: some cells are shared
    for (let round = 0; round < 2; round++) {
      for (let key = 0; key < 100_000; key++) {
        const bytes = Buffer.from(`key${key}`);
        if (keys.key(bytes, 0, bytes.length) !== `key${key}`) expect.fail(`key${key}`);
      }
    }
    expect(keys.key(Buffer.from("key7"), 0, 4)).toBe("key7");
  });
});
