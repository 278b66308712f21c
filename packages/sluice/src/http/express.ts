import type { Request, RequestHandler } from "express";
import type { Guard, Outcome } from "./guard.js";
import { routeHelpers } from "./helpers.js";
import { carryOut } from "./node-response.js";
import type { RouteHelpers } from "./options.js";
import { expressTrustsAll, nodeHeader, nodePeer, type Platform } from "./platform.js";

/**
 * What `request.ip` says. While no proxy is trusted that is the socket's address, and asking `request.ip` would cost more
 * than all the rest: it reads and splits the headers.
 */
function address(request: Request): string | undefined {
  const asIs = request.app.get("trust proxy") === false && !Object.hasOwn(request, "ip");
  return asIs ? nodePeer(request) : request.ip;
}

const platform: Platform<Request> = {
  address,
  peer: nodePeer,
  header: nodeHeader,
  target: (request) => request.originalUrl,
  user: (request) => (request as { user?: unknown }).user,
  trustsAll: expressTrustsAll,
  trustAdvice: "set Express's `trust proxy` to the number of proxies or their addresses: app.set('trust proxy', 1)",
};

function middleware(guard: Guard<Request>): RequestHandler {
  return function rateLimit(request, response, next) {
    const carry = (outcome: Outcome): void => {
      if (carryOut(guard, outcome, response)) next();
    };
    // Express passes what is thrown here to its error handlers
    const outcome = guard.check(request);
    if (outcome instanceof Promise) outcome.then(carry, next);
    else carry(outcome);
  };
}

const helpers: RouteHelpers<Request, RequestHandler> = routeHelpers(platform, middleware);

/**
 * Limits the requests that pass here, by client address unless `key` says otherwise. For Express 5 and 4.
 *
 * @throws TypeError or RangeError with a `code` for a wrong limiter or option.
 * @example
 * const app = express()
 * app.use(rateLimit(rateLimiter(slidingWindow({ limit: 100, window: "1m" })), { exclude: ["/health"] }))
 */
export const rateLimit: typeof helpers.rateLimit = helpers.rateLimit;

/**
 * Limits by authenticated user (`request.user`, or what `user` gives), by address where there is none. Put it behind
 * the middleware that authenticates.
 *
 * @example
 * const app = express()
 * const limited = limitByUser(tokenBucket({ rate: 10, per: "1m" }))
 * app.post("/reports", limited, (_request, response) => response.sendStatus(201))
 */
export const limitByUser: typeof helpers.limitByUser = helpers.limitByUser;

/**
 * Limits by API key (header `X-API-Key`, or `header`), hashed, by address where there is none. It does not verify keys:
 * put it behind what does, or an invented key is a fresh count.
 *
 * @example
 * const app = express()
 * app.use("/v1", limitByApiKey(slidingWindow({ limit: 1000, window: "1h" }), { header: "Authorization" }))
 */
export const limitByApiKey: typeof helpers.limitByApiKey = helpers.limitByApiKey;
