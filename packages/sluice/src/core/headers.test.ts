import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { fixedWindow, type Policy } from "../index.js";
import { type Decision, decideMany, decideOne } from "./decision.js";
import { headerRows, refusalHeaders, retryAfterField } from "./headers.js";

// What each family says of a decision, letter for letter; that servers send it so is shown with the adapters.

const second = 1_000_000;
const never = Number.POSITIVE_INFINITY;
const minute: Policy = fixedWindow({ limit: 10, window: "1m" });
const hour: Policy = fixedWindow({ limit: 100, window: "1h", name: "hour" });
const odd: Policy = fixedWindow({ limit: 2 ** 52 - 1, window: 1500, name: 'a "b" \\c' });

/** Wait and reset of one policy in seconds. */
function one(policy: Policy, wait: number, remaining: number, reset: number): Decision {
  return decideOne([policy], wait === 0, wait * second, remaining, reset * second);
}

function two(minutes: readonly number[], hours: readonly number[]): Decision {
  const findings = [...minutes, ...hours].map((figure, at) => (at % 3 === 1 ? figure : figure * second));
  return decideMany([minute, hour], findings, findings[0] === 0 && findings[3] === 0);
}

function saidBy(family: keyof typeof headerRows, policies: readonly Policy[], decision: Decision): string[] {
  return headerRows[family].prepare(policies, "delta")(decision);
}

describe("ietf", () => {
  it.each([
    ["allowed", one(minute, 0, 9, 59.9), '"default";r=9;t=60'],
    ["allowed and fresh at once", one(minute, 0, 10, 0), '"default";r=10;t=0'],
    ["refused: the time is that of Retry-After", one(minute, 7.2, 0, 50), '"default";r=0;t=8'],
    ["never to be allowed: no time", one(minute, never, 3, 50), '"default";r=3'],
  ])("%s", (_, decision, field) => {
    expect(saidBy("ietf", [minute], decision)).toEqual([field, '"default";q=10;w=60']);
  });

  it("leaves out a window of no whole seconds, quotes names, and keeps to 15 digits", () => {
    const escaped = '"a \\"b\\" \\\\c"';
    expect(saidBy("ietf", [odd], one(odd, 0, 2 ** 52 - 2, 1.5))).toEqual([
      `${escaped};r=999999999999999;t=2`,
      `${escaped};q=999999999999999`,
    ]);
    expect(saidBy("ietf", [odd], one(odd, 0, 5, 2e15))[0]).toBe(`${escaped};r=5;t=999999999999999`);
  });

  it("says the same whatever it has said before", () => {
    const figure = fc.oneof(fc.nat(200), fc.constantFrom(63, 64, 2 ** 31, 2 ** 52, never));
    const decisions = fc.array(fc.tuple(figure, fc.nat(200), fc.nat(200)), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(decisions, (told) => {
        const valuesOf = headerRows.ietf.prepare([odd], "delta");
        for (const [wait, remaining, reset] of told) {
          const decision = one(odd, wait, remaining, reset);
          expect(valuesOf(decision)).toEqual(saidBy("ietf", [odd], decision));
        }
      }),
    );
  });

  const promised = '"default";q=10;w=60, "hour";q=100;w=3600';
  it.each([
    ["both alike", two([0, 5, 60], [0, 5, 60]), '"default";r=5;t=60, "hour";r=5;t=60'],
    ["both allow", two([0, 9, 60], [0, 99, 3600]), '"default";r=9;t=60, "hour";r=99;t=3600'],
    [
      "the first refuses: no time later than its own",
      two([30, 0, 60], [0, 50, 3600]),
      '"default";r=0;t=30, "hour";r=50',
    ],
    [
      "the first refuses: times before its own stay",
      two([30, 0, 60], [0, 50, 30]),
      '"default";r=0;t=30, "hour";r=50;t=30',
    ],
    ["both refuse", two([30, 0, 60], [40, 0, 3600]), '"default";r=0;t=30, "hour";r=0;t=40'],
    ["the second never will", two([0, 9, 60], [never, 50, 3600]), '"default";r=9;t=60, "hour";r=50'],
  ])("of two policies: %s", (_, decision, field) => {
    expect(saidBy("ietf", [minute, hour], decision)).toEqual([field, promised]);
  });
});

describe("draft-7", () => {
  it.each([
    ["allowed", one(minute, 0, 9, 59.9), "limit=10, remaining=9, reset=60"],
    ["refused: reset is when to come back", one(minute, 7.2, 0, 50), "limit=10, remaining=0, reset=8"],
    ["never to be allowed: reset is when it is whole", one(minute, never, 3, 50), "limit=10, remaining=3, reset=50"],
  ])("%s", (_, decision, field) => {
    expect(saidBy("draft-7", [minute], decision)).toEqual([field, "10;w=60"]);
  });

  it("keeps to 15 digits, and leaves out a window of no whole seconds", () => {
    expect(saidBy("draft-7", [odd], one(odd, 0, 2 ** 52 - 2, 1.5))).toEqual([
      "limit=999999999999999, remaining=999999999999999, reset=2",
      "999999999999999",
    ]);
  });

  it("speaks for the policy that speaks, with its own reset", () => {
    const policies = [minute, hour];
    expect(saidBy("draft-7", policies, two([0, 9, 60], [0, 99, 3600]))).toEqual([
      "limit=10, remaining=9, reset=60",
      "10;w=60, 100;w=3600",
    ]);
    expect(saidBy("draft-7", policies, two([0, 9, 60], [0, 3, 3600]))[0]).toBe("limit=100, remaining=3, reset=3600");
    expect(saidBy("draft-7", policies, two([0, 9, 60], [40, 0, 3600]))[0]).toBe("limit=100, remaining=0, reset=40");
  });
});

describe("legacy", () => {
  it("says limit, remaining, and when the quota of the policy that speaks is whole, refused or not", () => {
    expect(headerRows.legacy.names).toEqual(["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]);
    expect(saidBy("legacy", [minute], one(minute, 0, 9, 59.9))).toEqual(["10", "9", "60"]);
    expect(saidBy("legacy", [minute], one(minute, 7.2, 0, 50))).toEqual(["10", "0", "50"]);
    expect(saidBy("legacy", [minute, hour], two([30, 0, 60], [0, 50, 3600]))).toEqual(["10", "0", "60"]);
  });

  it("as a moment, in seconds since 1970, where that is asked for", () => {
    vi.useFakeTimers({ now: 1_700_000_000_400, toFake: ["Date"] });
    try {
      const [, , reset] = headerRows.legacy.prepare([minute], "epoch")(one(minute, 0, 9, 59.9));
      expect(reset).toBe("1700000061");
    } finally {
      vi.useRealTimers();
    }
  });

  it("says what the decision says where no part is of the policy that speaks", () => {
    const decision = { ...one(minute, 2, 0, 3), policy: "another", parts: two([0, 9, 60], [0, 99, 3600]).parts };
    expect(saidBy("legacy", [minute, hour], decision)).toEqual(["10", "0", "3"]);
  });
});

describe("how families stand beside those of another limiter", () => {
  it("as list members with a time in them, or the one with the least left", () => {
    const { ietf, legacy, "draft-7": seventh } = headerRows;
    expect([ietf.stacked, ietf.until, ietf.names]).toEqual(["append", "t", ["RateLimit", "RateLimit-Policy"]]);
    expect([seventh.stacked, seventh.until, seventh.names]).toEqual(["least", undefined, ietf.names]);
    expect([legacy.stacked, legacy.until]).toEqual(["least", undefined]);
  });
});

describe("Retry-After", () => {
  it.each([
    [0, "1"],
    [1, "1"],
    [1000, "1"],
    [1000.001, "2"],
    [1e19, "999999999999999"],
    [never, undefined],
  ])("after %d ms says %s", (wait, field) => {
    expect(retryAfterField(wait)).toBe(field);
  });
});

describe("the fields of an error", () => {
  it("are Retry-After, the newest draft's and the old ones", () => {
    expect(refusalHeaders(one(minute, 7.2, 0, 50))).toEqual({
      "Retry-After": "8",
      RateLimit: '"default";r=0;t=8',
      "RateLimit-Policy": '"default";q=10;w=60',
      "X-RateLimit-Limit": "10",
      "X-RateLimit-Remaining": "0",
      "X-RateLimit-Reset": "50",
    });
  });

  it("leave Retry-After out when waiting never helps", () => {
    expect(refusalHeaders(one(minute, never, 3, 50))).not.toHaveProperty("Retry-After");
  });
});
