import { fixedWindow } from "../algorithms/fixed-window/fixed-window.js";
import { slidingWindow } from "../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../algorithms/token-bucket/token-bucket.js";
import { all } from "../core/limiter.js";
import type { Law } from "./bench.js";
import { cases, state } from "./cases.js";
import { check, checkSame, outcomeOf } from "./check.js";
import { anySubject } from "./subjects.js";

export const togetherLaws: readonly Law[] = [
  {
    name: "all: several keys and limiters are charged together, or none of them",
    moves: true,
    holds: (bench) =>
      cases(bench, 40, async (random) => {
        const subjects = [anySubject(random), anySubject(random), anySubject(random)];
        // asked together, and asked one by one when each of them would agree
        const joint = subjects.map(({ policy }) => bench.limiter(policy));
        const apart = subjects.map(({ policy }) => bench.limiter(policy));
        const whole = all(...joint.map((limiter) => limiter.for("key")));
        for (let step = 0; step < 25; step++) {
          const cost = random.whole(1, Math.min(...subjects.map(({ policy }) => policy.limit)));
          const looks = await Promise.all(apart.map((limiter) => limiter.peek("key", { cost })));
          const agreed = looks.every(({ allowed }) => allowed);
          const decision = await whole.consume({ cost });
          const about = (): string => `${subjects.map((each) => each.about).join(" + ")}: cost ${cost}, step ${step}`;
          checkSame(decision.allowed, agreed, about);
          checkSame(decision.retryAfter, Math.max(...looks.map(({ retryAfter }) => retryAfter)), about);
          if (agreed) for (const limiter of apart) await limiter.consume("key", { cost });
          for (const [index, limiter] of joint.entries()) {
            checkSame(await state(limiter, "key"), await state(apart[index] ?? limiter, "key"), about);
          }
          const { tick, window } = random.pick(subjects);
          await bench.advance(random.pick([0, 0, 1, tick, random.whole(0, window)]));
        }
      }),
  },
  {
    name: "all: a wait for several starts when the last of them can, and gives all of it back",
    moves: true,
    holds: (bench) =>
      cases(bench, 30, async (random) => {
        const subjects = [anySubject(random), anySubject(random)];
        const limiters = subjects.map(({ policy }) => bench.limiter(policy));
        const spared = subjects.map(({ policy }) => bench.limiter(policy));
        for (const pair of [limiters, spared]) {
          for (const [index, limiter] of pair.entries()) {
            await limiter.consume("key", { cost: subjects[index]?.policy.limit ?? 1 });
          }
        }
        const whole = all(...limiters.map((limiter) => limiter.for("key")));
        const { retryAfter } = await whole.peek();
        const signals = Array.from({ length: random.whole(1, 5) }, () => new AbortController());
        const waits = signals.map(({ signal }) => outcomeOf(whole.wait({ signal })));
        const later = await whole.peek();
        check(later.retryAfter >= retryAfter, () => "a second wait would overtake the first");
        for (const controller of signals) controller.abort();
        for (const outcome of await Promise.all(waits)) check("error" in outcome, () => "an abort came too late");
        for (const [index, limiter] of limiters.entries()) {
          checkSame(
            await state(limiter, "key"),
            await state(spared[index] ?? limiter, "key"),
            () => `${subjects.map((each) => each.about).join(" + ")}: after giving up`,
          );
        }
      }),
  },
  {
    name: "all: one key asked twice is charged twice, or not at all",
    moves: false,
    holds: async (bench) => {
      for (const policy of [
        fixedWindow({ limit: 5, window: "1h" }),
        slidingWindow({ limit: 5, window: "1h" }),
        tokenBucket({ rate: 5, per: "100d" }),
      ]) {
        const limiter = bench.limiter(policy);
        const twice = all(limiter.for("key"), limiter.for("key"));
        checkSame((await twice.consume({ cost: 2 })).allowed, true, () => `${policy.algorithm}: twice 2 of 5`);
        checkSame((await limiter.peek("key")).remaining, 1, () => `${policy.algorithm}: after twice 2`);
        checkSame((await twice.consume()).allowed, false, () => `${policy.algorithm}: twice 1 with 1 left`);
        checkSame((await limiter.peek("key")).remaining, 1, () => `${policy.algorithm}: after the refusal`);
      }
    },
  },
  {
    name: "all: a thousand racing calls over two keys are charged to both, or to neither",
    moves: false,
    holds: async (bench) => {
      const users = bench.limiter(fixedWindow({ limit: 7, window: "1d", name: "users" }));
      const tenants = bench.limiter(slidingWindow({ limit: 40, window: "1d", name: "tenants" }));
      const decisions = await Promise.all(
        Array.from({ length: 1000 }, (_, index) =>
          all(users.for(`user-${index % 10}`), tenants.for("tenant")).consume(),
        ),
      );
      checkSame(decisions.filter(({ allowed }) => allowed).length, 40, () => "allowed");
      let spent = 0;
      for (let index = 0; index < 10; index++) spent += 7 - (await users.peek(`user-${index}`)).remaining;
      checkSame(spent, 40, () => "spent by the users");
      checkSame((await tenants.peek("tenant")).remaining, 0, () => "what remains for the tenant");
    },
  },
];
