import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { newAnswer, noLog, noStamp } from "../core/algorithm.js";
import { ruleOf } from "../core/policy.js";
import { fixedWindow, type Policy, slidingCounter, slidingWindow, tokenBucket } from "../index.js";
import { headerWidth, LogPool } from "../stores/memory/log-pool.js";
import { Random } from "../testing/random.js";

/** The steps alone, without a store: what a row says, and what it promises when a store cannot undo but only amend. */

interface Kind {
  readonly policy: Policy;
  /** µs */
  readonly window: number;
  readonly bound: (length: number) => number;
}

const kinds: Readonly<Record<string, (limit: number, window: number, rate: number) => Kind>> = {
  "fixed window": (limit, window) => ({
    policy: fixedWindow({ limit, window: window / 1000 }),
    window,
    // the one whose call has opened a window may give up, and the window stays where it is
    bound: (length) => (Math.ceil(length / window) + 1) * limit,
  }),
  "fixed window on the clock": (limit, window) => ({
    policy: fixedWindow({ limit, window: window / 1000, anchor: "epoch" }),
    window,
    bound: (length) => (Math.ceil(length / window) + 1) * limit,
  }),
  "sliding window": (limit, window) => ({
    policy: slidingWindow({ limit, window: window / 1000 }),
    window,
    bound: (length) => Math.ceil(length / window) * limit,
  }),
  "sliding counter": (limit, window) => ({
    policy: slidingCounter({ limit, window: window / 1000 }),
    window,
    bound: (length) => (Math.ceil(length / window) + 1) * limit - 1,
  }),
  "token bucket": (burst, per, rate) => ({
    policy: tokenBucket({ rate, per: per / 1000, burst }),
    window: Math.ceil((burst * per) / rate),
    bound: (length) => burst + Math.ceil((length * rate) / per) - 1,
  }),
  "token bucket by intervals": (burst, per, rate) => ({
    policy: tokenBucket({ rate, per: per / 1000, burst, refill: "interval" }),
    window: Math.ceil(burst / rate) * per,
    bound: (length) => burst + rate * Math.ceil(length / per),
  }),
};

/** One key: a row, and a log where the algorithm keeps one. */
class Key {
  readonly row: Float64Array;
  readonly answer = newAnswer();
  readonly #rule: ReturnType<typeof ruleOf>;
  readonly #pool: LogPool | undefined;

  constructor(policy: Policy) {
    this.#rule = ruleOf(policy);
    const { algorithm } = this.#rule;
    this.#pool = algorithm.logged === true ? new LogPool() : undefined;
    this.row = new Float64Array(algorithm.columns);
  }

  get lasting(): number {
    return this.#rule.algorithm.lasting(this.#rule.parameters);
  }

  get headers(): number {
    return this.#pool === undefined ? 0 : headerWidth;
  }

  /** A look: changes nothing but what a clock that went back has made untrue. */
  look(now: number, cost: number): { start: number; remaining: number; resetAt: number; changed: boolean } {
    this.#step(now, now, -1, cost);
    return { ...this.answer };
  }

  take(now: number, earliest: number, cost: number): typeof this.answer {
    this.#step(now, earliest, Number.MAX_SAFE_INTEGER, cost);
    return this.answer;
  }

  amend(now: number, stamp: number, delta: number): typeof this.answer {
    const { algorithm, parameters } = this.#rule;
    algorithm.amend(this.row, this.#pool ?? noLog, now, stamp, delta, parameters, this.answer);
    return this.answer;
  }

  #step(now: number, earliest: number, latest: number, cost: number): void {
    const { algorithm, parameters } = this.#rule;
    algorithm.step(this.row, this.#pool ?? noLog, now, earliest, latest, cost, parameters, this.answer);
  }
}

const numbers = [
  fc.integer({ min: 1, max: 8 }),
  fc.integer({ min: 1, max: 30 }),
  fc.integer({ min: 1, max: 12 }),
  fc.integer(),
] as const;

describe.each(Object.entries(kinds))("%s", (_, kind) => {
  it("whoever gives up by amendment, in any order, among penalties: the bound holds for those who stay", () => {
    fc.assert(
      fc.property(...numbers, (limit, window, rate, seed) => {
        const random = new Random(seed);
        const { policy, window: length, bound } = kind(limit, window, rate);
        const key = new Key(policy);
        let now = 10_000;
        let granted: { start: number; stamp: number; cost: number }[] = [];
        for (let step = 0; step < 40; step++) {
          const dice = random.next();
          const ahead = granted.filter(({ start }) => start > now);
          if (dice < 0.55) {
            const cost = random.whole(1, limit);
            const { start, stamp } = key.take(now, random.chance(0.2) ? now + random.whole(0, length) : now, cost);
            expect(start).toBeGreaterThanOrEqual(now);
            granted.push({ start, stamp, cost });
          } else if (dice < 0.7 && ahead.length > 0) {
            const gone = random.pick(ahead);
            key.amend(now, gone.stamp, -gone.cost);
            granted = granted.filter((each) => each !== gone);
          } else if (dice < 0.75) {
            key.amend(now, noStamp, random.whole(1, limit));
          } else {
            now += random.pick([1, random.whole(0, length), Math.ceil(length / limit)]);
          }
          for (const span of [1, Math.ceil(length / limit), length, 2 * length]) {
            for (const { start } of granted) {
              const inside = granted.filter((each) => each.start >= start && each.start < start + span);
              const cost = inside.reduce((sum, each) => sum + each.cost, 0);
              if (cost > bound(span)) expect({ cost, span }).toEqual({ cost: bound(span), span });
            }
          }
        }
      }),
      { numRuns: 600, examples: [[6, 3, 1, 1_152_037_604]] },
    );
  });

  it("a row is as short as can be: only what holds for every key, unless a start lies ahead or a debt does", () => {
    fc.assert(
      fc.property(...numbers, (limit, window, rate, seed) => {
        const random = new Random(seed);
        const { policy, window: length } = kind(limit, window, rate);
        const key = new Key(policy);
        let now = 10_000;
        for (let step = 0; step < 30; step++) {
          if (random.chance(0.5)) key.take(now, now, random.whole(1, limit));
          else if (random.chance(0.3)) key.amend(now, noStamp, random.whole(-limit, limit) || 1);
          else now += random.whole(0, 2 * length);
          const { start } = key.look(now, 1);
          // a call that starts now, on a key for which nobody waits
          if (start > now) continue;
          const { changed } = key.take(now, now, 1);
          expect(changed).toBe(true);
          expect(Array.from(key.row.subarray(key.lasting))).toEqual(new Array(key.row.length - key.lasting).fill(0));
        }
      }),
      { numRuns: 200 },
    );
  });

  it("a clock that jumps back behind those who wait takes everything with it", () => {
    fc.assert(
      fc.property(...numbers, fc.integer({ min: 1, max: 50 }), (limit, window, rate, seed, windows) => {
        const random = new Random(seed);
        const { policy, window: length } = kind(limit, window, rate);
        const [key, still] = [new Key(policy), new Key(policy)];
        const now = 100 * length;
        for (let calls = random.whole(1, 10); calls > 0; calls--) {
          const cost = random.whole(1, limit);
          key.take(now, now, cost);
          still.take(now, now, cost);
        }
        if (still.look(now, 1).start <= now) return;
        // whole windows, so that those which lie on the clock stay what they are
        const back = (windows + 1) * length;
        for (let cost = 1; cost <= limit; cost++) {
          const [moved, stayed] = [key.look(now - back, cost), still.look(now, cost)];
          expect(moved.start - (now - back)).toBe(stayed.start - now);
          expect([moved.remaining, moved.resetAt - (now - back)]).toEqual([stayed.remaining, stayed.resetAt - now]);
        }
        // what was found is kept: asked again, nothing moves
        expect(key.look(now - back, 1).changed).toBe(false);
        const later = random.whole(0, 3 * length);
        for (const cost of [1, limit]) {
          const start = key.take(now - back + later, now - back + later, cost).start - (now - back);
          expect(start).toBe(still.take(now + later, now + later, cost).start - now);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("what a store is told of an algorithm", () => {
  it.each([
    [fixedWindow({ limit: 5, window: "1s" }), "fixed-window", [5, 1e6, 0], 2, 4],
    [fixedWindow({ limit: 5, window: "1s", anchor: "epoch" }), "fixed-window", [5, 1e6, 1], 2, 4],
    [slidingWindow({ limit: 5, window: "1s" }), "sliding-window", [5, 1e6], 0, 1],
    [slidingCounter({ limit: 5, window: "1s" }), "sliding-counter", [5, 1e6], 3, 5],
    [tokenBucket({ rate: 5, per: "1s" }), "token-bucket", [5, 200_000, 0, 1, 1e6, 0, 11_258_999_068], 1, 5],
    [
      tokenBucket({ rate: 3, per: "1s", burst: 2 }),
      "token-bucket",
      [2, 333_333, 1, 3, 666_666, 2, 6_755_385_930],
      2,
      5,
    ],
    [
      tokenBucket({ rate: 3, per: "1s", burst: 7, refill: "interval" }),
      "token-bucket-interval",
      [7, 3, 1e6, 3e6, 6_755_399_439],
      2,
      5,
    ],
  ] as const)("%#", (policy, name, encoded, lasting, columns) => {
    const { algorithm, parameters } = ruleOf(policy);
    expect(algorithm.name).toBe(name);
    expect(algorithm.encode(parameters)).toEqual(encoded);
    expect([algorithm.lasting(parameters), algorithm.columns]).toEqual([lasting, columns]);
  });
});
