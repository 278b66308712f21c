import { describe, expect, it } from "vitest";
import { BoundedSet } from "./bounded-set.js";

describe("BoundedSet", () => {
  it("counts distinct keys exactly up to its bound, and says when there are more", () => {
    const keys = new BoundedSet(2);
    for (const key of ["a", "b", "a", "b"]) keys.add(key);
    expect([keys.size, keys.exact]).toEqual([2, true]);
    keys.add("c");
    expect([keys.size, keys.exact]).toEqual([2, false]);
  });
});
