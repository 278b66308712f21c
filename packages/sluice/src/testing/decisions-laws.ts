import { fixedWindow } from "../algorithms/fixed-window/fixed-window.js";
import { slidingWindow } from "../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../algorithms/token-bucket/token-bucket.js";
import type { Decision } from "../core/decision.js";
import type { RateLimiter } from "../core/limiter.js";
import type { Bench, Law } from "./bench.js";
import { cases, observe, state } from "./cases.js";
import { check, checkSame } from "./check.js";
import { Play } from "./play.js";
import type { Random } from "./random.js";
import { anySubject, type Subject, subjectKinds } from "./subjects.js";

const stepsPerCase = 40;

/** Every answer is the one of the reference model, over random schedules. */
const equal: readonly Law[] = [
  ...Object.entries(subjectKinds).map(([about, kind]) => ({
    name: `equal: a ${about} answers as its definition`,
    moves: true,
    holds: (bench: Bench) =>
      cases(bench, 30, async (random) => {
        const play = await Play.of(bench, [kind(random, "default")]);
        for (let step = 0; step < stepsPerCase; step++) await play.step(random);
      }),
  })),
  {
    name: "equal: several policies answer as one, all charged or none",
    moves: true,
    holds: (bench) =>
      cases(bench, 40, async (random) => {
        const count = random.whole(2, 4);
        const subjects = Array.from({ length: count }, (_, index) => anySubject(random, `policy-${index}`));
        const play = await Play.of(bench, subjects);
        for (let step = 0; step < stepsPerCase; step++) await play.step(random);
      }),
  },
];

/** Two limiters on one policy: what is done to one and not to the other must not show. */
async function twins(bench: Bench, random: Random, subject: Subject): Promise<readonly [RateLimiter, RateLimiter]> {
  const pair = [bench.limiter(subject.policy), bench.limiter(subject.policy)] as const;
  for (let calls = random.whole(0, 12); calls > 0; calls--) {
    const cost = random.whole(1, subject.policy.limit);
    for (const limiter of pair) await limiter.consume("key", { cost });
    await bench.advance(random.pick([0, 1, subject.tick, random.whole(0, subject.window)]));
  }
  return pair;
}

function gap(random: Random, { tick, window }: Subject): number {
  return random.pick([0, 1, tick - 1, tick, window - 1, window, random.whole(0, window), 2 * window]);
}

export const decisionLaws: readonly Law[] = [
  ...equal,
  {
    name: "exact retry: refused a microsecond before retryAfter, allowed at it",
    moves: true,
    holds: (bench) =>
      cases(bench, 60, async (random) => {
        const subject = anySubject(random);
        const limiter = bench.limiter(subject.policy);
        for (let step = 0; step < 12; step++) {
          const cost = random.whole(1, subject.policy.limit);
          const first = await limiter.consume("key", { cost });
          if (first.allowed) {
            checkSame(first.retryAfter, 0, () => `${subject.about}: retryAfter of an allowed call`);
            await bench.advance(random.pick([0, 0, random.whole(0, subject.tick)]));
            continue;
          }
          const wait = Math.round(first.retryAfter * 1000);
          check(wait > 0, () => `${subject.about}: refused ${cost} with retryAfter ${first.retryAfter}`);
          await bench.advance(wait - 1);
          const early = await limiter.consume("key", { cost });
          check(!early.allowed, () => `${subject.about}: ${cost} allowed 1 µs before its retryAfter of ${wait} µs`);
          checkSame(early.retryAfter, 0.001, () => `${subject.about}: retryAfter 1 µs before it is over`);
          await bench.advance(1);
          const timely = await limiter.consume("key", { cost });
          check(timely.allowed, () => `${subject.about}: ${cost} refused at its retryAfter of ${wait} µs`);
        }
      }),
  },
  {
    name: "impossible: a cost above the limit is never allowed, is told so, and changes nothing",
    moves: false,
    holds: (bench) =>
      cases(bench, 20, async (random) => {
        const { policy, about } = anySubject(random);
        const limiter = bench.limiter(policy);
        const above = policy.limit + random.pick([1, 2, policy.limit, 2 ** 52]);
        for (const decision of [
          await limiter.consume("key", { cost: above }),
          await limiter.peek("key", { cost: above }),
        ]) {
          checkSame(
            [decision.allowed, decision.retryAfter, decision.remaining, decision.resetAfter],
            [false, Number.POSITIVE_INFINITY, policy.limit, 0],
            () => `${about}: cost ${above}`,
          );
        }
        const all = await limiter.consume("key", { cost: policy.limit });
        check(all.allowed, () => `${about}: the whole limit refused after an impossible cost`);
      }),
  },
  {
    name: "remaining is true: so many unit calls pass, and not one more",
    moves: true,
    holds: (bench) =>
      cases(bench, 40, async (random) => {
        const subject = anySubject(random);
        const [limiter] = await twins(bench, random, subject);
        const { remaining } = await limiter.peek("key");
        check(remaining >= 0 && Number.isInteger(remaining), () => `${subject.about}: remaining ${remaining}`);
        const most = Math.min(remaining, 150);
        if (remaining > most) {
          check(
            (await limiter.consume("key", { cost: remaining - most })).allowed,
            () => `${subject.about}: ${remaining}`,
          );
        }
        for (let left = most - 1; left >= 0; left--) {
          const { allowed, remaining: told } = await limiter.consume("key");
          checkSame([allowed, told], [true, left], () => `${subject.about}: with ${left + 1} remaining`);
        }
        check(!(await limiter.consume("key")).allowed, () => `${subject.about}: allowed with nothing remaining`);
      }),
  },
  {
    name: "remaining is steady: time never lowers it, calls never raise it",
    moves: true,
    holds: (bench) =>
      cases(bench, 40, async (random) => {
        const subject = anySubject(random);
        const limiter = bench.limiter(subject.policy);
        let last = subject.policy.limit;
        for (let step = 0; step < 20; step++) {
          if (random.chance(0.5)) {
            const { remaining } = await limiter.consume("key", { cost: random.whole(1, subject.policy.limit) });
            check(remaining <= last, () => `${subject.about}: a call raised remaining from ${last} to ${remaining}`);
            last = remaining;
          } else {
            await bench.advance(gap(random, subject));
            const { remaining } = await limiter.peek("key");
            check(remaining >= last, () => `${subject.about}: time lowered remaining from ${last} to ${remaining}`);
            last = remaining;
          }
        }
      }),
  },
  {
    name: "reset: at resetAfter the key is as if never seen, and not a microsecond earlier",
    moves: true,
    holds: (bench) =>
      cases(bench, 40, async (random) => {
        const subject = anySubject(random);
        const [limiter] = await twins(bench, random, subject);
        await limiter.consume("key");
        const { resetAfter } = await limiter.peek("key");
        const wait = Math.round(resetAfter * 1000);
        check(wait > 0, () => `${subject.about}: resetAfter ${resetAfter} of a key that was used`);
        await bench.advance(wait - 1);
        const early = await limiter.peek("key");
        check(
          early.resetAfter === 0.001,
          () => `${subject.about}: resetAfter ${early.resetAfter} 1 µs before it is over`,
        );
        await bench.advance(1);
        checkSame(await state(limiter, "key"), await state(limiter, "never seen"), () => subject.about);
        const { remaining, resetAfter: left } = await limiter.peek("key");
        checkSame([remaining, left], [subject.policy.limit, 0], () => subject.about);
      }),
  },
  {
    name: "refusing: a refusal charges nothing",
    moves: true,
    holds: (bench) =>
      cases(bench, 40, async (random) => {
        const subject = anySubject(random);
        const [asked, spared] = await twins(bench, random, subject);
        for (let step = 0; step < 8; step++) {
          const cost = random.whole(1, subject.policy.limit + 1);
          const { allowed } = await asked.consume("key", { cost });
          if (allowed) await spared.consume("key", { cost });
          await bench.advance(gap(random, subject));
          checkSame(await state(asked, "key"), await state(spared, "key"), () => `${subject.about}: cost ${cost}`);
        }
      }),
  },
  {
    name: "looking: a peek changes nothing, and says what a call would have been told",
    moves: true,
    holds: (bench) =>
      cases(bench, 40, async (random) => {
        const subject = anySubject(random);
        const [looked, spared] = await twins(bench, random, subject);
        for (let step = 0; step < 8; step++) {
          const cost = random.whole(1, subject.policy.limit + 1);
          const told = await looked.peek("key", { cost });
          await observe(looked, "key");
          const [one, other] = [await looked.consume("key", { cost }), await spared.consume("key", { cost })];
          checkSame(one, other, () => `${subject.about}: after a peek`);
          checkSame(
            [told.allowed, told.retryAfter],
            [one.allowed, one.retryAfter],
            () => `${subject.about}: peek ${cost}`,
          );
          await bench.advance(gap(random, subject));
        }
      }),
  },
  {
    name: "weights: one call of cost n is n calls of cost 1",
    moves: true,
    holds: (bench) =>
      cases(bench, 30, async (random) => {
        const subject = anySubject(random);
        const [whole, pieces] = await twins(bench, random, subject);
        const { remaining } = await whole.peek("key");
        const cost = Math.min(remaining, random.whole(1, 50));
        if (cost === 0) return;
        const one = await whole.consume("key", { cost });
        let last: Decision | undefined;
        for (let piece = 0; piece < cost; piece++) last = await pieces.consume("key");
        checkSame(one, last, () => `${subject.about}: ${cost} at once and one by one`);
        await bench.advance(gap(random, subject));
        checkSame(await state(whole, "key"), await state(pieces, "key"), () => `${subject.about}: after ${cost}`);
      }),
  },
  {
    name: "isolation: keys, limiters and strange names never touch",
    moves: false,
    holds: async (bench) => {
      const policy = fixedWindow({ limit: 3, window: "1h" });
      const one = bench.limiter(policy);
      const other = bench.limiter(policy);
      for (const [index, key] of strangeKeys.entries()) {
        const spent = (index % 3) + 1;
        for (let calls = 0; calls < spent; calls++) await one.consume(key);
      }
      for (const [index, key] of strangeKeys.entries()) {
        const about = (): string => `key ${JSON.stringify(key.slice(0, 40))}`;
        checkSame((await one.peek(key)).remaining, 2 - (index % 3), about);
        checkSame((await other.peek(key)).remaining, 3, about);
      }
      await one.reset(strangeKeys[0] as string);
      checkSame((await one.peek(strangeKeys[0] as string)).remaining, 3, () => "the key that was reset");
      checkSame((await one.peek(strangeKeys[1] as string)).remaining, 1, () => "the key beside it");
    },
  },
  {
    name: "racing: a thousand calls at once admit exactly the limit",
    moves: false,
    holds: async (bench) => {
      for (const policy of [
        fixedWindow({ limit: 37, window: "1d" }),
        slidingWindow({ limit: 37, window: "1d" }),
        tokenBucket({ rate: 37, per: "100d" }),
        tokenBucket({ rate: 37, per: "100d", refill: "interval" }),
      ]) {
        const limiter = bench.limiter(policy);
        const decisions = await Promise.all(Array.from({ length: 1000 }, () => limiter.consume("key")));
        const left = decisions.filter(({ allowed }) => allowed).map(({ remaining }) => remaining);
        left.sort((one, other) => other - one);
        checkSame(
          left,
          Array.from({ length: 37 }, (_, index) => 36 - index),
          () => `${policy.algorithm}: what was left`,
        );
      }
    },
  },
  {
    name: "long run: 7 per second, 59 of 60, 997 per day and 999 983 per 30 days do not drift",
    moves: true,
    holds: async (bench) => {
      for (const [rate, per] of [
        [7, 1e6],
        [59, 60e6],
        [997, 86_400e6],
        [999_983, 2_592_000e6],
      ] as const) {
        // a burst of two, so that the part of a token which a rounded-up microsecond has earned is not lost at the brim
        const limiter = bench.limiter(tokenBucket({ rate, per: per / 1000, burst: 2 }));
        let passed = 0;
        await limiter.consume("key", { cost: 2 });
        for (let calls = 1n; calls <= 500n; calls++) {
          const due = Number((calls * BigInt(per) + BigInt(rate) - 1n) / BigInt(rate));
          const { retryAfter } = await limiter.peek("key");
          checkSame(Math.round(retryAfter * 1000), due - passed, () => `${rate} per ${per} µs: call ${calls}`);
          await bench.advance(due - passed);
          passed = due;
          check((await limiter.consume("key")).allowed, () => `${rate} per ${per} µs: call ${calls} refused`);
        }
      }
    },
  },
];

const strangeKeys: readonly string[] = [
  "__proto__",
  "constructor",
  "toString",
  "{a}",
  "{a}:b",
  "a:{b}",
  "a",
  "a:",
  ":a",
  "%",
  "%25",
  "\u0000",
  "a\u0000",
  "a\nb",
  "a b",
  "é",
  "e\u0301",
  "🚪",
  "x".repeat(65_536),
  `${"x".repeat(65_535)}y`,
];
