import { describe, expect, it } from "vitest";
import * as sluice from "../index.js";
import { decideOne } from "./decision.js";
import { isSluiceError, show } from "./errors.js";

// What callers may rely on: class, name, code, message and fields of every error, whichever copy of the package made it.

const policy = sluice.fixedWindow({ limit: 10, window: "1m" });
const never = Number.POSITIVE_INFINITY;
const cause = new Error("below");

describe("errors", () => {
  it.each([
    [
      new sluice.RateLimitExceededError(decideOne([policy], false, 7_200_000, 0, 50_000_000)),
      "RateLimitExceededError",
      "ERR_RATE_LIMIT_EXCEEDED",
      'Policy "default" (limit 10) refused this call; it could be allowed in 7200 ms.',
    ],
    [
      new sluice.RateLimitExceededError(decideOne([policy], false, never, 3, 50_000_000)),
      "RateLimitExceededError",
      "ERR_RATE_LIMIT_EXCEEDED",
      'Policy "default" can never allow this call: its cost is above the limit of 10.',
    ],
    [
      new sluice.MaxWaitExceededError(700, 500),
      "MaxWaitExceededError",
      "ERR_MAX_WAIT_EXCEEDED",
      "The turn is 700 ms away, further than the 500 ms that the caller would wait.",
    ],
    [
      new sluice.MaxWaitExceededError(never, 500),
      "MaxWaitExceededError",
      "ERR_MAX_WAIT_EXCEEDED",
      "Waiting would never help: more was asked than can ever be there at once.",
    ],
    [
      new sluice.MaxWaitExceededError(700, 500, "Another sentence."),
      "MaxWaitExceededError",
      "ERR_MAX_WAIT_EXCEEDED",
      "Another sentence.",
    ],
    [
      new sluice.RetryLimitReachedError(3, cause),
      "RetryLimitReachedError",
      "ERR_RETRY_LIMIT_REACHED",
      "All 3 attempts failed; the last error is the cause.",
    ],
    [new sluice.StoreError("ERR_STORE_TIMEOUT", "Too late."), "StoreError", "ERR_STORE_TIMEOUT", "Too late."],
    [new sluice.LeaseLostError("Lost.", { cause }), "LeaseLostError", "ERR_LEASE_LOST", "Lost."],
    [new sluice.ClosedError("semaphore"), "ClosedError", "ERR_CLOSED", "This semaphore was closed."],
    [new sluice.QueueFullError(5), "QueueFullError", "ERR_QUEUE_FULL", "The queue is full: 5 are waiting already."],
    [new sluice.SluiceError("ERR_CLOSED", "Itself."), "SluiceError", "ERR_CLOSED", "Itself."],
  ])("%s", (error, name, code, message) => {
    expect(error).toBeInstanceOf(sluice.SluiceError);
    expect([error.name, error.code, error.message]).toEqual([name, code, message]);
    expect(String(error)).toBe(`${name}: ${message}`);
    expect(isSluiceError(error)).toBe(true);
  });

  it("carry what they are about", () => {
    expect(new sluice.RetryLimitReachedError(3, cause)).toMatchObject({ attempts: 3, cause });
    expect(new sluice.LeaseLostError("Lost.", { cause }).cause).toBe(cause);
    expect(new sluice.MaxWaitExceededError(700, 500)).toMatchObject({ wait: 700, maxWait: 500 });
    const decision = decideOne([policy], false, 7_200_000, 0, 50_000_000);
    expect(new sluice.RateLimitExceededError(decision)).toMatchObject({ decision, retryAfter: 7200, status: 429 });
  });

  it("may be given another name, as by what transpiles classes", () => {
    for (const type of [sluice.SluiceError, sluice.StoreError, sluice.ClosedError]) {
      const { configurable } = Object.getOwnPropertyDescriptor(type.prototype, "name") ?? {};
      expect(configurable, type.name).toBe(true);
    }
  });
});

describe("isSluiceError", () => {
  it("knows an error of another copy of the package", () => {
    const error = Object.assign(new Error("from there"), { code: "ERR_CLOSED", [Symbol.for("sluice.error")]: true });
    expect(isSluiceError(error)).toBe(true);
    expect(Reflect.get(new sluice.ClosedError("queue"), Symbol.for("sluice.error"))).toBe(true);
  });

  it.each([undefined, null, "ERR_CLOSED", 7, Symbol.for("sluice.error"), () => {}, {}, new TypeError("no")])(
    "takes nothing else for one: %s",
    (value) => {
      expect(isSluiceError(value)).toBe(false);
    },
  );

  it("takes a function for none, whatever it carries", () => {
    expect(isSluiceError(Object.assign(() => {}, { [Symbol.for("sluice.error")]: true }))).toBe(false);
  });
});

describe("a value in a message", () => {
  it.each([
    ["short", '"short"'],
    ["x".repeat(60), `"${"x".repeat(60)}"`],
    ["x".repeat(61), `"${"x".repeat(60)}…"`],
    [12n, "12n"],
    [() => {}, "a function"],
    [Symbol("secret"), "a symbol"],
    [[1, 2, 3], "an array of 3"],
    [{ a: 1 }, "an object"],
    [null, "null"],
    [undefined, "undefined"],
    [Number.NaN, "NaN"],
    [true, "true"],
  ])("%# is short, and of a kind that the reader knows", (value, text) => {
    expect(show(value)).toBe(text);
  });
});
