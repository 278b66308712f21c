import type { Decision } from "../core/decision.js";
import { isSluiceError, show, typeError } from "../core/errors.js";
import { whenKnown } from "../core/group.js";
import { retryAfterField } from "../core/headers.js";
import type { RateLimiter, SyncRateLimiter } from "../core/limiter.js";
import type { Policy } from "../core/policy.js";
import { warnOnce } from "../core/warn.js";
import { rateLimiter } from "../rate-limiter.js";
import { type FieldAccess, type FieldValues, headerProfile } from "./headers.js";
import type { KeyOf } from "./keys.js";
import { checkHttpOptions, type HttpOptions, type LimiterSource } from "./options.js";
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
export interface Refusal {
  readonly status: 429 | 503;
  /** `Retry-After`, `Cache-Control`, `Content-Type`: name and value. */
  readonly fields: readonly (readonly [string, string])[];
  readonly content: RefusalBody["content"];
  /** The same before it was turned into text: a problem, or what `deny` gave. */
  readonly body: unknown;
  /** Undefined when the store did not answer. */
  readonly decision: Decision | undefined;
}

/** A limiter at the door of an HTTP service, whatever the framework. */
export interface Guard<Req> {
  /** Decides; at once where the limiter can. Throws, or rejects, with what the caller's own functions throw. */
  check(request: Req): Outcome | Promise<Outcome>;
  /** Writes the header families of an outcome. */
  write<Response>(outcome: Outcome, response: Response, access: FieldAccess<Response>): void;
}

/** A limiter, and what is the same for all its decisions. */
interface Prepared {
  readonly limiter: RateLimiter;
  /** Present when it answers at once. */
  readonly sync: SyncRateLimiter | undefined;
  readonly valuesOf: (decision: Decision) => FieldValues;
}

const uncounted: Outcome = { refusal: undefined, values: undefined, settle: undefined };

/**
 * A guard: facts about a request in; decision, status, header fields and body out.
 *
 * @throws TypeError or RangeError with a `code` for a wrong limiter or option.
 */
export function guard<Req, Options extends HttpOptions<Req>>(
  platform: Platform<Req>,
  source: LimiterSource<Req> | Policy,
  given: Options | undefined,
  identify: (platform: Platform<Req>, options: Options) => KeyOf<Req>,
): Guard<Req> {
  const options = checkHttpOptions(given);
  const { cost, skip, deny, refundWhen, whenStoreFails = "allow" } = options;
  const keyOf = identify(platform, options as unknown as Options);
  const isExcluded = excludedPaths(options.exclude);
  const profile = headerProfile(options.families, options.legacyReset ?? "delta");

  const known = new WeakMap<RateLimiter, Prepared>();
  const prepare = (limiter: RateLimiter): Prepared => {
    let prepared = known.get(limiter);
    if (prepared === undefined) {
      const sync = isSync(limiter) ? limiter : undefined;
      if (sync !== undefined) lookForCluster();
      prepared = { limiter, sync, valuesOf: profile.prepare(limiter.policies) };
      known.set(limiter, prepared);
    }
    return prepared;
  };
  const fixed = typeof source === "function" ? undefined : prepare(isLimiter(source) ? source : rateLimiter(source));
  const chosen = (request: Req): Prepared | Promise<Prepared> =>
    fixed ??
    whenKnown((source as Exclude<typeof source, RateLimiter | Policy>)(request), (limiter) => {
      if (isLimiter(limiter)) return prepare(limiter);
      throw typeError("ERR_INVALID_ARGUMENT", `Expected the function to give a limiter, got ${show(limiter)}.`);
    });

  const ask = (
    request: Req,
    prepared: Prepared,
    key: string,
    spent: number | undefined,
  ): Outcome | Promise<Outcome> => {
    const asked = spent === undefined ? undefined : { cost: spent };
    const { limiter, sync } = prepared;
    if (sync !== undefined) return outcomeOf(request, prepared, key, asked, sync.consumeSync(key, asked));
    return limiter.consume(key, asked).then((decision) => outcomeOf(request, prepared, key, asked, decision), failed);
  };

  const outcomeOf = (
    request: Req,
    prepared: Prepared,
    key: string,
    asked: { cost: number } | undefined,
    decision: Decision,
  ): Outcome | Promise<Outcome> => {
    // a stand-in's counts are not the limit's
    const values = decision.degraded ? undefined : prepared.valuesOf(decision);
    if (decision.allowed) {
      if (refundWhen === undefined) return { refusal: undefined, values, settle: undefined };
      const settle = refundOnce(prepared, key, asked, decision, (status) => refundWhen(request, status));
      return { refusal: undefined, values, settle };
    }
    if (isStoreFailure(decision)) return unavailable(decision);
    if (deny === undefined) {
      const problem = quotaExceeded(decision);
      return { refusal: refusalOf(429, decision, problem, problemBody(problem)), values, settle: undefined };
    }
    return whenKnown(deny(request, decision), (body) => ({
      refusal: refusalOf(429, decision, body, ownBody(body)),
      values,
      settle: undefined,
    }));
  };

  const failed = (error: unknown): Outcome => {
    if (!isSluiceError(error) || !error.code.startsWith("ERR_STORE_")) throw error;
    warnOnce(
      `http-store:${whenStoreFails}`,
      `The limiter's store does not answer (${error.code}: ${error.message}), so requests are ${whenStoreFails === "allow" ? "let through uncounted" : "refused with 503"} until it does.`,
    );
    return whenStoreFails === "allow" ? uncounted : unavailable(undefined);
  };

  const decideSlowly = (request: Req): Outcome | Promise<Outcome> =>
    whenKnown(skip === undefined ? false : skip(request), (skipped) => {
      if (skipped) return uncounted;
      return whenKnown(keyOf(request), (key) => {
        if (key === undefined) return uncounted;
        return whenKnown(chosen(request), (prepared) =>
          whenKnown(typeof cost === "function" ? cost(request) : cost, (spent) => ask(request, prepared, key, spent)),
        );
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
    write: (outcome, response, access) => {
      profile.write(outcome.values, outcome.refusal !== undefined, response, access);
    },
  };
}

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

/** 'deny' in the store's stead, as against a fallback limiter that refused: nothing is known of the key. */
function isStoreFailure({ degraded, resetAfter, retryAfter }: Decision): boolean {
  return degraded && resetAfter === 0 && retryAfter !== Number.POSITIVE_INFINITY;
}

function unavailable(decision: Decision | undefined): Outcome {
  return {
    refusal: refusalOf(503, decision, reducedCapacity, problemBody(reducedCapacity)),
    values: undefined,
    settle: undefined,
  };
}

function refusalOf(status: 429 | 503, decision: Decision | undefined, body: unknown, sent: RefusalBody): Refusal {
  const fields: (readonly [string, string])[] = [["Cache-Control", "no-store"]];
  const wait = decision?.retryAfter ?? 0;
  const retryAfter = retryAfterField(wait);
  if (retryAfter !== undefined && wait > 0) fields.push(["Retry-After", retryAfter]);
  if (sent.type !== undefined) fields.push(["Content-Type", sent.type]);
  return { status, fields, content: sent.content, body, decision };
}

/** Gives the cost back at most once. By then the response is on its way: nobody is left to hear of an error but the operator. */
function refundOnce(
  { limiter, sync }: Prepared,
  key: string,
  asked: { cost: number } | undefined,
  decision: Decision,
  isWanted: (status: number) => boolean,
): ((status: number) => void) | undefined {
  // nothing was charged: the store did not answer, or a limiter in shadow mode would have refused
  if (decision.degraded || !decision.parts.every(({ allowed }) => allowed)) return undefined;
  let settled = false;
  return (status) => {
    if (settled) return;
    settled = true;
    try {
      if (!isWanted(status)) return;
      if (sync === undefined) limiter.refund(key, asked).catch(refundFailed);
      else sync.refundSync(key, asked);
    } catch (error) {
      refundFailed(error);
    }
  };
}

function refundFailed(error: unknown): void {
  warnOnce("http-refund", `A cost was not given back: ${error instanceof Error ? error.message : show(error)}`);
}
