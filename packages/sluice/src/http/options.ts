import type { Decision } from "../core/decision.js";
import { show, typeError } from "../core/errors.js";
import type { HeaderFamily } from "../core/headers.js";
import type { RateLimiter } from "../core/limiter.js";
import type { Policy } from "../core/policy.js";
import { checkFunction, checkOptions, wholeNumber } from "../core/validate.js";
import { warnOnce } from "../core/warn.js";

/** The same options and outcomes for every framework; `Req` is the framework's own request. */
export interface HttpOptions<Req> {
  /**
   * Whom to count. Default: the client's address as the framework's own proxy setting sees it; IPv6 by its /64.
   * Undefined, or an empty text, skips the request. The text is the limiter's key as it is; the built-in keys are
   * `ip=203.0.113.7`, `user=42` and `api-key=` with the key's SHA-256 in base64url, and one of yours that begins so gets
   * `own=` in front. One of more than 512 characters, or with half a surrogate pair, becomes `hash=` and its SHA-256.
   */
  key?: (request: Req) => string | undefined | Promise<string | undefined>;
  /** What a request costs: a positive whole number. Default 1. */
  cost?: number | ((request: Req) => number | Promise<number>);
  /** True lets the request pass uncounted. */
  skip?: (request: Req) => boolean | Promise<boolean>;
  /**
   * Paths that are never limited: exact, or a prefix ending in '/*'. Matched on the normalised path: dot segments
   * resolved, case and trailing slash kept, an encoded slash left encoded. Where the framework routes by the path as it
   * came (Express, Fastify, Koa, Nest, plain Node), a path that is not in this form is limited, whatever it resolves to.
   */
  exclude?: readonly string[];
  /**
   * Which header families to send. Default ['ietf', 'legacy']. A refusal carries `Retry-After` even with `false`. 'ietf'
   * and 'draft-7' write the same fields, so of both only 'ietf' is sent.
   */
  headers?: readonly HeaderFamily[] | false;
  /** `X-RateLimit-Reset` as seconds from now (default) or Unix time. */
  legacyReset?: "delta" | "epoch";
  /** When the limiter throws `StoreError`. Default 'allow': the request passes, without counts in its headers. 'deny': 503. */
  whenStoreFails?: "allow" | "deny";
  /**
   * Body of the refusal: RFC 9457 `application/problem+json` (default), or your own: text, bytes, or what JSON can hold
   * (in fetch and Hono a `Response` too, whose status and headers then stand). Undefined sends none; what JSON cannot
   * hold is replaced by the default.
   */
  deny?: (request: Req, decision: Decision) => unknown;
  /**
   * Give the cost back once the response is known, e.g. do not count successful logins: exactly what this request spent,
   * if it still counts by then. A request whose client went away before the response was written has no known response
   * and stays counted.
   */
  refundWhen?: (request: Req, status: number) => boolean;
  /** Bits of an IPv6 address that make one client, 32 to 128. Default 64. */
  ipv6Prefix?: number;
}

/** A limiter, or a function that chooses one for the request. */
export type LimiterSource<Req> = RateLimiter | ((request: Req) => RateLimiter | Promise<RateLimiter>);

/** Options of `limitByUser`. */
export interface UserOptions<Req> extends HttpOptions<Req> {
  /** Who is logged in. Default: the framework's usual place (`request.user`, `ctx.state.user`, …), its `id` or `sub`. */
  user?: (request: Req) => string | undefined;
}

/** Options of `limitByApiKey`. */
export interface ApiKeyOptions<Req> extends HttpOptions<Req> {
  /** The header that carries the key. Default 'X-API-Key'. */
  header?: string;
}

/**
 * What every adapter exports. A policy in place of a limiter gets a limiter of its own, in memory.
 * `limitByUser` and `limitByApiKey` count by address (or by `key`, when given) where nobody is identified.
 */
export interface RouteHelpers<Req, Middleware> {
  readonly rateLimit: (limiter: LimiterSource<Req> | Policy, options?: HttpOptions<Req>) => Middleware;
  readonly limitByUser: (limiter: LimiterSource<Req> | Policy, options?: UserOptions<Req>) => Middleware;
  readonly limitByApiKey: (limiter: LimiterSource<Req> | Policy, options?: ApiKeyOptions<Req>) => Middleware;
}

/** Options, checked, with their defaults. */
export interface CheckedOptions<Req> extends HttpOptions<Req> {
  families: readonly HeaderFamily[];
}

const families: readonly string[] = ["ietf", "legacy", "draft-7"] satisfies HeaderFamily[];

/** Checks every option but `exclude` and `ipv6Prefix`, which are checked where they are read. */
export function checkHttpOptions<Req>(options: HttpOptions<Req> = {}): CheckedOptions<Req> {
  checkOptions(options);
  for (const name of ["key", "skip", "deny", "refundWhen"] as const) {
    if (options[name] !== undefined) checkFunction(options[name], name);
  }
  if (typeof options.cost !== "function" && options.cost !== undefined) {
    wholeNumber(options.cost, "cost", "ERR_INVALID_COST");
  }
  oneOf(options.legacyReset, "legacyReset", ["delta", "epoch"]);
  oneOf(options.whenStoreFails, "whenStoreFails", ["allow", "deny"]);
  const chosen: unknown = options.headers ?? ["ietf", "legacy"];
  if (chosen === false) return { ...options, families: [] };
  if (!Array.isArray(chosen) || !chosen.every((family) => families.includes(family as string))) {
    throw typeError(
      "ERR_INVALID_ARGUMENT",
      `Expected headers to be false or an array of 'ietf', 'legacy' and 'draft-7', got ${show(chosen)}.`,
    );
  }
  const wanted = new Set(chosen as readonly HeaderFamily[]);
  if (wanted.has("ietf") && wanted.delete("draft-7")) {
    warnOnce(
      "http-header-families",
      "`headers` names both 'ietf' and 'draft-7', which write the same fields in different ways, so only 'ietf' is sent. Leave one of them out.",
    );
  }
  return { ...options, families: [...wanted] };
}

function oneOf(value: unknown, what: string, allowed: readonly string[]): void {
  if (value !== undefined && !allowed.includes(value as string)) {
    const choice = allowed.map((each) => `'${each}'`).join(" or ");
    throw typeError("ERR_INVALID_ARGUMENT", `Expected ${what} to be ${choice}, got ${show(value)}.`);
  }
}
