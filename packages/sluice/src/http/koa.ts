import type { Context, Middleware, Next } from "koa";
import type { Guard, Outcome } from "./guard.js";
import { routeHelpers } from "./helpers.js";
import { carryFields, carryOut } from "./node-response.js";
import type { RouteHelpers } from "./options.js";
import { nodeHeader, nodePeer, type Platform } from "./platform.js";

const platform: Platform<Context> = {
  address: (context) => context.ip,
  peer: (context) => nodePeer(context.req),
  header: (context, name) => nodeHeader(context.req, name),
  target: (context) => context.originalUrl,
  user: (context) => (context.state as { user?: unknown }).user,
  trustsAll: ({ app }) => app.proxy && !(app.maxIpsCount > 0),
  trustAdvice: "make Koa trust it, with as many hops as you run: new Koa({ proxy: true, maxIpsCount: 1 })",
};

function middleware(guard: Guard<Context>): Middleware {
  return function rateLimit(context, next) {
    const outcome = guard.check(context);
    if (!(outcome instanceof Promise)) return carry(guard, outcome, context, next);
    return outcome.then((known) => carry(guard, known, context, next));
  };
}

function carry(guard: Guard<Context>, outcome: Outcome, context: Context, next: Next): unknown {
  const { refusal } = outcome;
  // Koa was told to leave Node's response alone, so nobody else would end it
  if (context.respond === false) return carryOut(guard, outcome, context.res) ? next() : undefined;
  if (carryFields(guard, outcome, context.res) && refusal !== undefined) {
    context.status = refusal.status;
    if (refusal.type !== undefined) context.set("Content-Type", refusal.type);
    context.body = refusal.content instanceof Uint8Array ? Buffer.from(refusal.content) : (refusal.content ?? "");
  }
  return refusal === undefined ? next() : undefined;
}

const helpers: RouteHelpers<Context, Middleware> = routeHelpers(platform, middleware);

/**
 * Limits the requests that pass here, by client address unless `key` says otherwise. For Koa 3 and 2.
 *
 * @throws TypeError or RangeError with a `code` for a wrong limiter or option.
 * @example
 * const app = new Koa()
 * app.use(rateLimit(rateLimiter(slidingWindow({ limit: 100, window: "1m" })), { exclude: ["/health"] }))
 */
export const rateLimit: typeof helpers.rateLimit = helpers.rateLimit;

/**
 * Limits by authenticated user (`ctx.state.user`, or what `user` gives), by address where there is none. Put it behind
 * the middleware that authenticates.
 *
 * @example
 * const app = new Koa()
 * app.use(limitByUser(tokenBucket({ rate: 10, per: "1m" })))
 */
export const limitByUser: typeof helpers.limitByUser = helpers.limitByUser;

/**
 * Limits by API key (header `X-API-Key`, or `header`), hashed, by address where there is none. It does not verify keys:
 * put it behind what does, or an invented key is a fresh count.
 *
 * @example
 * const app = new Koa()
 * app.use(limitByApiKey(slidingWindow({ limit: 1000, window: "1h" }), { header: "Authorization" }))
 */
export const limitByApiKey: typeof helpers.limitByApiKey = helpers.limitByApiKey;
