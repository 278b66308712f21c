import type { Guard } from "./guard.js";
import { routeHelpers } from "./helpers.js";
import { carryFields } from "./node-response.js";
import type { RouteHelpers } from "./options.js";
import type { Platform } from "./platform.js";
import { nodeResponseOf, platformAddress, refusalResponse, socketAddress, writtenOn } from "./web.js";

/** Puts the limiter before a handler, as Next, Bun, Deno and Workers call it: with a request, and what they know beside it. */
export type FetchMiddleware = <Req extends Request, Context extends unknown[]>(
  handler: (request: Req, ...context: Context) => Response | Promise<Response>,
) => (request: Req, ...context: Context) => Promise<Response>;

/** What came beside each request that is being decided. */
const surroundings = new WeakMap<Request, unknown>();

const platform: Platform<Request> = {
  address: (request) => platformAddress(request, surroundings.get(request)),
  peer: (request) => socketAddress(request, surroundings.get(request)),
  header: (request, name) => request.headers.get(name) ?? undefined,
  target: (request) => request.url,
  user: (request) => (request as { user?: unknown }).user,
  trustAdvice: undefined,
};

function middleware(guard: Guard<Request>): FetchMiddleware {
  return (handler) => {
    const limited: typeof handler = async (request, ...context) => {
      surroundings.set(request, context[0]);
      const decided = guard.check(request);
      const outcome = decided instanceof Promise ? await decided : decided;
      const outgoing = nodeResponseOf(context[0]);
      if (outgoing !== undefined) carryFields(guard, outcome, outgoing);
      const { refusal } = outcome;
      const response = refusal === undefined ? await handler(request, ...context) : refusalResponse(refusal);
      // no Response at all: the runtime has taken the connection over
      if (outgoing !== undefined || !(response instanceof Response)) return response;
      if (!request.signal.aborted) outcome.settle?.(response.status);
      return writtenOn(guard, outcome, response);
    };
    return Object.defineProperty(limited, "name", { value: handler.name, configurable: true }) as (
      ...args: Parameters<typeof handler>
    ) => Promise<Response>;
  };
}

const helpers: RouteHelpers<Request, FetchMiddleware> = routeHelpers(platform, middleware);

/**
 * Limits a handler of `Request → Response` (Next, Bun, Deno, Workers, `@hono/node-server`), by the address that the
 * platform gives unless `key` says otherwise.
 *
 * @throws TypeError or RangeError with a `code` for a wrong limiter or option.
 * @example
 * export const GET = rateLimit(rateLimiter(slidingWindow({ limit: 100, window: "1m" })))(() => new Response("hello"))
 */
export const rateLimit: typeof helpers.rateLimit = helpers.rateLimit;

/**
 * Limits by authenticated user (what `user` gives), by address where there is none.
 *
 * @example
 * const sessions = new Map([["s3cr3t", "user:1"]])
 * const user = (request: Request) => sessions.get(request.headers.get("Cookie") ?? "")
 * const limited = limitByUser(tokenBucket({ rate: 10, per: "1m" }), { user })
 * export const POST = limited(() => new Response(null, { status: 201 }))
 */
export const limitByUser: typeof helpers.limitByUser = helpers.limitByUser;

/**
 * Limits by API key (header `X-API-Key`, or `header`), hashed, by address where there is none. It does not verify keys:
 * put it behind what does, or an invented key is a fresh count.
 *
 * @example
 * export const GET = limitByApiKey(slidingWindow({ limit: 1000, window: "1h" }))(() => new Response("hello"))
 */
export const limitByApiKey: typeof helpers.limitByApiKey = helpers.limitByApiKey;
