import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { newAnswer, noLog, noStamp, tooLate } from "../core/algorithm.js";
import { ruleOf } from "../core/policy.js";
import { fixedWindow, type Policy, slidingCounter, slidingWindow, tokenBucket } from "../index.js";
import { LogPool } from "../stores/memory/log-pool.js";
import { Random } from "../testing/random.js";

/**
 * Rows live on servers while old and new processes share them: every figure of a row and of an answer is part of a format.
 * The snapshots hold digests of what random calls found when the laws and the Lua twins held. Where one differs, either
 * something is wrong, or the new version must not share a server with the old one: then `npx vitest -u`, and say so.
 */
const policies: Readonly<Record<string, Policy>> = {
  "fixed window": fixedWindow({ limit: 5, window: 0.02 }),
  "fixed window, long": fixedWindow({ limit: 1000, window: "1d" }),
  "fixed window on the clock": fixedWindow({ limit: 5, window: 0.02, anchor: "epoch" }),
  "sliding counter": slidingCounter({ limit: 7, window: 0.03 }),
  "sliding counter, long": slidingCounter({ limit: 997, window: "1d" }),
  "sliding window": slidingWindow({ limit: 6, window: 0.025 }),
  "sliding window, long": slidingWindow({ limit: 500, window: "1h" }),
  "token bucket, whole ticks": tokenBucket({ rate: 4, per: 0.02 }),
  "token bucket, ticks of 20/7 µs": tokenBucket({ rate: 7, per: 0.02, burst: 11 }),
  "token bucket, 997 a day": tokenBucket({ rate: 997, per: "1d" }),
  "token bucket, beyond exact products": tokenBucket({ rate: 1_000_003, per: "1d", burst: 70_000 }),
  "token bucket by intervals": tokenBucket({ rate: 3, per: 0.01, burst: 8, refill: "interval" }),
  "token bucket by intervals, long": tokenBucket({ rate: 59, per: "1m", burst: 200, refill: "interval" }),
};

/** One key's life: calls, waits, corrections of grants old and new, and a clock that also stands still and goes back. */
function life(policy: Policy, seed: number): string {
  const random = new Random(seed);
  const { algorithm, parameters } = ruleOf(policy);
  const row = new Float64Array(algorithm.columns);
  const log = algorithm.logged === true ? new LogPool() : noLog;
  const answer = newAnswer();
  const window = policy.window * 1000;
  const moments = [0, 1, Math.ceil(window / policy.limit), Math.ceil(window / 3), window - 1, window, window + 1];
  const stamps: number[] = [noStamp, tooLate];
  const digest = createHash("sha256");
  let now = 100 * window + random.whole(0, 2 * window);
  for (let step = 0; step < 60; step++) {
    const dice = random.next();
    if (dice < 0.5) now += random.pick(moments.slice(0, 4));
    else if (dice < 0.6) now += random.pick(moments);
    else if (dice < 0.68) now -= random.pick(moments);
    else if (dice < 0.7) now -= random.whole(0, 3 * window);
    const cost = random.chance(0.6) ? 1 : random.whole(1, policy.limit + 1);
    const verb = random.next();
    if (verb < 0.6) {
      const latest = random.pick([-1, now, now, now + random.pick(moments), now + 4 * window]);
      const earliest = random.chance(0.2) ? now + random.pick(moments) : now;
      algorithm.step(row, log, now, earliest, latest, cost, parameters, answer);
      if (answer.start <= latest) stamps.push(answer.stamp);
    } else {
      const stamp = random.chance(0.5) ? random.pick(stamps) : (stamps.at(-1) as number);
      const delta = random.pick([cost, -cost, 0, 3 * cost, -3 * cost]);
      algorithm.amend(row, log, now, stamp, delta, parameters, answer);
    }
    digest.update(
      `${answer.start} ${answer.stamp} ${answer.remaining} ${answer.resetAt} ${answer.changed}: ${row.join()};`,
    );
  }
  return digest.digest("hex").slice(0, 12);
}

describe("known answers", () => {
  it.each(Object.entries(policies))("%s", (_, policy) => {
    const lives = Array.from({ length: 60 }, (__, seed) => life(policy, seed));
    expect(lives).toMatchSnapshot();
  });
});

describe("a policy", () => {
  it.each(Object.entries(policies))("tells what it is: %s", (_, policy) => {
    const { algorithm, parameters } = ruleOf(policy);
    expect({ ...policy, encoded: algorithm.encode(parameters) }).toMatchSnapshot();
  });

  const wrong: Readonly<Record<string, () => unknown>> = {
    "fixedWindow without options": () => fixedWindow(undefined as never),
    "fixedWindow, no limit": () => fixedWindow({ limit: 0, window: 1 }),
    "fixedWindow, a limit beyond exact numbers": () => fixedWindow({ limit: 2 ** 53, window: 1 }),
    "fixedWindow, a window of no unit": () => fixedWindow({ limit: 1, window: "1 parsec" as never }),
    "fixedWindow, an anchor of no kind": () => fixedWindow({ limit: 1, window: 1, anchor: "last" as never }),
    "slidingCounter without options": () => slidingCounter(undefined as never),
    "slidingCounter, half a limit": () => slidingCounter({ limit: 0.5, window: 1 }),
    "slidingCounter, no window": () => slidingCounter({ limit: 1, window: 0 }),
    "slidingWindow without options": () => slidingWindow(undefined as never),
    "slidingWindow, a limit that is none": () => slidingWindow({ limit: Number.NaN, window: 1 }),
    "slidingWindow, a window of a century": () => slidingWindow({ limit: 1, window: "36500d" }),
    "tokenBucket without options": () => tokenBucket(undefined as never),
    "tokenBucket, no rate": () => tokenBucket({ rate: -1, per: 1 }),
    "tokenBucket, no span": () => tokenBucket({ rate: 1, per: -1 }),
    "tokenBucket, an endless burst": () => tokenBucket({ rate: 1, per: 1, burst: Number.POSITIVE_INFINITY }),
    "tokenBucket, a refill of no kind": () => tokenBucket({ rate: 1, per: 1, refill: "sometimes" as never }),
    "tokenBucket, too large to count": () => tokenBucket({ rate: 1, per: "365d", burst: 1_000_000 }),
    "tokenBucket by intervals, too large to count": () =>
      tokenBucket({ rate: 1, per: "365d", burst: 1_000_000, refill: "interval" }),
  };

  it.each(Object.entries(wrong))("says what is wrong: %s", (_, make) => {
    let thrown: unknown;
    try {
      make();
    } catch (error) {
      thrown = error;
    }
    const { name, message, code } = thrown as Error & { code: string };
    expect({ name, code, message }).toMatchSnapshot();
  });
});
