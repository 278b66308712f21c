import { describe, expect, it } from "vitest";
import { manualClock } from "../testing/manual-clock.js";
import type { Grant } from "./permits.js";
import { type Desk, RedisPlace } from "./redis-place.js";

/** A place on a clock that stands still, where the server's clock is the local one, and what was granted there. */
function place() {
  const clock = manualClock();
  const desk: Desk = {
    clock,
    isWhole: () => true,
    renew: async () => true,
    release: async () => true,
    giveBack: () => undefined,
    look: () => undefined,
    end: () => undefined,
  };
  const made = new RedisPlace(desk, "key", "id", 1);
  const granted: number[] = [];
  made.occupy({ granted: (grant) => granted.push((grant as Grant).token), failed: () => undefined });
  const hear = (token: number, now: number): void => made.hear({ token, now, expiry: now + 1_000_000 });
  return { place: made, clock, granted, hear };
}

describe("a place in line", () => {
  it("a message that comes before the answer counts once that is there", () => {
    const { place: made, clock, granted, hear } = place();
    hear(7, clock.now());
    expect(granted).toEqual([]);
    made.confirm(clock.now(), clock.now());
    expect(made.wait(1)).toBe(false);
    expect(granted).toEqual([7]);
  });

  it.each(["while it is asked for anew", "once it is in line again"])(
    "a message of before the server forgot it does not count when it comes %s",
    (when) => {
      const { place: made, clock, granted, hear } = place();
      const before = clock.now();
      made.confirm(before, before);
      made.wait(1);
      clock.advance(10);
      made.confirm(clock.now(), clock.now());
      made.askAgain();
      if (when.startsWith("while")) hear(7, before);
      clock.advance(10);
      made.confirm(clock.now(), clock.now());
      expect(made.wait(1)).toBe(true);
      hear(7, before);
      expect(granted).toEqual([]);
      hear(8, clock.now());
      expect(granted).toEqual([8]);
    },
  );
});
