import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { inBackground } from "./timers.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const day = 86_400_000;

it("rings after its delay, also when no timer of the platform is so long, and not when cancelled", () => {
  const rang: string[] = [];
  inBackground(1500, () => rang.push("soon"));
  inBackground(60 * day * 1000, () => rang.push("in sixty days"));
  const cancel = inBackground(59 * day * 1000, () => rang.push("never"));
  vi.advanceTimersByTime(2);
  expect(rang).toEqual(["soon"]);
  vi.advanceTimersByTime(58 * day);
  cancel();
  vi.advanceTimersByTime(2 * day - 1000);
  expect(rang).toEqual(["soon"]);
  vi.advanceTimersByTime(1000);
  expect(rang).toEqual(["soon", "in sixty days"]);
  expect(vi.getTimerCount()).toBe(0);
});
