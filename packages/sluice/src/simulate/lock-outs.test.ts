import { describe, expect, it } from "vitest";
import { LockOuts } from "./lock-outs.js";

describe("LockOuts", () => {
  it("last from the first refusal to the next admission", () => {
    const lockOuts = new LockOuts(10);
    expect(lockOuts.longest()).toEqual({ duration: 0, key: undefined });
    lockOuts.refused("a", 100, 50);
    lockOuts.refused("a", 140, 50);
    lockOuts.refused("b", 141, 60);
    expect(lockOuts.longest()).toEqual({ duration: 90, key: "a" });
    lockOuts.allowed("a", 180);
    expect(lockOuts.longest()).toEqual({ duration: 80, key: "a" });
    lockOuts.allowed("a", 1000);
    lockOuts.refused("a", 1001, 50);
    expect(lockOuts.longest()).toEqual({ duration: 80, key: "a" });
  });

  it("end when the last refusal said, however long the key stays away", () => {
    const lockOuts = new LockOuts(10);
    lockOuts.refused("a", 100, 50);
    lockOuts.allowed("a", 1_000_000);
    expect(lockOuts.longest()).toEqual({ duration: 50, key: "a" });
  });

  it("are remembered for so many keys at once", () => {
    const lockOuts = new LockOuts(1);
    lockOuts.refused("a", 0, 10);
    lockOuts.refused("b", 0, 90);
    expect(lockOuts.longest()).toEqual({ duration: 10, key: "a" });
    lockOuts.allowed("a", 10);
    lockOuts.refused("b", 20, 90);
    expect(lockOuts.longest()).toEqual({ duration: 90, key: "b" });
  });
});
