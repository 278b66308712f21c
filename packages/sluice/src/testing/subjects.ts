import { fixedWindow } from "../algorithms/fixed-window/fixed-window.js";
import { slidingCounter } from "../algorithms/sliding-counter/sliding-counter.js";
import { slidingWindow } from "../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../algorithms/token-bucket/token-bucket.js";
import { type Policy, ruleOf } from "../core/policy.js";
import type { Random } from "./random.js";
import { FixedWindowModel } from "./reference/fixed-window.js";
import { IntervalBucketModel } from "./reference/interval-bucket.js";
import type { Model } from "./reference/model.js";
import { SlidingCounterModel } from "./reference/sliding-counter.js";
import { SlidingWindowModel } from "./reference/sliding-window.js";
import { TokenBucketModel } from "./reference/token-bucket.js";

/** A policy, and what it has to equal. */
export interface Subject {
  readonly about: string;
  readonly policy: Policy;
  /** µs */
  readonly window: number;
  /** µs: what one unit takes to come back. */
  readonly tick: number;
  model(): Model;
}

/** A policy of one kind with numbers by chance. */
export type SubjectKind = (random: Random, name: string) => Subject;

const seconds = 1_000_000;
const limits = [1, 1, 2, 3, 4, 5, 7, 10, 12, 100, 1000];
/** Long enough that no server forgets a key in real time while the clock of the test stands still. */
const windows = [
  10 * seconds,
  10 * seconds + 1,
  60 * seconds,
  3600 * seconds,
  86_400 * seconds,
  2_592_000 * seconds - 1,
];
const rates = [1, 2, 3, 7, 59, 60, 100, 997, 999_983];

export const subjectKinds: Readonly<Record<string, SubjectKind>> = {
  "fixed window from the first call": (random, name) => fixed(random, name, false),
  "fixed window on the clock": (random, name) => fixed(random, name, true),
  "sliding window": (random, name) => {
    const [limit, window] = [random.pick(limits), random.pick(windows)];
    const policy = slidingWindow({ limit, window: window / 1000, name });
    return subject(policy, `${limit} per ${window} µs`, window, () => new SlidingWindowModel({ limit, window }));
  },
  "sliding counter": (random, name) => {
    const [limit, window] = [random.pick(limits), random.pick(windows)];
    const policy = slidingCounter({ limit, window: window / 1000, name });
    return subject(policy, `${limit} per ${window} µs`, window, () => new SlidingCounterModel({ limit, window }));
  },
  "token bucket": (random, name) => {
    const { rate, per, burst, about } = bucket(random);
    const policy = tokenBucket({ rate, per: per / 1000, burst, name });
    const window = Math.round(policy.window * 1000);
    return subject(policy, about, window, () => new TokenBucketModel({ rate, per, burst }));
  },
  "token bucket by intervals": (random, name) => {
    const { rate, per, burst, about } = bucket(random);
    const policy = tokenBucket({ rate, per: per / 1000, burst, refill: "interval", name });
    return subject(policy, about, per, () => new IntervalBucketModel({ rate, per, burst }));
  },
};

/** Every call is kept in a log. */
export function isLogged({ policy }: Subject): boolean {
  return ruleOf(policy).algorithm.logged === true;
}

/** One policy of any kind. */
export function anySubject(random: Random, name = "default"): Subject {
  return random.pick(Object.values(subjectKinds))(random, name);
}

function subject(policy: Policy, numbers: string, window: number, model: () => Model): Subject {
  const tick = Math.max(1, Math.ceil(window / policy.limit));
  return { about: `${policy.algorithm} ${numbers}`, policy, window, tick, model };
}

function fixed(random: Random, name: string, aligned: boolean): Subject {
  const [limit, window] = [random.pick(limits), random.pick(windows)];
  const policy = fixedWindow({ limit, window: window / 1000, anchor: aligned ? "epoch" : "first", name });
  const about = `${limit} per ${window} µs ${aligned ? "on the clock" : "from the first"}`;
  return subject(policy, about, window, () => new FixedWindowModel({ limit, window, aligned }));
}

function bucket(random: Random): { rate: number; per: number; burst: number; about: string } {
  const rate = random.pick(rates);
  const per = random.pick(windows);
  const burst = random.chance(0.3) ? rate : random.whole(1, 12);
  return { rate, per, burst, about: `${rate} per ${per} µs, burst ${burst}` };
}
