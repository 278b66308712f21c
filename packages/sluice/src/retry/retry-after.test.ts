import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Decision } from "../core/decision.js";
import { MaxWaitExceededError, QueueFullError, RateLimitExceededError } from "../core/errors.js";
import { retryAfterOf } from "./retry-after.js";

const now = Date.UTC(2026, 6, 14, 12, 0, 0);

beforeEach(() => {
  vi.useFakeTimers({ now, toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

function refusal(retryAfter: number): RateLimitExceededError {
  const decision: Decision = {
    allowed: false,
    policy: "p",
    limit: 1,
    remaining: 0,
    retryAfter,
    resetAfter: 1,
    degraded: false,
    parts: [],
  };
  return new RateLimitExceededError(decision);
}

describe("a field's value", () => {
  it.each<[unknown, number | undefined]>([
    ["0", 0],
    ["120", 120_000],
    [" 7 ", 7000],
    [120, 120_000],
    [["3", "9"], 3000],
    ["86400", 86_400_000],
    ["99999999", 86_400_000],
    ["9".repeat(400), 86_400_000],
    ["Tue, 14 Jul 2026 12:00:30 GMT", 30_000],
    ["Tue, 14 Jul 2026 11:59:30 GMT", 0],
    ["Tuesday, 14-Jul-26 12:01:00 GMT", 60_000],
    ["Tue Jul 14 12:00:05 2026", 5000],
    ["Sun Nov  6 08:49:37 1994", 0],
    ["", undefined],
    ["soon", undefined],
    ["-1", undefined],
    ["1.5", undefined],
    ["1e3", undefined],
    ["0x10", undefined],
    ["NaN", undefined],
    ["Infinity", undefined],
    ["2026-07-14T12:00:30Z", undefined],
    ["Tue, 14 Jul 2026 12:00:30", undefined],
    ["Tue, 14 Jul 2026 99:00:30 GMT", undefined],
    ["Tue, 14 Foo 2026 12:00:30 GMT", undefined],
    [null, undefined],
    [undefined, undefined],
    [{}, undefined],
    [[], undefined],
    [-5, undefined],
    [Number.NaN, undefined],
  ])("%o means %o ms", (value, expected) => {
    expect(retryAfterOf({ headers: { "retry-after": value } })).toBe(expected);
  });
});

it("a date without a zone is in GMT, wherever the process is", () => {
  vi.stubEnv("TZ", "America/New_York");
  try {
    expect(retryAfterOf({ headers: { "retry-after": "Tue Jul 14 12:00:05 2026" } })).toBe(5000);
  } finally {
    vi.unstubAllEnvs();
  }
});

describe("it is found", () => {
  it.each<[string, unknown]>([
    ["in a Response", new Response(null, { status: 429, headers: { "Retry-After": "2" } })],
    ["in the response of an error", Object.assign(new Error("429"), { response: { headers: { "retry-after": "2" } } })],
    ["in a Response of an error", { response: new Response(null, { headers: { "retry-after": "2" } }) }],
    ["in an error's own headers", Object.assign(new Error("429"), { headers: new Headers({ "RETRY-AFTER": "2" }) })],
    ["under a name of any case", { headers: { "content-type": "a/b", "ReTRY-aFTer": 2 } }],
    [
      "in the response before the error",
      { response: { headers: { "retry-after": "2" } }, headers: { "retry-after": "9" } },
    ],
    ["in the error when the response has none", { response: { headers: {} }, headers: { "Retry-After": "2" } }],
    ["in the error when there is no response", { response: null, headers: { "Retry-After": "2" } }],
  ])("%s", (_where, error) => {
    expect(retryAfterOf(error)).toBe(2000);
  });

  it("in a refusal of this library, to the microsecond", () => {
    expect(retryAfterOf(refusal(1234.567))).toBe(1234.567);
    expect(retryAfterOf(refusal(Number.POSITIVE_INFINITY))).toBe(Number.POSITIVE_INFINITY);
  });

  it("in a turn that was missed: when it is near enough to be waited for", () => {
    expect(retryAfterOf(new MaxWaitExceededError(5000, 2000))).toBe(3000);
    expect(retryAfterOf(new MaxWaitExceededError(Number.POSITIVE_INFINITY, 2000))).toBe(Number.POSITIVE_INFINITY);
  });

  it.each([
    undefined,
    null,
    "error",
    429,
    new Error("plain"),
    { headers: null },
    { headers: "retry-after: 2" },
    { response: "2", headers: 2 },
    new QueueFullError(5),
    { code: "ERR_RATE_LIMIT_EXCEEDED", retryAfter: 2000 },
  ])("nowhere in %o", (error) => {
    expect(retryAfterOf(error)).toBeUndefined();
  });
});
