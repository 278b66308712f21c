import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Alarms } from "../core/alarm.js";
import { onMove, preciseClock } from "../core/clock.js";
import { manualClock } from "../testing/manual-clock.js";
import { steadyClock } from "./steady-clock.js";

describe("steadyClock", () => {
  it("adds up the steps forward, and takes a step back for no time at all", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -1_000_000, max: 1_000_000 })), (steps) => {
        const clock = manualClock(2 ** 40);
        const steady = steadyClock(clock);
        let expected = steady.now();
        for (const step of steps) {
          clock.set(clock.now() + step);
          expected += Math.max(0, step);
          expect(steady.now()).toBe(expected);
        }
      }),
    );
  });

  it("survives a reading that is no number", () => {
    const readings = [10, Number.NaN, 12, 15];
    const steady = steadyClock({ now: () => readings.shift() as number });
    expect([steady.now(), steady.now(), steady.now()]).toEqual([10, 10, 13]);
  });

  it("says that it is moved by hand only if the clock under it is", () => {
    expect(onMove in steadyClock({ now: () => 1 })).toBe(false);
    expect(onMove in steadyClock(manualClock())).toBe(true);
  });

  it("rings alarms when the clock under it is moved", () => {
    const clock = manualClock(1000);
    const rung: number[] = [];
    new Alarms(steadyClock(clock)).set(1500, () => rung.push(clock.now()));
    clock.set(900);
    clock.set(1399);
    expect(rung).toEqual([]);
    clock.set(1400);
    expect(rung).toEqual([1400]);
  });
});

/** ms */
const sinceEpoch = (): number => performance.timeOrigin + performance.now();

describe("preciseClock", () => {
  it("shows whole microseconds and never steps back", () => {
    let last = preciseClock.now();
    for (let reading = 0; reading < 1000; reading++) {
      const before = sinceEpoch();
      const now = preciseClock.now();
      expect(now / 1000).toBeGreaterThan(before - 0.002);
      expect(now / 1000).toBeLessThanOrEqual(sinceEpoch() + 0.001);
      expect(Number.isInteger(now)).toBe(true);
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
  });
});
