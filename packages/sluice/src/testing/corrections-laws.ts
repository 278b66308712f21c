import { slidingWindow } from "../algorithms/sliding-window/sliding-window.js";
import { RateLimitExceededError } from "../core/errors.js";
import type { RateLimiter } from "../core/limiter.js";
import type { Law } from "./bench.js";
import { cases, state } from "./cases.js";
import { check, checkSame, outcomeOf } from "./check.js";
import { type Model, remainingOf } from "./reference/model.js";
import { anySubject, isLogged } from "./subjects.js";
import { checkBound, type Granted, waitFor, waitOn } from "./waiting-laws.js";

export const correctionLaws: readonly Law[] = [
  {
    name: "settling: it is as if the true cost had been asked from the start",
    moves: true,
    holds: (bench) =>
      cases(bench, 60, async (random) => {
        const subject = anySubject(random);
        const { limit } = subject.policy;
        const [asked, exact] = [bench.limiter(subject.policy), bench.limiter(subject.policy)];
        const before = random.whole(0, limit - 1);
        for (const limiter of [asked, exact]) if (before > 0) await limiter.consume("key", { cost: before });
        await bench.advance(random.pick([0, random.whole(0, subject.tick)]));
        const estimate = random.whole(1, (await asked.peek("key")).remaining || 1);
        const actual = random.pick([0, 1, estimate, random.whole(0, limit), limit + random.whole(1, 5)]);
        const outcome = await outcomeOf(asked.reserve("key", { cost: estimate }));
        check("value" in outcome, () => `${subject.about}: ${estimate} refused after ${before}`);
        if (actual > 0) await exact.charge("key", { cost: actual });
        await bench.advance(random.pick([0, 1, random.whole(0, subject.window), 3 * subject.window]));
        const about = (): string => `${subject.about}: ${before} spent, ${estimate} reserved, ${actual} settled`;
        const unsettled = await asked.peek("key");
        await outcome.value.settle(actual);
        const after = await state(asked, "key");
        checkSame(after, await state(exact, "key"), about);
        await outcome.value.settle(limit);
        await outcome.value.cancel();
        checkSame(await state(asked, "key"), after, () => `${about()}, then settled again and cancelled`);
        check(actual < estimate || (await asked.peek("key")).remaining <= unsettled.remaining, about);
      }),
  },
  {
    name: "settling what has come back: nothing is given back from what others took since, and what is owed is charged",
    moves: true,
    holds: (bench) =>
      cases(bench, 60, async (random) => {
        const subject = anySubject(random);
        const { limit, window } = subject.policy;
        // all three spend alike; `alone` knows the true cost from the start, and that nobody asks later
        const [asked, spared, alone] = [1, 2, 3].map(() => bench.limiter(subject.policy)) as [
          RateLimiter,
          RateLimiter,
          RateLimiter,
        ];
        const before = random.whole(0, limit - 1);
        if (before > 0) for (const limiter of [asked, spared, alone]) await limiter.consume("key", { cost: before });
        const estimate = random.whole(1, (await asked.peek("key")).remaining || 1);
        const actual = random.pick([0, random.whole(0, estimate), random.whole(estimate, 3 * limit)]);
        const reservation = await asked.reserve("key", { cost: estimate });
        await spared.charge("key", { cost: estimate });
        if (actual > 0) await alone.charge("key", { cost: actual });
        const back = Math.round(reservation.decision.resetAfter * 1000);
        await bench.advance(back + random.pick([0, 1, subject.tick, random.whole(0, subject.window)]));
        const others = random.whole(1, limit);
        for (const limiter of [asked, spared]) await limiter.consume("key", { cost: others });
        await bench.advance(random.pick([0, 0, 1, subject.tick]));
        const { resetAfter } = await alone.peek("key");
        const owed = actual > estimate ? Math.ceil((Math.round(resetAfter * 1000) * limit) / (window * 1000)) : 0;
        if (owed > 0 && !isLogged(subject)) {
          await spared.charge("key", { cost: Math.min(owed, actual - estimate) });
        }
        await (actual === 0 && random.chance(0.5) ? reservation.cancel() : reservation.settle(actual));
        checkSame(
          await state(asked, "key"),
          await state(spared, "key"),
          () => `${subject.about}: ${before} spent, ${estimate} reserved, ${others} by others, ${actual} settled`,
        );
      }),
  },
  {
    name: "settling what was reset: the next incarnation of the key gets nothing back",
    moves: true,
    holds: (bench) =>
      cases(bench, 30, async (random) => {
        const subject = anySubject(random);
        const { limit } = subject.policy;
        const [asked, spared] = [bench.limiter(subject.policy), bench.limiter(subject.policy)];
        const estimate = random.whole(1, limit);
        const reservation = await asked.reserve("key", { cost: estimate });
        await bench.advance(random.pick([0, 0, 1, subject.tick]));
        await asked.reset("key");
        const others = random.pick([0, estimate, random.whole(1, limit)]);
        if (others > 0) for (const limiter of [asked, spared]) await limiter.consume("key", { cost: others });
        await (random.chance(0.5) ? reservation.cancel() : reservation.settle(random.whole(0, estimate)));
        checkSame(
          await state(asked, "key"),
          await state(spared, "key"),
          () => `${subject.about}: ${estimate} reserved, reset, ${others} by others`,
        );
      }),
  },
  {
    name: "cancelling: a reservation that is the newest leaves nothing behind",
    moves: true,
    holds: (bench) =>
      cases(bench, 40, async (random) => {
        const subject = anySubject(random);
        const [asked, spared] = [bench.limiter(subject.policy), bench.limiter(subject.policy)];
        const before = random.whole(0, subject.policy.limit - 1);
        for (const limiter of [asked, spared]) if (before > 0) await limiter.consume("key", { cost: before });
        const { remaining } = await asked.peek("key");
        const reservation = await asked.reserve("key", { cost: random.whole(1, remaining) });
        await bench.advance(random.pick([0, 1, random.whole(0, subject.window)]));
        await reservation.cancel();
        await reservation.cancel();
        await reservation.settle(5);
        checkSame(
          await state(asked, "key"),
          await state(spared, "key"),
          () => `${subject.about}: ${before} spent before`,
        );
      }),
  },
  {
    name: "reserving: refused like consume without maxWait; left unsettled, it keeps the estimate",
    moves: false,
    holds: async (bench) => {
      const limiter = bench.limiter(slidingWindow({ limit: 5, window: "1h" }));
      {
        await using reservation = await limiter.reserve("key", { cost: 3 });
        checkSame([reservation.decision.allowed, reservation.decision.remaining], [true, 2], () => "the decision");
      }
      checkSame((await limiter.peek("key")).remaining, 2, () => "after disposal");
      const outcome = await outcomeOf(limiter.reserve("key", { cost: 3 }));
      const error = "error" in outcome ? outcome.error : undefined;
      check(error instanceof RateLimitExceededError, () => `expected RateLimitExceededError, got ${String(error)}`);
      check(error.retryAfter > 0 && error.decision.remaining === 2, () => "the decision of the refusal");
      checkSame((await limiter.peek("key")).remaining, 2, () => "after the refusal");
    },
  },
  {
    name: "refunding: nothing rises above the limit, nothing comes back twice, nobody starts sooner than that allows",
    moves: true,
    holds: (bench) =>
      cases(bench, 100, async (random) => {
        const subject = anySubject(random);
        const { limit } = subject.policy;
        const limiter = bench.limiter(subject.policy);
        const model: Model = subject.model();
        const origin = 8 * subject.window + (await bench.phase(subject.window));
        const trace: string[] = [];
        let now = 0;
        let gap = 0;
        for (let step = 0; step < 30; step++) {
          const dice = random.next();
          const cost = random.whole(1, Math.min(limit, 4));
          if (dice < 0.5) {
            const due = model.start(origin + now, cost) - origin;
            const { start } = await waitOn(limiter, now, cost);
            trace.push(`@${now} wait ${cost}: ${start}`);
            check(start >= due, () => `${subject.about}: ${start} is sooner than ${due}: ${trace.join("; ")}`);
            model.grant(origin + start, cost);
            gap = start - now;
          } else if (dice < 0.55) {
            trace.push(`@${now} charge ${cost}`);
            await limiter.charge("key", { cost });
            model.charge(origin + now, cost);
          } else if (dice < 0.75) {
            trace.push(`@${now} refund ${cost}`);
            await limiter.refund("key", { cost });
            model.refund(origin + now, cost);
          } else {
            gap = random.pick([1, subject.tick, gap, Math.max(0, gap - 1), random.whole(0, subject.window)]);
            now += gap;
            await bench.advance(gap);
          }
          const { remaining } = await limiter.peek("key");
          const most = remainingOf(model, origin + now);
          check(remaining <= most, () => `${subject.about}: ${remaining} remain, at most ${most}: ${trace.join("; ")}`);
        }
      }),
  },
  {
    name: "charging: spends without asking, into debt, and the bound still holds for those who ask",
    moves: true,
    holds: (bench) =>
      cases(bench, 40, async (random) => {
        const subject = anySubject(random);
        const { limit } = subject.policy;
        const limiter = bench.limiter(subject.policy);
        const granted: Granted[] = [];
        let now = 0;
        for (let step = 0; step < 20; step++) {
          const cost = random.whole(1, limit);
          if (random.chance(0.3)) {
            const free = await waitFor(limiter, limit);
            const decision = await limiter.charge("key", { cost: random.whole(1, 3 * limit) });
            checkSame([decision.allowed, decision.retryAfter], [true, 0], () => `${subject.about}: a charge`);
            const later = await waitFor(limiter, limit);
            check(later >= free, () => `${subject.about}: a charge shortened the wait from ${free} to ${later}`);
          } else if (random.chance(0.5)) {
            if ((await limiter.consume("key", { cost })).allowed) {
              granted.push({ start: now, cost, abort: () => {}, settled: Promise.resolve({ value: undefined }) });
            }
          } else {
            const gap = random.pick([1, subject.tick, random.whole(0, subject.window)]);
            now += gap;
            await bench.advance(gap);
          }
        }
        checkBound(subject, granted, "with charges between");
      }),
  },
];
