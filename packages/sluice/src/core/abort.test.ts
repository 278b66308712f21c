import { describe, expect, it, vi } from "vitest";
import { onAbort } from "./abort.js";

/** A signal, and how many listeners stand on it. */
function watchedSignal() {
  const controller = new AbortController();
  const { signal } = controller;
  const standing = new Set<unknown>();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  vi.spyOn(signal, "addEventListener").mockImplementation((...args: Parameters<typeof add>) => {
    standing.add(args[1]);
    add(...args);
  });
  vi.spyOn(signal, "removeEventListener").mockImplementation((...args: Parameters<typeof remove>) => {
    if (args[0] === "abort") standing.delete(args[1]);
    remove(...args);
  });
  return { controller, signal, standing };
}

describe("those who share a signal", () => {
  it("share one listener, and are all told once", () => {
    const { controller, signal, standing } = watchedSignal();
    const told = Array.from({ length: 20 }, () => vi.fn<() => void>());
    for (const listener of told) onAbort(signal, listener);
    expect(standing.size).toBe(1);
    controller.abort();
    signal.dispatchEvent(new Event("abort"));
    for (const listener of told) expect(listener).toHaveBeenCalledTimes(1);
  });

  it("are told although others have left, and leave nothing when the last has", () => {
    const { controller, signal, standing } = watchedSignal();
    const [one, other] = [vi.fn<() => void>(), vi.fn<() => void>()];
    const stopOne = onAbort(signal, one);
    const stopOther = onAbort(signal, other);
    stopOne();
    // to leave twice is to leave once
    stopOne();
    expect(standing.size).toBe(1);
    stopOther();
    expect(standing.size).toBe(0);
    controller.abort();
    expect(one).not.toHaveBeenCalled();
    expect(other).not.toHaveBeenCalled();
  });

  it("may leave twice while another who came later watches", () => {
    const { controller, signal, standing } = watchedSignal();
    const [early, late] = [vi.fn<() => void>(), vi.fn<() => void>()];
    const stopEarly = onAbort(signal, early);
    stopEarly();
    const stopLate = onAbort(signal, late);
    stopEarly();
    expect(standing.size).toBe(1);
    controller.abort();
    stopLate();
    expect(early).not.toHaveBeenCalled();
    expect(late).toHaveBeenCalledTimes(1);
  });

  it("leave without a trace after the signal has aborted, though someone watches a later event", () => {
    const { signal, standing } = watchedSignal();
    const [early, late] = [vi.fn<() => void>(), vi.fn<() => void>()];
    const stopEarly = onAbort(signal, early);
    signal.dispatchEvent(new Event("abort"));
    onAbort(signal, late);
    stopEarly();
    expect(standing.size).toBe(2);
    signal.dispatchEvent(new Event("abort"));
    expect([early.mock.calls.length, late.mock.calls.length]).toEqual([1, 1]);
  });
});
