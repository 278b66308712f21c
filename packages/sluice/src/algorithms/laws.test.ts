import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { newAnswer, noLog, noStamp } from "../core/algorithm.js";
import { ruleOf } from "../core/policy.js";
import { fixedWindow, memoryStore, type Policy, slidingCounter, slidingWindow, tokenBucket } from "../index.js";
import { Bench } from "../testing/bench.js";
import { manualClock } from "../testing/manual-clock.js";
import { Play } from "../testing/play.js";
import { Random } from "../testing/random.js";
import { FixedWindowModel } from "../testing/reference/fixed-window.js";
import { IntervalBucketModel } from "../testing/reference/interval-bucket.js";
import { type Model, remainingOf } from "../testing/reference/model.js";
import { SlidingCounterModel } from "../testing/reference/sliding-counter.js";
import { SlidingWindowModel } from "../testing/reference/sliding-window.js";
import { TokenBucketModel } from "../testing/reference/token-bucket.js";
import type { Subject } from "../testing/subjects.js";
import { continuous } from "./token-bucket/continuous.js";

/** The conformance suite has windows of seconds and more; these have microseconds, where every edge is near every other. */
type Small = (limit: number, window: number, rate: number) => readonly [Policy, () => Model, number];

const kinds: Readonly<Record<string, Small>> = {
  "fixed window": (limit, window) => [
    fixedWindow({ limit, window: window / 1000 }),
    () => new FixedWindowModel({ limit, window, aligned: false }),
    window,
  ],
  "fixed window on the clock": (limit, window) => [
    fixedWindow({ limit, window: window / 1000, anchor: "epoch" }),
    () => new FixedWindowModel({ limit, window, aligned: true }),
    window,
  ],
  "sliding window": (limit, window) => [
    slidingWindow({ limit, window: window / 1000 }),
    () => new SlidingWindowModel({ limit, window }),
    window,
  ],
  "sliding counter": (limit, window) => [
    slidingCounter({ limit, window: window / 1000 }),
    () => new SlidingCounterModel({ limit, window }),
    window,
  ],
  "token bucket": (burst, per, rate) => {
    const policy = tokenBucket({ rate, per: per / 1000, burst });
    return [policy, () => new TokenBucketModel({ rate, per, burst }), Math.round(policy.window * 1000)];
  },
  "token bucket by intervals": (burst, per, rate) => [
    tokenBucket({ rate, per: per / 1000, burst, refill: "interval" }),
    () => new IntervalBucketModel({ rate, per, burst }),
    per,
  ],
};

describe.each(Object.entries(kinds))("%s in small numbers", (about, kind) => {
  it("answers as its definition", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer(),
        async (limit, window, rate, seed) => {
          const clock = manualClock(1_000_000 + (seed & 0xff));
          const bench = new Bench({ store: memoryStore({ clock }), advance: (ms) => clock.advance(ms) });
          const [policy, model, length] = kind(limit, window, rate);
          const tick = Math.max(1, Math.ceil(length / limit));
          const subject: Subject = {
            about: `${about} ${limit} ${window} ${rate}`,
            policy,
            window: length,
            tick,
            model,
          };
          const play = await Play.of(bench, [subject]);
          const random = new Random(seed);
          for (let step = 0; step < 40; step++) await play.step(random);
          await bench.clear();
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** The step of a policy on a row of its own. */
function stepping(policy: Policy) {
  const { algorithm, parameters } = ruleOf(policy);
  const row = new Float64Array(algorithm.columns);
  const answer = newAnswer();
  return {
    row,
    answer,
    step: (now: number, cost: number) => {
      algorithm.step(row, noLog, now, now, now, cost, parameters, answer);
      return answer;
    },
    look: (now: number, cost: number) => {
      algorithm.step(row, noLog, now, now, -1, cost, parameters, answer);
      return answer;
    },
    amend: (now: number, delta: number) => {
      algorithm.amend(row, noLog, now, noStamp, delta, parameters, answer);
      return answer;
    },
  };
}

it("buckets of billions are counted to the token, into debts of many limits", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.constantFrom([2 ** 30, 1e6], [100_000_007, 60e6], [67_108_859, 1e6]),
        // their span in parts of a tick is beyond exact integers
        fc.constantFrom([50_000_017, 3600e6], [90_000_049, 86_400e6], [9_999_991, 2_592_000e6]),
        fc.tuple(fc.integer({ min: 1, max: 2 ** 33 }), fc.constantFrom(1e3, 1e6, 3600e6)),
      ),
      fc.array(
        fc.record({
          do: fc.constantFrom("consume", "charge", "peek", "pass"),
          share: fc.double({ min: 0, max: 1, noNaN: true }),
        }),
        { maxLength: 12 },
      ),
      ([rate, per], steps) => {
        let policy: Policy;
        try {
          policy = tokenBucket({ rate, per: per / 1000 });
        } catch {
          // beyond exact integers, and refused
          expect(rate).toBeGreaterThan(2 ** 26);
          return;
        }
        const { step, amend, look } = stepping(policy);
        const model = new TokenBucketModel({ rate, per, burst: rate });
        let now = 1_700_000_000_000_000;
        for (const { do: verb, share } of steps) {
          const cost = Math.max(1, Math.floor(share * rate));
          if (verb === "pass") now += Math.floor(share * per);
          else if (verb === "charge") {
            for (let times = 0; times < 10; times++) {
              amend(now, cost);
              model.charge(now, cost);
            }
          } else if (verb === "consume" && model.start(now, cost) === now) {
            step(now, cost);
            model.grant(now, cost);
          } else expect(look(now, cost).start).toBe(model.start(now, cost));
          const { resetAt, remaining } = look(now, 1);
          expect([Math.max(now, resetAt), remaining]).toEqual([model.resetAt(now), remainingOf(model, now)]);
        }
      },
    ),
    { numRuns: 500 },
  );
  for (const [rate, per] of [
    [2 ** 30, "1s"],
    [100_000_007, "1m"],
    [1, 2 ** 51 / 1000],
  ] as const) {
    expect(tokenBucket({ rate, per }).limit).toBe(rate);
  }
});

it.each([
  [50_000_017, 3600e6],
  [90_000_049, 86_400e6],
  [9_999_991, 2_592_000e6],
])("%d every %d µs: a token that lacks the smallest part of a microsecond is not there yet", (rate, per) => {
  // all is spent at once: so much later, this is how many there are, and how much of the next
  const refilled = (elapsed: bigint) => [
    (elapsed * BigInt(rate)) / BigInt(per),
    (elapsed * BigInt(rate)) % BigInt(per),
  ];
  const inverse = inverseOf(BigInt(rate), BigInt(per));
  const start = 1_700_000_000_000_000;
  const { step, look } = stepping(tokenBucket({ rate, per: per / 1000 }));
  step(start, rate);
  for (const part of [-1n, -2n, -3n, -500n, 0n, 1n, 2n, 500n]) {
    const remainder = (part + BigInt(per)) % BigInt(per);
    const elapsed = (remainder * inverse) % BigInt(per);
    const [whole, left] = refilled(elapsed) as [bigint, bigint];
    expect(left).toBe(remainder);
    expect(look(start + Number(elapsed), 1).remaining).toBe(Number(whole));
  }
});

/** The number by which `value` times it is 1 in the integers modulo `modulus`. */
function inverseOf(value: bigint, modulus: bigint): bigint {
  let [rest, next, factor, other] = [modulus, value % modulus, 0n, 1n];
  while (next > 0n) {
    const quotient = rest / next;
    [rest, next, factor, other] = [next, rest - quotient * next, other, factor - quotient * other];
  }
  return ((factor % modulus) + modulus) % modulus;
}

describe("long runs do not drift", () => {
  it.each([
    [7, 1e6],
    [59, 60e6],
    [997, 86_400e6],
    [999_983, 2_592_000e6],
    [3, 1],
    [1_000_003, 7],
  ])("%i every %i µs, 200 000 calls", (rate, per) => {
    const { step } = stepping(tokenBucket({ rate, per: per / 1000, burst: 2 * Math.ceil(rate / per) }));
    const burst = 2 * Math.ceil(rate / per);
    const start = 1_700_000_000_000_000;
    step(start, burst);
    for (let calls = 1; calls <= 200_000; calls++) {
      const due = start + Number((BigInt(calls) * BigInt(per) + BigInt(rate) - 1n) / BigInt(rate));
      const { start: told, changed } = step(due, 1);
      if (told !== due || !changed) expect([calls, told, changed]).toEqual([calls, due, true]);
    }
    const due = Number((200_001n * BigInt(per) + BigInt(rate) - 1n) / BigInt(rate));
    const last = Number((200_000n * BigInt(per) + BigInt(rate) - 1n) / BigInt(rate));
    const { start: told } = step(start + last, 1);
    expect(told).toBe(start + due === start + last ? start + last : start + due);
  });

  it("an idle of decades ends fresh", () => {
    for (const policy of [
      fixedWindow({ limit: 5, window: "1s" }),
      slidingCounter({ limit: 5, window: "1s" }),
      tokenBucket({ rate: 5, per: "1s" }),
      tokenBucket({ rate: 5, per: "1s", refill: "interval" }),
    ]) {
      const { step, amend } = stepping(policy);
      const start = 1_700_000_000_000_000;
      step(start, 5);
      amend(start, 3);
      const { remaining, start: told } = step(start + 50 * 365 * 86_400e6, 1);
      expect([told, remaining]).toEqual([start + 50 * 365 * 86_400e6, 4]);
    }
  });

  it("a debt without end stays an exact integer, and never passes", () => {
    for (const policy of [
      fixedWindow({ limit: 5, window: "1s" }),
      slidingCounter({ limit: 5, window: "1s" }),
      tokenBucket({ rate: 7, per: "1s", burst: 5 }),
      tokenBucket({ rate: 7, per: "1s", burst: 5, refill: "interval" }),
    ]) {
      const { row, step, look, amend } = stepping(policy);
      const start = 1_700_000_000_000_000;
      for (let times = 0; times < 50; times++) amend(start, Number.MAX_SAFE_INTEGER);
      for (const number of row) expect(Number.isSafeInteger(number)).toBe(true);
      const { start: told, remaining } = step(start, 1);
      expect(told).toBeGreaterThan(start);
      if (ruleOf(policy).algorithm === continuous) expect(look(start, 5).start).toBe(Number.POSITIVE_INFINITY);
      expect(remaining).toBe(0);
      amend(start, -Number.MAX_SAFE_INTEGER);
      for (const number of row) expect(Number.isSafeInteger(number)).toBe(true);
    }
  });
});
