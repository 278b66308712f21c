import type { Clock } from "../core/clock.js";
import { rangeError, show, typeError } from "../core/errors.js";
import { type SyncRateLimiter, SyncStoreLimiter } from "../core/limiter.js";
import { type Policy, policyList, policyOptions } from "../core/policy.js";
import { checkKey, wholeNumber } from "../core/validate.js";
import { type MemoryStore, memoryStore } from "../stores/memory/memory.js";
import { BoundedSet } from "./bounded-set.js";
import { LockOuts } from "./lock-outs.js";
import { SpaceSaving } from "./space-saving.js";
import { WaitHistogram } from "./wait-histogram.js";

/** One recorded call. */
export interface TimedRequest {
  /** When it came, in whole microseconds since 1970; from 0 to `latestMoment`. */
  readonly at: number;
  /** Whom to count it for. */
  readonly key: string;
  /** Whole number; 0 is a call that costs nothing, and passes. Default 1. */
  readonly cost?: number;
}

/** What `simulation` and `simulate` take. */
export interface SimulationOptions {
  /** What to try, side by side: each policy limits the same traffic on its own. */
  readonly policies: readonly Policy[];
  /** How many of the most refused keys to name. Default 10, at most 1000. */
  readonly topKeys?: number;
  /** The most keys to remember, for each policy and for the counts of distinct keys. Default 1 000 000. */
  readonly maxKeys?: number;
}

/** What all the traffic was, and what each policy would have made of it. */
export interface SimulationReport {
  readonly requests: number;
  /** What they cost together. */
  readonly cost: number;
  /** ms since 1970 of the first and of the last request; undefined when there was none. */
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly distinctKeys: number;
  /** False when there were more than `maxKeys`: then `distinctKeys` is the least that there were. */
  readonly distinctKeysExact: boolean;
  /** In the order of the options. */
  readonly policies: readonly PolicyReport[];
}

/** What one policy would have made of it. */
export interface PolicyReport {
  readonly policy: string;
  readonly algorithm: string;
  readonly limit: number;
  /** ms */
  readonly window: number;
  readonly allowed: number;
  readonly refused: number;
  /** refused / requests, from 0 to 1. */
  readonly refusedShare: number;
  readonly allowedCost: number;
  readonly refusedCost: number;
  /** Of the refused: calls that cost more than the limit, so that waiting would never help. */
  readonly impossible: number;
  /** Keys refused at least once. */
  readonly refusedKeys: number;
  /** False when there were more than `maxKeys`: then `refusedKeys` is the least that there were. */
  readonly refusedKeysExact: boolean;
  /** The most refused first. A count is never too low, and too high by at most `overestimate` (0 while up to 10 000 keys were refused). */
  readonly topRefusedKeys: readonly { readonly key: string; readonly refused: number; readonly overestimate: number }[];
  /** ms: what the refused would have had to wait, each as its refusal said (`retryAfter`), the impossible left out. Waits that did occur, at most 0.8 % too high, never too low, `longest` exact; undefined when nobody could have waited. */
  readonly wait:
    | { readonly p50: number; readonly p95: number; readonly p99: number; readonly longest: number }
    | undefined;
  /**
   * ms: the longest that a key was shut out, from its first refusal until it was allowed again, or could have been, as its
   * last refusal said; 0 when none was. The impossible left out. Exact while no more than `maxKeys` are shut out at once.
   */
  readonly longestLockout: number;
  readonly longestLockoutKey: string | undefined;
  /** False when the store had to forget keys, those nearest to fresh, to make room among its `maxKeys`. */
  readonly exact: boolean;
}

/** A replay under way. */
export interface Simulation {
  /** Asks every policy, at a moment that is not before that of the call before. */
  request(at: number, key: string, cost?: number): void;
  /** What came of it so far. */
  report(): SimulationReport;
}

/** So many counters find every key that has more than a ten-thousandth of the refusals. */
const counters = 10_000;
const mostTopKeys = 1000;
/** The latest moment that can be replayed, in microseconds since 1970 (the year 2077): from there, a wait of 35 years is still exact. */
export const latestMoment: number = 3 * 2 ** 50;

/**
 * A replay of recorded traffic through the limiter itself, over a memory store whose clock shows the time of the traffic.
 * Memory is bounded by `maxKeys`, whatever the traffic.
 *
 * @throws TypeError or RangeError with a `code` for wrong options; `request` also `ERR_INVALID_ARGUMENT` for a moment
 *   before the last one, `ERR_INVALID_KEY`, `ERR_INVALID_COST`.
 * @example
 * const replay = simulation({ policies: [tokenBucket({ rate: 1000, per: "1m" })] })
 * const sent = [{ ms: 1_767_225_600_000, bytes: 800 }, { ms: 1_767_225_600_120, bytes: 300 }]
 * for (const { ms, bytes } of sent) replay.request(ms * 1000, "192.0.2.1", bytes)
 * replay.report().policies[0]?.refused // 1
 */
export function simulation(options: SimulationOptions): Simulation {
  return new Replay(options);
}

/**
 * Replays traffic from anything that can be iterated, in order of time: `simulation`, `request` for each, `report`.
 *
 * @throws what `simulation` and its `request` throw.
 * @example
 * const traffic = [{ at: 0, key: "user:1" }, { at: 500_000, key: "user:1" }]
 * const report = await simulate(traffic, { policies: [fixedWindow({ limit: 1, window: "1s" })] })
 * report.policies[0]?.longestLockout // 500
 */
export async function simulate(
  requests: Iterable<TimedRequest> | AsyncIterable<TimedRequest>,
  options: SimulationOptions,
): Promise<SimulationReport> {
  const replay = simulation(options);
  for await (const { at, key, cost } of requests) replay.request(at, key, cost);
  return replay.report();
}

class Replay implements Simulation {
  readonly #trials: readonly Trial[];
  readonly #keys: BoundedSet;
  readonly #topKeys: number;
  readonly #clock: { now: () => number };
  #first: number | undefined;
  #now = 0;
  #requests = 0;
  #cost = 0;

  constructor(options: SimulationOptions) {
    policyOptions(options, "simulation");
    const { policies, topKeys = 10, maxKeys = 1_000_000 } = options;
    this.#topKeys = wholeNumber(topKeys, "topKeys", "ERR_INVALID_ARGUMENT", 0, mostTopKeys);
    wholeNumber(maxKeys, "maxKeys", "ERR_INVALID_ARGUMENT");
    this.#clock = { now: () => this.#now };
    if (!Array.isArray(policies) || policies.length === 0) {
      throw typeError("ERR_INVALID_POLICY", `Expected policies to be a list of at least one, got ${show(policies)}.`);
    }
    this.#trials = (policies as readonly Policy[]).map((policy) => new Trial(policy, maxKeys, this.#clock));
    this.#keys = new BoundedSet(maxKeys);
  }

  request(at: number, key: string, cost = 1): void {
    if (!Number.isInteger(at) || at < this.#now || at > latestMoment) {
      throw rangeError(
        "ERR_INVALID_ARGUMENT",
        `Expected at to be whole microseconds from ${this.#now} (the request before) to ${latestMoment}, got ${show(at)}.`,
      );
    }
    checkKey(key);
    wholeNumber(cost, "cost", "ERR_INVALID_COST", 0);
    this.#now = at;
    for (const trial of this.#trials) trial.request(at, key, cost);
    this.#first ??= at;
    this.#requests += 1;
    this.#cost += cost;
    this.#keys.add(key);
  }

  report(): SimulationReport {
    return {
      requests: this.#requests,
      cost: this.#cost,
      from: this.#first === undefined ? undefined : this.#first / 1000,
      to: this.#first === undefined ? undefined : this.#now / 1000,
      distinctKeys: this.#keys.size,
      distinctKeysExact: this.#keys.exact,
      policies: this.#trials.map((trial) => trial.report(this.#topKeys)),
    };
  }
}

/** One policy on its own limiter and store. */
class Trial {
  readonly #policy: Policy;
  readonly #limiter: SyncRateLimiter;
  readonly #store: MemoryStore;
  readonly #waits = new WaitHistogram();
  readonly #top = new SpaceSaving(counters);
  readonly #refusedKeys: BoundedSet;
  readonly #lockOuts: LockOuts;
  readonly #asked = { cost: 1 };
  #allowed = 0;
  #refused = 0;
  #allowedCost = 0;
  #refusedCost = 0;

  constructor(policy: Policy, maxKeys: number, clock: Clock) {
    this.#policy = policy;
    this.#store = memoryStore({ maxKeys, clock });
    this.#limiter = new SyncStoreLimiter(policyList(policy), this.#store, {});
    this.#refusedKeys = new BoundedSet(maxKeys);
    this.#lockOuts = new LockOuts(maxKeys);
  }

  request(at: number, key: string, cost: number): void {
    this.#asked.cost = cost;
    const decision = cost === 0 ? undefined : this.#limiter.consumeSync(key, this.#asked);
    if (decision === undefined || decision.allowed) {
      this.#allowed += 1;
      this.#allowedCost += cost;
      // what costs nothing passes a shut gate, too
      if (decision !== undefined) this.#lockOuts.allowed(key, at);
    } else {
      this.#refused += 1;
      this.#refusedCost += cost;
      this.#refusedKeys.add(key);
      this.#top.add(key);
      if (decision.retryAfter === Number.POSITIVE_INFINITY) return;
      const wait = Math.round(decision.retryAfter * 1000);
      this.#waits.add(wait);
      this.#lockOuts.refused(key, at, wait);
    }
  }

  report(topKeys: number): PolicyReport {
    const { name, algorithm, limit, window } = this.#policy;
    const waits = this.#waits;
    const percentile = (share: number): number => (waits.percentile(share) ?? 0) / 1000;
    const requests = this.#allowed + this.#refused;
    const longest = this.#lockOuts.longest();
    return {
      policy: name,
      algorithm,
      limit,
      window,
      allowed: this.#allowed,
      refused: this.#refused,
      refusedShare: requests === 0 ? 0 : this.#refused / requests,
      allowedCost: this.#allowedCost,
      refusedCost: this.#refusedCost,
      impossible: this.#refused - waits.count,
      refusedKeys: this.#refusedKeys.size,
      refusedKeysExact: this.#refusedKeys.exact,
      topRefusedKeys: this.#top
        .top(topKeys)
        .map(({ key, count, overestimate }) => ({ key, refused: count, overestimate })),
      wait:
        waits.count === 0
          ? undefined
          : {
              p50: percentile(0.5),
              p95: percentile(0.95),
              p99: percentile(0.99),
              longest: waits.longest / 1000,
            },
      longestLockout: longest.duration / 1000,
      longestLockoutKey: longest.key,
      exact: this.#store.evicted === 0,
    };
  }
}
