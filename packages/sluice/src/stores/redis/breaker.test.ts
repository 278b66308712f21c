import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Breaker } from "./breaker.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A breaker, the questions that it asked, and what they meet. */
function watched(): { breaker: Breaker; asked: string[]; answer: (probe: () => Promise<unknown>) => void } {
  const asked: string[] = [];
  let answer: () => Promise<unknown> = () => Promise.reject(new Error("still away"));
  const breaker = new Breaker((key) => {
    asked.push(key);
    return answer();
  });
  return {
    breaker,
    asked,
    answer: (probe) => {
      answer = probe;
    },
  };
}
const isOpen = (breaker: Breaker): boolean => {
  try {
    breaker.check();
    return false;
  } catch {
    return true;
  }
};
const fail = (breaker: Breaker, times: number, key = "key"): void => {
  for (let time = 0; time < times; time++) breaker.failed(key, new Error("gone"));
};

describe("a breaker", () => {
  it("opens after five failures in a row, and says what the last one was", () => {
    const { breaker } = watched();
    fail(breaker, 4);
    breaker.succeeded();
    fail(breaker, 4);
    expect(isOpen(breaker)).toBe(false);
    expect(breaker.doubtful).toBe(true);
    fail(breaker, 1);
    expect(() => breaker.check()).toThrow(
      expect.objectContaining({ code: "ERR_STORE_UNAVAILABLE", cause: expect.objectContaining({ message: "gone" }) }),
    );
  });

  it("asks four times a second by a key that failed, and closes when that is answered", async () => {
    const { breaker, asked, answer } = watched();
    fail(breaker, 5, "one");
    fail(breaker, 1, "other");
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked).toEqual(["other", "other", "other", "other"]);
    expect(isOpen(breaker)).toBe(true);
    answer(async () => 1);
    await vi.advanceTimersByTimeAsync(250);
    expect(isOpen(breaker)).toBe(false);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toHaveLength(5);
  });

  it("stays open while the probe is answered later than callers wait", async () => {
    const { breaker, answer } = watched();
    for (let time = 0; time < 5; time++) {
      breaker.late("key", 50);
      await vi.advanceTimersByTimeAsync(50);
    }
    answer(() => new Promise((resolve) => setTimeout(resolve, 200)));
    await vi.advanceTimersByTimeAsync(2000);
    expect(isOpen(breaker)).toBe(true);
    answer(() => new Promise((resolve) => setTimeout(resolve, 30)));
    await vi.advanceTimersByTimeAsync(500);
    expect(isOpen(breaker)).toBe(false);
  });

  it("asks no more when nobody has wanted the store for a minute; then the next caller's question is the probe", async () => {
    const { breaker, asked } = watched();
    fail(breaker, 7);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(isOpen(breaker)).toBe(true);
    await vi.advanceTimersByTimeAsync(61_000);
    const questions = asked.length;
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(asked).toHaveLength(questions);
    // an hour later the server may be well: the first call is not refused
    expect(isOpen(breaker)).toBe(false);
    fail(breaker, 1);
    expect(isOpen(breaker)).toBe(true);
    await vi.advanceTimersByTimeAsync(250);
    expect(asked).toHaveLength(questions + 1);
  });

  it("asks nothing once it is closed down", async () => {
    const { breaker, asked } = watched();
    fail(breaker, 5);
    breaker.close();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toEqual([]);
  });
});
