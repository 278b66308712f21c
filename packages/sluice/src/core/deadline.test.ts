import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { afterDeadline, timeoutError, withDeadline } from "./deadline.js";

/** An answer that comes when it is told to. */
function pending<T>() {
  let resolve = (_value: T): void => {};
  let reject = (_error: unknown): void => {};
  const answer = new Promise<T>((fulfil, fail) => {
    resolve = fulfil;
    reject = fail;
  });
  return { answer, resolve, reject };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Lets so many ms pass, and what was put off until the next turns of the event loop happen. */
const pass = async (ms: number): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
};

describe("withDeadline", () => {
  it("passes on what comes in time, and says nothing more", async () => {
    const late = vi.fn<(answer: string) => void>();
    const failed = vi.fn<() => void>();
    const { answer, resolve } = pending<string>();
    const limited = withDeadline(answer, 50, late, failed);
    await pass(49);
    resolve("in time");
    expect(await limited).toBe("in time");
    await pass(100);
    expect(late).not.toHaveBeenCalled();
    expect(failed).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("passes on a failure that comes in time", async () => {
    const failed = vi.fn<() => void>();
    await expect(withDeadline(Promise.reject(new Error("gone")), 50, () => {}, failed)).rejects.toThrow("gone");
    await pass(100);
    expect(failed).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("rejects when the time is over, and hands what comes after all to `late`", async () => {
    const late = vi.fn<(answer: string) => void>();
    const failed = vi.fn<() => void>();
    const { answer, resolve } = pending<string>();
    const limited = withDeadline(answer, 50, late, failed).catch((error: unknown) => error);
    await pass(60);
    expect(failed).toHaveBeenCalledTimes(1);
    expect(await limited).toMatchObject({ code: "ERR_STORE_TIMEOUT", message: expect.stringContaining("50 ms") });
    expect(late).not.toHaveBeenCalled();
    resolve("too late");
    await pass(0);
    expect(late.mock.calls).toEqual([["too late"]]);
  });

  it("leaves no rejection unhandled that comes after all", async () => {
    const late = vi.fn<() => void>();
    const { answer, reject } = pending<string>();
    const limited = withDeadline(answer, 50, late, () => {}).catch((error: unknown) => error);
    await pass(60);
    reject(new Error("gone"));
    await pass(0);
    expect(await limited).toEqual(timeoutError(50));
    expect(late).not.toHaveBeenCalled();
  });
});

describe("afterDeadline", () => {
  it("gives what is due two more turns, with the moment before them", () => {
    const expire = vi.fn<(reached: number) => void>();
    const clock = { now: () => 7 };
    afterDeadline(50, expire, clock);
    vi.advanceTimersByTime(49);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersToNextTimer();
    expect(expire).not.toHaveBeenCalled();
    clock.now = () => 8;
    vi.advanceTimersToNextTimer();
    expect(expire).not.toHaveBeenCalled();
    vi.advanceTimersToNextTimer();
    expect(expire.mock.calls).toEqual([[7]]);
  });

  it("can be stopped before, and within the last turns", () => {
    for (const steps of [0, 1, 2]) {
      const expire = vi.fn<() => void>();
      const timer = afterDeadline(50, expire);
      for (let step = 0; step < steps; step++) vi.advanceTimersToNextTimer();
      timer.stop();
      vi.advanceTimersByTime(1000);
      expect(expire).not.toHaveBeenCalled();
    }
  });

  it("keeps the process alive only while it is told to, where a timer can", () => {
    const [ref, unref] = [vi.fn<() => void>(), vi.fn<() => void>()];
    vi.stubGlobal("setTimeout", () => ({ ref, unref }));
    const timer = afterDeadline(50, () => {});
    timer.hold(false);
    expect([ref.mock.calls.length, unref.mock.calls.length]).toEqual([0, 1]);
    timer.hold(true);
    expect([ref.mock.calls.length, unref.mock.calls.length]).toEqual([1, 1]);
    // a timer of browsers is a number
    vi.stubGlobal("setTimeout", () => 7);
    const plain = afterDeadline(50, () => {});
    plain.hold(true);
    plain.hold(false);
    vi.unstubAllGlobals();
  });

  it("takes two timers for the two turns where there is no setImmediate", () => {
    const expire = vi.fn<() => void>();
    const { setImmediate } = globalThis;
    vi.stubGlobal("setImmediate", undefined);
    afterDeadline(50, expire);
    for (const called of [0, 0, 1]) {
      vi.advanceTimersToNextTimer();
      expect(expire).toHaveBeenCalledTimes(called);
    }
    vi.stubGlobal("setImmediate", setImmediate);
    vi.unstubAllGlobals();
  });

  it("takes no timers for them where there is", () => {
    const set = vi.spyOn(globalThis, "setTimeout");
    afterDeadline(50, () => {});
    vi.advanceTimersByTime(100);
    expect(set).toHaveBeenCalledTimes(1);
  });

  it("waits no longer than a timer can, and keeps the process alive only while it is told to", () => {
    const expire = vi.fn<(reached: number) => void>();
    const timer = afterDeadline(Number.POSITIVE_INFINITY, expire);
    vi.advanceTimersByTime(1000);
    expect(expire).not.toHaveBeenCalled();
    timer.hold(false);
    timer.hold(true);
    vi.advanceTimersByTime(2 ** 31);
    expect(expire.mock.calls).toEqual([[0]]);
  });
});
