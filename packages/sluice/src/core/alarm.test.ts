import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { manualClock } from "../testing/manual-clock.js";
import { Alarms, longestTimer } from "./alarm.js";

afterEach(() => {
  vi.useRealTimers();
});

describe("alarms", () => {
  it("ring in order of their moment, then of their setting, and never when cancelled", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            { weight: 5, arbitrary: fc.record({ do: fc.constant("set" as const), delay: fc.nat(50) }) },
            { weight: 3, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat(60) }) },
            { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), micros: fc.nat(30) }) },
          ),
          { maxLength: 80 },
        ),
        (steps) => {
          const clock = manualClock(1000);
          const alarms = new Alarms(clock);
          const set: { at: number; id: number; cancel: () => void }[] = [];
          let open: { at: number; id: number }[] = [];
          const rang: number[] = [];
          const expected: number[] = [];
          for (const step of steps) {
            if (step.do === "set") {
              const [at, id] = [clock.now() + step.delay, set.length];
              set.push({ at, id, cancel: alarms.in(step.delay, () => rang.push(id)) });
              open.push({ at, id });
            } else if (step.do === "cancel") {
              set[step.which]?.cancel();
              open = open.filter(({ id }) => id !== step.which);
            } else {
              clock.advance(step.micros / 1000);
              const due = open.filter(({ at }) => at <= clock.now());
              due.sort((one, other) => one.at - other.at || one.id - other.id);
              expected.push(...due.map(({ id }) => id));
              open = open.filter(({ at }) => at > clock.now());
            }
            expect(rang).toEqual(expected);
            expect(alarms.size).toBe(open.length);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("on a real clock: one timer for all, clamped, set again when it is early, gone when nobody waits", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const timeout = vi.spyOn(globalThis, "setTimeout");
    let now = 0;
    const alarms = new Alarms({ now: () => now });
    const rang: string[] = [];
    const year = 365 * 86_400e6;
    const cancelYear = alarms.set(year, () => rang.push("year"));
    expect(timeout).toHaveBeenLastCalledWith(expect.anything(), longestTimer);
    alarms.set(1_500, () => rang.push("soon"));
    expect(timeout).toHaveBeenLastCalledWith(expect.anything(), 2);
    alarms.set(1_500, () => rang.push("soon after"));
    expect(vi.getTimerCount()).toBe(1);
    now = 1_499;
    vi.advanceTimersByTime(2);
    expect(rang).toEqual([]);
    expect(timeout).toHaveBeenLastCalledWith(expect.anything(), 1);
    now = 1_500;
    vi.advanceTimersByTime(1);
    expect(rang).toEqual(["soon", "soon after"]);
    expect(vi.getTimerCount()).toBe(1);
    now = longestTimer * 1000;
    vi.advanceTimersByTime(longestTimer);
    expect(rang).toHaveLength(2);
    expect(vi.getTimerCount()).toBe(1);
    cancelYear();
    cancelYear();
    expect([alarms.size, vi.getTimerCount()]).toEqual([0, 0]);
  });

  it("an alarm set while others ring is not lost", () => {
    const clock = manualClock();
    const alarms = new Alarms(clock);
    const rang: number[] = [];
    const again = (left: number): void => {
      rang.push(clock.now());
      if (left > 0) alarms.in(1000, () => again(left - 1));
    };
    alarms.in(0, () => again(3));
    for (let step = 0; step < 5; step++) clock.advance(1);
    expect(rang).toEqual([1000, 2000, 3000, 4000]);
    expect(alarms.size).toBe(0);
  });

  it("keep the process alive only while one is set that is to", () => {
    const alarms = new Alarms({ now: () => Math.floor(performance.now() * 1000) });
    const alive = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const before = alive();
    const cancelIdle = alarms.in(60e6, () => undefined, false);
    expect(alive()).toBe(before);
    const cancelLater = alarms.in(90e6, () => undefined);
    expect(alive()).toBe(before + 1);
    const cancelSooner = alarms.in(30e6, () => undefined);
    expect(alive()).toBe(before + 1);
    cancelLater();
    expect(alive()).toBe(before + 1);
    cancelSooner();
    expect(alive()).toBe(before);
    cancelIdle();
    expect([alive(), alarms.size]).toEqual([before, 0]);
  });
});
