import { type Decision, decideDegraded } from "../core/decision.js";
import { isSluiceError, type RateLimitExceededError, type SluiceError, show, typeError } from "../core/errors.js";
import { whenKnown } from "../core/group.js";
import { retryAfterField } from "../core/headers.js";
import type { RateLimiter, SyncRateLimiter } from "../core/limiter.js";
import type { Policy } from "../core/policy.js";
import type { Reservation } from "../core/verbs.js";
import { warnOnce } from "../core/warn.js";
import { rateLimiter } from "../rate-limiter.js";
import { given } from "./given.js";
import { type FieldAccess, type FieldValues, headerProfile, type Writing } from "./headers.js";
import type { KeyOf } from "./keys.js";
import { checkHttpOptions, type HttpOptions, type LimiterSource } from "./options.js";
import { type Outage, outageOf } from "./outage.js";
import { excludedPaths } from "./paths.js";
import type { Platform } from "./platform.js";
import { ownBody, problemBody, quotaExceeded, type RefusalBody, reducedCapacity } from "./problem.js";
import { builtinModule } from "./runtime.js";

/** What happens to a request. */
export interface Outcome {
  /** The answer to send instead of calling the handler; undefined when the request goes on. */
  readonly refusal: Refusal | undefined;
  /** What the header families say. */
  readonly values: FieldValues;
  /** To be called once, with the status, when the response has been written; undefined when nobody asks. */
  readonly settle: ((status: number) => void) | undefined;
}

/** The answer to a request that does not reach its handler. */
export interface Refusal extends RefusalBody {
  readonly status: 429 | 503;
  /** `Cache-Control` and `Retry-After`: name and value. */
  readonly fields: readonly (readonly [string, string])[];
  readonly decision: Decision;
}

/** A limiter at the door of an HTTP service, whatever the framework. */
export interface Guard<Req> {
  /** Decides; at once where the limiter can. Throws, or rejects, with what the caller's own functions throw. */
  check(request: Req): Outcome | Promise<Outcome>;
  /**
   * Writes the header families of an outcome, after the fields of a refusal. `inside` says, of a response that the
   * handler has made, whether it is a refusal by a limiter further in.
   */
  write<Response>(
    outcome: Outcome,
    response: Response,
    access: FieldAccess<Response>,
    inside?: "refused" | "answered",
  ): void;
}

/** A limiter, and what is the same for all its decisions. */
interface Prepared {
  readonly limiter: RateLimiter;
  /** Present when it answers at once. */
  readonly sync: SyncRateLimiter | undefined;
  readonly outage: Outage;
  readonly valuesOf: (decision: Decision) => FieldValues;
}

/** Of a request that nobody counted. */
export const uncounted: Outcome = { refusal: undefined, values: undefined, settle: undefined };

/**
 * A guard: facts about a request in; decision, status, header fields and body out.
 *
 * @throws TypeError or RangeError with a `code` for a wrong limiter or option.
 */
export function guard<Req, Options extends HttpOptions<Req>>(
  platform: Platform<Req>,
  source: LimiterSource<Req> | Policy,
  asked: Options | undefined,
  identify: (platform: Platform<Req>, options: Options) => KeyOf<Req>,
): Guard<Req> {
  const options = checkHttpOptions(asked);
  const { whenStoreFails = "allow" } = options;
  const keyOf = identify(platform, options as unknown as Options);
  const isExcluded = excludedPaths(options.exclude);
  const profile = headerProfile(options.families, options.legacyReset ?? "delta");
  const skip = options.skip && given<Req, boolean>(options.skip);
  const cost = typeof options.cost === "function" ? given<Req, number>(options.cost) : options.cost;
  const deny = options.deny && given<Req, Decision, unknown>(options.deny);
  const refundWhen = options.refundWhen && given<Req, number, boolean>(options.refundWhen);

  const known = new WeakMap<RateLimiter, Prepared>();
  const prepare = (limiter: RateLimiter): Prepared => {
    let prepared = known.get(limiter);
    if (prepared === undefined) {
      const sync = isSync(limiter) ? limiter : undefined;
      if (sync !== undefined) lookForCluster();
      prepared = { limiter, sync, outage: outageOf(limiter), valuesOf: profile.prepare(limiter.policies) };
      known.set(limiter, prepared);
    }
    return prepared;
  };
  const chosen = typeof source === "function" ? given<Req, RateLimiter>(source) : undefined;
  const fixed = typeof source === "function" ? undefined : prepare(isLimiter(source) ? source : rateLimiter(source));
  const preparedFor = (request: Req): Prepared | Promise<Prepared> =>
    fixed ??
    whenKnown((chosen as NonNullable<typeof chosen>)(request), (limiter) => {
      if (isLimiter(limiter)) return prepare(limiter);
      throw typeError("ERR_INVALID_ARGUMENT", `Expected the function to give a limiter, got ${show(limiter)}.`);
    });

  const ask = (
    request: Req,
    prepared: Prepared,
    key: string,
    spent: number | undefined,
  ): Outcome | Promise<Outcome> => {
    const charge = spent === undefined ? undefined : { cost: spent };
    const { limiter, sync, outage } = prepared;
    if (refundWhen !== undefined) return askToSettle(request, prepared, key, charge);
    if (sync !== undefined) return outcomeOf(request, prepared, sync.consumeSync(key, charge), undefined);
    return Promise.resolve(limiter.consume(key, charge)).then(
      (decision) => {
        outage.decided(decision);
        return outcomeOf(request, prepared, decision, undefined);
      },
      (error: unknown) => failed(prepared, error),
    );
  };

  /** What may be given back later is reserved: then exactly this request's cost comes back, and nobody else's. */
  const askToSettle = (
    request: Req,
    prepared: Prepared,
    key: string,
    charge: { cost: number } | undefined,
  ): Outcome | Promise<Outcome> => {
    const { limiter, sync, outage } = prepared;
    const look = sync?.peekSync(key, charge);
    if (look !== undefined && !look.allowed) return outcomeOf(request, prepared, look, undefined);
    return Promise.resolve(limiter.reserve(key, charge)).then(
      (reservation) => {
        outage.decided(reservation.decision);
        return outcomeOf(request, prepared, reservation.decision, reservation);
      },
      (error: unknown) => {
        if (!isRefusal(error)) return failed(prepared, error);
        outage.decided(error.decision);
        return outcomeOf(request, prepared, error.decision, undefined);
      },
    );
  };

  const outcomeOf = (
    request: Req,
    prepared: Prepared,
    decision: Decision,
    reservation: Reservation | undefined,
  ): Outcome | Promise<Outcome> => {
    // a stand-in's counts are not the limit's
    const values = decision.degraded ? undefined : prepared.valuesOf(decision);
    if (decision.allowed) {
      const settle =
        reservation === undefined ? undefined : refundOnce(reservation, (status) => refundWhen?.(request, status));
      return { refusal: undefined, values, settle };
    }
    if (isStoreFailure(decision)) return unavailable(decision);
    const refused = (body: RefusalBody): Outcome => ({
      refusal: refusalOf(429, decision, body),
      values,
      settle: undefined,
    });
    const standard = (): RefusalBody => problemBody(quotaExceeded(decision));
    if (deny === undefined) return refused(standard());
    return whenKnown(deny(request, decision), (body) => refused(ownBody(body) ?? standard()));
  };

  const failed = ({ limiter, outage }: Prepared, error: unknown): Outcome => {
    if (!isStoreError(error)) throw error;
    outage.failed(error, whenStoreFails);
    return whenStoreFails === "allow"
      ? uncounted
      : unavailable(decideDegraded(limiter.policies, false, storeRetryAfter));
  };

  const decideSlowly = (request: Req): Outcome | Promise<Outcome> =>
    whenKnown(skip === undefined ? false : skip(request), (skipped) => {
      if (skipped) return uncounted;
      return whenKnown(keyOf(request), (key) => {
        if (key === undefined) return uncounted;
        return whenKnown(preparedFor(request), (prepared) => {
          if (typeof cost !== "function") return ask(request, prepared, key, cost);
          return whenKnown(cost(request), (spent) => ask(request, prepared, key, checkedCost(spent)));
        });
      });
    });

  return {
    check: (request) => {
      if (isExcluded?.(platform.target(request))) return uncounted;
      if (fixed === undefined || skip !== undefined || typeof cost === "function") return decideSlowly(request);
      const key = keyOf(request);
      if (typeof key === "string") return ask(request, fixed, key, cost);
      return whenKnown(key, (later) => (later === undefined ? uncounted : ask(request, fixed, later, cost)));
    },
    write: ({ values, refusal }, response, access, inside) => {
      profile.write(values, refusal === undefined ? writings[inside ?? "none"] : refusing, response, access);
    },
  };
}

const refusing: Writing = { refusedBy: "this", fromInside: false };

/** Of a request that this limiter let through, by what is known of the limiters further in. */
const writings: Readonly<Record<"none" | "answered" | "refused", Writing>> = {
  none: { refusedBy: undefined, fromInside: false },
  answered: { refusedBy: undefined, fromInside: true },
  refused: { refusedBy: "earlier", fromInside: true },
};

/** A limiter, as against a policy or a function. */
export function isLimiter(candidate: unknown): candidate is RateLimiter {
  return (
    typeof candidate === "object" && candidate !== null && typeof (candidate as RateLimiter).consume === "function"
  );
}

function isSync(limiter: RateLimiter): limiter is SyncRateLimiter {
  return typeof (limiter as Partial<SyncRateLimiter>).consumeSync === "function";
}

/** Each worker of a cluster has a memory of its own, so together they admit a multiple of the limit. */
function lookForCluster(): void {
  const cluster = builtinModule("cluster") as { readonly isWorker?: boolean } | undefined;
  if (cluster?.isWorker !== true) return;
  warnOnce(
    "http-cluster-memory",
    "A limiter in memory runs in a worker of node:cluster: each worker counts for itself, so the limit is multiplied by their number. Give the limiter a shared `store`, such as redisStore(client).",
  );
}

/** ms after which a request that was refused because the store is away may be worth sending again. */
const storeRetryAfter = 1000;

function isRefusal(error: unknown): error is RateLimitExceededError {
  return isSluiceError(error) && error.code === "ERR_RATE_LIMIT_EXCEEDED";
}

function isStoreError(error: unknown): error is SluiceError {
  return isSluiceError(error) && error.code.startsWith("ERR_STORE_");
}

/**
 * 'deny' in the store's stead, as against a fallback limiter that refused: nothing is known of the key, not even when it
 * is fresh, which a key that was refused never is at once, unless the cost can never pass.
 */
function isStoreFailure({ degraded, resetAfter, retryAfter }: Decision): boolean {
  return degraded && resetAfter === 0 && retryAfter !== Number.POSITIVE_INFINITY;
}

function unavailable(decision: Decision): Outcome {
  return { refusal: refusalOf(503, decision, problemBody(reducedCapacity)), values: undefined, settle: undefined };
}

function refusalOf(status: 429 | 503, decision: Decision, body: RefusalBody): Refusal {
  const fields: (readonly [string, string])[] = [["Cache-Control", "no-store"]];
  const retryAfter = retryAfterField(decision.retryAfter);
  if (retryAfter !== undefined) fields.push(["Retry-After", retryAfter]);
  return { status, fields, decision, ...body };
}

/** A cost function that forgets to answer would otherwise make everything cost 1. */
function checkedCost(spent: number): number {
  if (spent !== undefined) return spent;
  throw typeError("ERR_INVALID_COST", "Expected cost to give a positive whole number, got undefined.");
}

/** Gives the cost back at most once. By then the response is on its way: nobody is left to hear of an error but the operator. */
function refundOnce(
  reservation: Reservation,
  isWanted: (status: number) => boolean | Promise<boolean> | undefined,
): ((status: number) => void) | undefined {
  if (reservation.decision.degraded) return undefined;
  let settled = false;
  const settle = async (status: number): Promise<void> => {
    if (await isWanted(status)) await reservation.cancel();
  };
  return (status) => {
    if (settled) return;
    settled = true;
    settle(status).catch(refundFailed);
  };
}

function refundFailed(error: unknown): void {
  warnOnce("http-refund", `A cost was not given back: ${error instanceof Error ? error.message : show(error)}`);
}
