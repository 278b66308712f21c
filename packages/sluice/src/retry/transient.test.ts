import { describe, expect, it } from "vitest";
import type { Decision } from "../core/decision.js";
import {
  ClosedError,
  LeaseLostError,
  MaxWaitExceededError,
  QueueFullError,
  RateLimitExceededError,
  RetryLimitReachedError,
  StoreError,
} from "../core/errors.js";
import { isTransient } from "./transient.js";

function refusal(retryAfter: number): RateLimitExceededError {
  const decision = { allowed: false, policy: "p", limit: 1, remaining: 0, retryAfter, resetAfter: 1, degraded: false };
  return new RateLimitExceededError({ ...decision, parts: [] } satisfies Decision);
}

describe("what is retried by default", () => {
  it.each<[string, unknown]>([
    ["an error", new Error("any")],
    ["a failed fetch", new TypeError("fetch failed", { cause: new Error("ECONNREFUSED") })],
    ["a timeout", new DOMException("slow", "TimeoutError")],
    ["a Response", new Response(null, { status: 503 })],
    ["a string", "failed"],
    ["nothing", undefined],
    ["null", null],
    ["a refusal", refusal(1000)],
    ["a turn that is too far away", new MaxWaitExceededError(2000, 1000)],
    ["a full queue", new QueueFullError(10)],
    ["a store that fails", new StoreError("ERR_STORE_TIMEOUT", "late")],
    ["a lost lease", new LeaseLostError("lost")],
  ])("%s", (_what, error) => {
    expect(isTransient(error)).toBe(true);
  });
});

describe("what is not", () => {
  it.each<[string, unknown]>([
    ["an abort", new DOMException("aborted", "AbortError")],
    ["an abort of Node's own kind", Object.assign(new Error("aborted"), { name: "AbortError", code: "ABORT_ERR" })],
    ["a TypeError", new TypeError("undefined is not a function")],
    ["a ReferenceError", new ReferenceError("x is not defined")],
    ["a SyntaxError", new SyntaxError("unexpected token")],
    ["a RangeError", new RangeError("invalid array length")],
    ["an EvalError", new EvalError("eval")],
    ["a URIError", new URIError("malformed")],
    ["a cost that can never pass", refusal(Number.POSITIVE_INFINITY)],
    ["a turn that never comes", new MaxWaitExceededError(Number.POSITIVE_INFINITY, 1000)],
    ["something closed", new ClosedError("limiter")],
    ["retries that ran out further in", new RetryLimitReachedError(3, new Error("last"))],
  ])("%s", (_what, error) => {
    expect(isTransient(error)).toBe(false);
  });
});
