import type { Context, MiddlewareHandler, Next } from "hono";
import type { Guard, Outcome } from "./guard.js";
import type { FieldAccess } from "./headers.js";
import { routeHelpers } from "./helpers.js";
import { carryFields } from "./node-response.js";
import type { RouteHelpers } from "./options.js";
import type { Platform } from "./platform.js";
import { nodeResponseOf, platformAddress, refusalResponse, socketAddress, webFields, withHeaders } from "./web.js";

const platform: Platform<Context> = {
  address: (context) => platformAddress(context.req.raw, context.env),
  peer: (context) => socketAddress(context.req.raw, context.env),
  header: (context, name) => context.req.header(name),
  target: (context) => context.req.url,
  user: (context) => (context.get("user") ?? context.get("jwtPayload")) as unknown,
  trustAdvice: "give `key`, a function that reads what your platform or your proxy alone can have written",
};

/** Set on a context whose prepared headers hold fields of a limiter: reading them makes a Response, which costs. */
const written = "sluice.written";

/** `c.header` before `next()`: after it, the response would have to be rebuilt. */
const preparedFields: FieldAccess<Context> = {
  get: (context, name) => (context.get(written) === true ? context.res.headers.get(name) : undefined),
  set: (context, name, value) => context.header(name, value),
};

function middleware(guard: Guard<Context>): MiddlewareHandler {
  return function rateLimit(context, next) {
    const outcome = guard.check(context);
    if (!(outcome instanceof Promise)) return carry(guard, outcome, context, next);
    return outcome.then((known) => carry(guard, known, context, next));
  } as MiddlewareHandler;
}

function carry(guard: Guard<Context>, outcome: Outcome, context: Context, next: Next): unknown {
  const { refusal, settle } = outcome;
  // on Node, fields written to its own response leave Hono's on the fast path
  const outgoing = nodeResponseOf(context.env);
  if (outgoing !== undefined) {
    carryFields(guard, outcome, outgoing);
    return refusal === undefined ? next() : refusalResponse(refusal);
  }
  if (refusal !== undefined) {
    return withHeaders(refusalResponse(refusal), (headers) => guard.write(outcome, headers, webFields));
  }
  guard.write(outcome, context, preparedFields);
  context.set(written, true);
  return settle === undefined ? next() : settled(context, next, settle);
}

async function settled(context: Context, next: Next, settle: (status: number) => void): Promise<void> {
  await next();
  if (!context.req.raw.signal.aborted) settle(context.res.status);
}

const helpers: RouteHelpers<Context, MiddlewareHandler> = routeHelpers(platform, middleware);

/**
 * Limits the requests that pass here, by the address that the platform gives (Node, Bun, Deno, Workers, …) unless `key`
 * says otherwise. For Hono 4.
 *
 * @throws TypeError or RangeError with a `code` for a wrong limiter or option.
 * @example
 * app.use(rateLimit(rateLimiter(slidingWindow({ limit: 100, window: "1m" })), { exclude: ["/health"] }))
 */
export const rateLimit: typeof helpers.rateLimit = helpers.rateLimit;

/** Limits by authenticated user (the variable `user` or `jwtPayload`, or what `user` gives), by address where there is none. */
export const limitByUser: typeof helpers.limitByUser = helpers.limitByUser;

/** Limits by API key (header `X-API-Key`, or `header`), hashed, by address where there is none. It does not verify keys. */
export const limitByApiKey: typeof helpers.limitByApiKey = helpers.limitByApiKey;
