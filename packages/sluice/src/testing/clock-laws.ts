import type { Decision } from "../core/decision.js";
import type { Law } from "./bench.js";
import { cases } from "./cases.js";
import { check } from "./check.js";
import { anySubject, type Subject } from "./subjects.js";
import { checkBound } from "./waiting-laws.js";

function checkSane({ policy, about }: Subject, decision: Decision): void {
  const { remaining, retryAfter, resetAfter } = decision;
  check(
    retryAfter >= 0 && resetAfter >= 0 && remaining >= 0 && remaining <= policy.limit && Number.isInteger(remaining),
    () => `${about}: ${JSON.stringify(decision)}`,
  );
}

export const clockLaws: readonly Law[] = [
  {
    name: "clock: steps back of up to a window admit no more than the bound",
    moves: true,
    holds: (bench) =>
      cases(bench, 80, async (random) => {
        const subject = anySubject(random);
        const limiter = bench.limiter(subject.policy);
        const admitted: { start: number; cost: number }[] = [];
        const trace: string[] = [];
        let now = 0;
        let last = Number.NEGATIVE_INFINITY;
        await bench.advance(20 * subject.window);
        for (let step = 0; step < 40; step++) {
          if (random.chance(0.6)) {
            const cost = random.whole(1, Math.min(3, subject.policy.limit));
            const decision = await limiter.consume("key", { cost });
            checkSane(subject, decision);
            if (!decision.allowed) continue;
            last = Math.max(last, now);
            admitted.push({ start: last, cost });
            trace.push(`@${now} ${cost}`);
          } else {
            const length = subject.policy.window * 1000;
            const target = random.chance(0.5) ? now - random.whole(0, length) : now + random.whole(0, length);
            const next = Math.max(target, last - Math.floor(Math.min(length, subject.window)), -10 * subject.window);
            await bench.advance(next - now);
            now = next;
          }
        }
        checkBound(subject, admitted, trace.join("; "));
      }),
  },
  {
    name: "clock: whatever its step back, nobody is locked out for more than two windows (sliding counter: three)",
    moves: true,
    holds: (bench) =>
      cases(bench, 80, async (random) => {
        const subject = anySubject(random);
        const limiter = bench.limiter(subject.policy);
        const window = Math.round(subject.policy.window * 1000);
        const jump = random.pick([
          random.whole(0, window),
          random.whole(window, 10 * window),
          Math.min(10_000 * window, 2 ** 50),
        ]);
        if (random.chance(0.5)) await limiter.consume("key", { cost: subject.policy.limit });
        await bench.advance(jump);
        checkSane(subject, await limiter.consume("key", { cost: subject.policy.limit }));
        if (random.chance(0.5)) await bench.advance(random.whole(0, subject.tick));
        await bench.advance(-jump);
        const windows = subject.policy.algorithm === "sliding-counter" ? 3 : 2;
        const pace = Math.max(1, Math.floor(window / random.whole(1, 9)));
        let passed = 0;
        for (;;) {
          const decision = await (random.chance(0.5) ? limiter.consume("key") : limiter.peek("key"));
          checkSane(subject, decision);
          if (decision.allowed) return;
          check(
            passed < windows * window,
            () => `${subject.about}: still refused ${passed} µs after a step back of ${jump}`,
          );
          const gap = Math.min(pace, windows * window - passed);
          await bench.advance(gap);
          passed += gap;
        }
      }),
  },
  {
    name: "clock: those who wait through a step back are not overtaken, and the bound holds for their starts",
    moves: true,
    holds: (bench) =>
      cases(bench, 60, async (random) => {
        const subject = anySubject(random);
        const limiter = bench.limiter(subject.policy);
        const window = Math.round(subject.policy.window * 1000);
        await bench.advance(20 * window);
        const granted: { start: number; cost: number }[] = [];
        let now = 0;
        let seen = 0;
        for (let step = 0; step < 12; step++) {
          const { allowed, retryAfter } = await limiter.peek("key");
          void limiter.wait("key").catch(() => {});
          await limiter.peek("key");
          const start = allowed ? now : now + Math.round(retryAfter * 1000);
          const last = granted.at(-1)?.start ?? start;
          check(start >= last || last <= now || last === seen, () => `${subject.about}: ${start} overtakes ${last}`);
          // a moment that is lived through again counts as the one before it
          granted.push({ start: Math.max(start, last), cost: 1 });
          seen = Math.max(seen, now);
          // never further back than a window behind the moment of the last question
          const back = step % 2 === 0 ? -random.whole(0, subject.tick) : random.whole(subject.tick, 2 * subject.tick);
          await bench.advance(back);
          now += back;
        }
        checkBound(subject, granted, JSON.stringify(granted));
      }),
  },
];
