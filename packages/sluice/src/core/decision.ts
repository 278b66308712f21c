import { milliseconds } from "./duration.js";
import type { Policy } from "./policy.js";

/** What a limiter says to one call. Times are in ms, exact to the microsecond. */
export interface Decision {
  readonly allowed: boolean;
  /** Name of the policy that speaks: the one that refused, else the one with the least remaining. */
  readonly policy: string;
  readonly limit: number;
  /** Further unit calls that would be allowed at this very moment. */
  readonly remaining: number;
  /** ms until the same call could be allowed, if nobody else asks; 0 when allowed; Infinity when it never can be. */
  readonly retryAfter: number;
  /** ms until the key is as if never seen. */
  readonly resetAfter: number;
  /** True when the store did not answer and `whenStoreFails` did. */
  readonly degraded: boolean;
  /** One per policy, in the order they were given (made when read). */
  readonly parts: readonly PolicyDecision[];
}

/** What one policy says. */
export interface PolicyDecision {
  readonly policy: string;
  readonly allowed: boolean;
  readonly limit: number;
  /** ms, as in `Policy`. */
  readonly window: number;
  readonly remaining: number;
  readonly retryAfter: number;
  readonly resetAfter: number;
}

/**
 * What a store says of each policy, flat: three numbers each, in the order of the policies. In µs: how far away the
 * earliest start is (0: now; Infinity: never); unit calls remaining; how far away the moment is at which nothing is
 * remembered. For a granted call the last two are as of its start, else as of now.
 */
export type Findings = ArrayLike<number>;
export const numbersPerPolicy = 3;

class Answered implements Decision {
  readonly allowed: boolean;
  readonly policy: string;
  readonly limit: number;
  readonly remaining: number;
  readonly retryAfter: number;
  readonly resetAfter: number;
  readonly degraded: boolean;
  readonly #policies: readonly Policy[];

  /** Times in ms. */
  constructor(
    policies: readonly Policy[],
    speaker: Policy,
    allowed: boolean,
    remaining: number,
    retryAfter: number,
    resetAfter: number,
    degraded: boolean,
  ) {
    this.allowed = allowed;
    this.policy = speaker.name;
    this.limit = speaker.limit;
    this.remaining = remaining;
    this.retryAfter = retryAfter;
    this.resetAfter = resetAfter;
    this.degraded = degraded;
    this.#policies = policies;
  }

  get parts(): readonly PolicyDecision[] {
    return this.#policies.map((policy, index) => this.partOf(policy, index));
  }

  /** All policies say what their only spokesman says. */
  protected partOf({ name, limit, window }: Policy, _index: number): PolicyDecision {
    const { allowed, remaining, retryAfter, resetAfter } = this;
    return { policy: name, allowed, limit, window, remaining, retryAfter, resetAfter };
  }

  /** All of it, with the parts, for logs. */
  toJSON(): Decision {
    const { allowed, policy, limit, remaining, retryAfter, resetAfter, degraded, parts } = this;
    return { allowed, policy, limit, remaining, retryAfter, resetAfter, degraded, parts };
  }
}

/** A decision in which every policy has its own say. */
class AnsweredByMany extends Answered {
  readonly #findings: Findings;

  constructor(findings: Findings, ...answer: ConstructorParameters<typeof Answered>) {
    super(...answer);
    this.#findings = findings;
  }

  protected override partOf({ name, limit, window }: Policy, index: number): PolicyDecision {
    const at = index * numbersPerPolicy;
    const wait = this.#findings[at] as number;
    return {
      policy: name,
      allowed: wait === 0,
      limit,
      window,
      remaining: this.#findings[at + 1] as number,
      retryAfter: milliseconds(wait),
      resetAfter: milliseconds(this.#findings[at + 2] as number),
    };
  }
}

/** The decision of a limiter with one policy; the hot path. Times in µs. */
export function decideOne(
  policies: readonly Policy[],
  allowed: boolean,
  wait: number,
  remaining: number,
  reset: number,
): Decision {
  const speaker = policies[0] as Policy;
  return new Answered(policies, speaker, allowed, remaining, allowed ? 0 : wait / 1000, reset / 1000, false);
}

/** The decision over several policies; keeps `findings`, where a part that allows has a wait of 0. */
export function decideMany(policies: readonly Policy[], findings: Findings, allowed: boolean): Decision {
  let speaker = 0;
  let wait = 0;
  let remaining = Number.POSITIVE_INFINITY;
  let reset = 0;
  for (let index = 0; index < policies.length; index++) {
    const at = index * numbersPerPolicy;
    const partWait = findings[at] as number;
    const partRemaining = findings[at + 1] as number;
    if (partWait > wait) speaker = index;
    else if (wait === 0 && partRemaining < remaining) speaker = index;
    wait = Math.max(wait, partWait);
    remaining = Math.min(remaining, partRemaining);
    reset = Math.max(reset, findings[at + 2] as number);
  }
  const spoken = policies[speaker] as Policy;
  const retryAfter = allowed ? 0 : wait / 1000;
  return new AnsweredByMany(findings, policies, spoken, allowed, remaining, retryAfter, reset / 1000, false);
}

/** The decision that stands in when the store did not answer: nothing was counted, so nothing is known to remain. */
export function decideDegraded(policies: readonly Policy[], allowed: boolean, retryAfter: number): Decision {
  return new Answered(policies, policies[0] as Policy, allowed, 0, allowed ? 0 : retryAfter, 0, true);
}

/** The same decision, marked: another limiter gave it in the store's stead. */
export function markDegraded(decision: Decision): Decision {
  return Object.defineProperty({ ...decision, degraded: true, parts: [] }, "parts", {
    get: () => decision.parts,
    enumerable: true,
  });
}
