import { slidingWindow } from "../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../algorithms/token-bucket/token-bucket.js";
import { ClosedError, MaxWaitExceededError } from "../core/errors.js";
import type { RateLimiter } from "../core/limiter.js";
import type { Bench, Law } from "./bench.js";
import { cases, state } from "./cases.js";
import { check, checkSame, type Outcome, outcomeOf } from "./check.js";
import type { Random } from "./random.js";
import { anySubject, type Subject } from "./subjects.js";

/** A call that was granted, as it is found out from outside. */
export interface Granted {
  /** µs since the law began. */
  readonly start: number;
  readonly cost: number;
  readonly abort: () => void;
  readonly settled: Promise<Outcome<unknown>>;
}

/** µs until `cost` could start, asked without spending anything; Infinity when never. */
export async function waitFor(limiter: RateLimiter, cost: number): Promise<number> {
  const { allowed, retryAfter } = await limiter.peek("key", { cost });
  return allowed ? 0 : Math.round(retryAfter * 1000);
}

/** Asks, and remembers when the start will be. */
export async function waitOn(limiter: RateLimiter, now: number, cost: number): Promise<Granted> {
  const start = now + (await waitFor(limiter, cost));
  const controller = new AbortController();
  const settled = outcomeOf(limiter.wait("key", { cost, signal: controller.signal }));
  // the answer to a later question shows that the store has heard of it
  await limiter.peek("key");
  return { start, cost, abort: () => controller.abort(new Error("changed my mind")), settled };
}

/** The most that starts in any half-open interval of `length`. */
function mostWithin(calls: readonly { readonly start: number; readonly cost: number }[], length: number): number {
  let most = 0;
  for (const { start } of calls) {
    const inside = calls.filter((call) => call.start >= start && call.start < start + length);
    most = Math.max(
      most,
      inside.reduce((sum, { cost }) => sum + cost, 0),
    );
  }
  return most;
}

export function checkBound(
  subject: Subject,
  calls: readonly { readonly start: number; readonly cost: number }[],
  about: string,
): void {
  const model = subject.model();
  for (const length of [1, subject.tick, subject.window, 2 * subject.window]) {
    const [most, bound] = [mostWithin(calls, length), model.bound(length)];
    check(
      most <= bound,
      () => `${subject.about}: ${most} started within ${length} µs, the bound is ${bound}: ${about}`,
    );
  }
}

/** Resolves once the condition holds; fails after a while. */
async function eventually(condition: () => boolean, about: () => string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    check(Date.now() < deadline, about);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function giveUpAll(bench: Bench, random: Random): Promise<void> {
  const subject = anySubject(random);
  const [asked, spared] = [bench.limiter(subject.policy), bench.limiter(subject.policy)];
  for (const limiter of [asked, spared]) await limiter.consume("key", { cost: subject.policy.limit });
  await bench.advance(random.whole(0, subject.tick));
  const waiting: Granted[] = [];
  for (let count = random.whole(1, 12); count > 0; count--) {
    const cost = random.whole(1, subject.policy.limit);
    const each = await waitOn(asked, 0, cost);
    // what started at once is spent, and stays so
    if (each.start === 0) await spared.consume("key", { cost });
    else waiting.push(each);
  }
  const order = random.pick(["oldest first", "newest first", "in any order"]);
  const leaving = waiting
    .map((each, place) => ({
      each,
      at: order === "oldest first" ? place : order === "newest first" ? -place : random.next(),
    }))
    .toSorted((one, other) => one.at - other.at);
  const atOnce = random.chance(0.3);
  for (const { each } of leaving) {
    each.abort();
    if (!atOnce) await each.settled;
  }
  await Promise.all(waiting.map(({ settled }) => settled));
  checkSame(
    await state(asked, "key"),
    await state(spared, "key"),
    () => `${subject.about}: after all gave up ${order}, ${atOnce ? "at once" : "one by one"}`,
  );
}

async function giveUpInAnyOrder(bench: Bench, random: Random): Promise<void> {
  const subject = anySubject(random);
  const limiter = bench.limiter(subject.policy);
  const trace: string[] = [];
  let now = 0;
  let standing: Granted[] = [];
  let gaveUp = false;
  for (let step = 0; step < 30; step++) {
    const dice = random.next();
    const cost = random.whole(1, Math.min(subject.policy.limit, 3));
    const ahead = standing.filter(({ start }) => start > now);
    if (dice < 0.5) {
      const granted = await waitOn(limiter, now, cost);
      const last = standing.at(-1)?.start ?? 0;
      trace.push(`@${now} wait ${cost}: ${granted.start}`);
      // a place that was given back may be taken before those behind it
      check(
        granted.start >= last || gaveUp,
        () => `${subject.about}: overtook a start at ${last}: ${trace.join("; ")}`,
      );
      standing.push(granted);
    } else if (dice < 0.75 && ahead.length > 0) {
      const leaving = random.pick(ahead);
      leaving.abort();
      gaveUp = true;
      const outcome = await leaving.settled;
      check("error" in outcome, () => `${subject.about}: an abort before the start came too late`);
      trace.push(`@${now} gave up ${leaving.start}`);
      standing = standing.filter((each) => each !== leaving);
    } else if (dice < 0.82) {
      trace.push(`@${now} charge`);
      await limiter.charge("key");
    } else {
      const gap = random.pick([1, subject.tick, random.whole(0, subject.window)]);
      await bench.advance(gap);
      now += gap;
    }
    checkBound(subject, standing, trace.join("; "));
  }
}

export const waitingLaws: readonly Law[] = [
  {
    name: "waiting: goes on when its turn comes, first come first served",
    moves: false,
    holds: async (bench) => {
      for (const policy of [tokenBucket({ rate: 1, per: 150, burst: 1 }), slidingWindow({ limit: 1, window: 150 })]) {
        const limiter = bench.limiter(policy);
        const done: number[] = [];
        const began = performance.now();
        const calls = Array.from({ length: 5 }, async (_, index) => {
          const decision = await limiter.wait("key");
          done.push(index);
          checkSame(
            [decision.allowed, decision.retryAfter],
            [true, 0],
            () => `${policy.algorithm}: the decision of a wait`,
          );
        });
        // the answer to a later question shows that all of them have their turns before the clock is moved
        await limiter.peek("key");
        for (let turn = 0; turn < calls.length; turn++) {
          await eventually(
            () => done.length > turn,
            () => `${policy.algorithm}: turn ${turn} never came`,
          );
          const waited = performance.now() - began;
          check(
            bench.movable || waited > turn * 150 - 20,
            () => `${policy.algorithm}: turn ${turn} after ${waited} ms`,
          );
          await bench.advance(150_000);
        }
        await Promise.all(calls);
        checkSame(done, [0, 1, 2, 3, 4], () => `${policy.algorithm}: the order of turns`);
      }
    },
  },
  {
    name: "waiting: a turn beyond maxWait is refused at once, and charges nothing",
    moves: true,
    holds: (bench) =>
      cases(bench, 20, async (random) => {
        const subject = anySubject(random);
        const [asked, spared] = [bench.limiter(subject.policy), bench.limiter(subject.policy)];
        for (const limiter of [asked, spared]) await limiter.consume("key", { cost: subject.policy.limit });
        const wait = await waitFor(asked, 1);
        for (const maxWait of [0, 0.001, (wait - 1) / 1000]) {
          const outcome = await outcomeOf(asked.wait("key", { maxWait }));
          if (maxWait * 1000 >= wait) continue;
          const error = "error" in outcome ? outcome.error : undefined;
          check(error instanceof MaxWaitExceededError, () => `${subject.about}: maxWait ${maxWait}: ${String(error)}`);
          checkSame([error.wait, error.maxWait], [wait / 1000, maxWait], () => subject.about);
        }
        const never = await outcomeOf(asked.wait("key", { cost: subject.policy.limit + 1 }));
        const error = "error" in never ? never.error : undefined;
        check(error instanceof MaxWaitExceededError, () => `${subject.about}: an impossible wait: ${String(error)}`);
        checkSame(error.wait, Number.POSITIVE_INFINITY, () => `${subject.about}: an impossible wait`);
        checkSame(await state(asked, "key"), await state(spared, "key"), () => `${subject.about}: after refusals`);
      }),
  },
  {
    name: "giving up: when all who wait give up, at once or one by one, in any order, it is as if they had never asked",
    moves: true,
    holds: (bench) => cases(bench, 60, (random) => giveUpAll(bench, random)),
  },
  {
    name: "giving up: in any order, nobody who stays is moved or overtaken, and the bound holds",
    moves: true,
    holds: (bench) => cases(bench, 80, (random) => giveUpInAnyOrder(bench, random)),
  },
  {
    name: "giving up: a signal that has aborted rejects with its reason, and charges nothing",
    moves: false,
    holds: async (bench) => {
      const limiter = bench.limiter(slidingWindow({ limit: 2, window: "1h" }));
      const reason = new Error("over");
      for (const verb of ["wait", "reserve"] as const) {
        const outcome = await outcomeOf(
          limiter[verb]("key", { signal: AbortSignal.abort(reason) }) as Promise<unknown>,
        );
        check("error" in outcome && outcome.error === reason, () => `${verb} with an aborted signal`);
      }
      checkSame((await limiter.peek("key")).remaining, 2, () => "after calls with an aborted signal");
    },
  },
  {
    name: "closing: those who wait are told, later calls are refused with ClosedError",
    moves: false,
    holds: async (bench) => {
      const limiter = bench.limiter(slidingWindow({ limit: 1, window: "1h" }));
      await limiter.consume("key");
      const waiting = Array.from({ length: 5 }, () => outcomeOf(limiter.wait("key")));
      await limiter.peek("key");
      await limiter.close();
      for (const outcome of await Promise.all(waiting)) {
        check("error" in outcome && outcome.error instanceof ClosedError, () => "a wait outlived its limiter");
      }
      for (const call of [
        () => limiter.consume("key"),
        () => limiter.peek("key"),
        () => limiter.wait("key"),
        () => limiter.reserve("key"),
        () => limiter.refund("key"),
        () => limiter.charge("key"),
        () => limiter.reset("key"),
      ]) {
        const outcome = await outcomeOf<unknown>(call());
        check("error" in outcome && outcome.error instanceof ClosedError, () => "a call on a closed limiter");
      }
      await limiter.close();
    },
  },
];
