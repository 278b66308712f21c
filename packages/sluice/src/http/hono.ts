import type { Context, MiddlewareHandler, Next } from "hono";
import { type Guard, type Outcome, uncounted } from "./guard.js";
import { routeHelpers } from "./helpers.js";
import { carryFields } from "./node-response.js";
import type { RouteHelpers } from "./options.js";
import type { Platform } from "./platform.js";
import { nodeResponseOf, platformAddress, refusalResponse, socketAddress, writtenOn } from "./web.js";

const platform: Platform<Context> = {
  address: (context) => platformAddress(context.req.raw, context.env),
  peer: (context) => socketAddress(context.req.raw, context.env),
  header: (context, name) => context.req.header(name),
  target: (context) => context.req.url,
  user: (context) => (context.get("user") ?? context.get("jwtPayload")) as unknown,
  trustAdvice: undefined,
};

function middleware(guard: Guard<Context>): MiddlewareHandler {
  return function rateLimit(context, next) {
    const outcome = guard.check(context);
    if (!(outcome instanceof Promise)) return carry(guard, outcome, context, next);
    return outcome.then((known) => carry(guard, known, context, next));
  } as MiddlewareHandler;
}

function carry(guard: Guard<Context>, outcome: Outcome, context: Context, next: Next): unknown {
  const { refusal } = outcome;
  // on Node, fields written to its own response leave Hono's on the fast path
  const outgoing = nodeResponseOf(context.env);
  if (outgoing !== undefined) {
    carryFields(guard, outcome, outgoing);
    return refusal === undefined ? next() : refusalResponse(refusal);
  }
  if (refusal !== undefined) return writtenOn(guard, outcome, refusalResponse(refusal));
  return outcome === uncounted ? next() : carryAfter(guard, outcome, context, next);
}

/** Elsewhere the response is the handler's: only what it has returned can be written on, whatever it was made by. */
async function carryAfter(guard: Guard<Context>, outcome: Outcome, context: Context, next: Next): Promise<void> {
  await next();
  // nothing was answered: the runtime has taken the connection over
  if (!context.finalized) return;
  const { res } = context;
  if (!context.req.raw.signal.aborted) outcome.settle?.(res.status);
  const changed = writtenOn(guard, outcome, res);
  if (changed === res) return;
  // Hono would copy the fields of the response before onto the new one
  context.res = undefined;
  context.res = changed;
}

const helpers: RouteHelpers<Context, MiddlewareHandler> = routeHelpers(platform, middleware);

/**
 * Limits the requests that pass here, by the address that the platform gives (Node, Bun, Deno, Workers, …) unless `key`
 * says otherwise. For Hono 4.
 *
 * @throws TypeError or RangeError with a `code` for a wrong limiter or option.
 * @example
 * const app = new Hono()
 * app.use(rateLimit(rateLimiter(slidingWindow({ limit: 100, window: "1m" })), { exclude: ["/health"] }))
 */
export const rateLimit: typeof helpers.rateLimit = helpers.rateLimit;

/**
 * Limits by authenticated user (the variable `user` or `jwtPayload`, or what `user` gives), by address where there is
 * none. Put it behind the middleware that authenticates.
 *
 * @example
 * const app = new Hono()
 * const limited = limitByUser(tokenBucket({ rate: 10, per: "1m" }))
 * app.post("/reports", limited, (context) => context.body(null, 201))
 */
export const limitByUser: typeof helpers.limitByUser = helpers.limitByUser;

/**
 * Limits by API key (header `X-API-Key`, or `header`), hashed, by address where there is none. It does not verify keys:
 * put it behind what does, or an invented key is a fresh count.
 *
 * @example
 * const app = new Hono()
 * app.use("/v1/*", limitByApiKey(slidingWindow({ limit: 1000, window: "1h" })))
 */
export const limitByApiKey: typeof helpers.limitByApiKey = helpers.limitByApiKey;
