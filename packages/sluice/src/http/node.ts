import type { IncomingMessage, ServerResponse } from "node:http";
import { show } from "../core/errors.js";
import { warnOnce } from "../core/warn.js";
import type { Guard, Outcome } from "./guard.js";
import { routeHelpers } from "./helpers.js";
import { carryOut } from "./node-response.js";
import type { RouteHelpers } from "./options.js";
import { nodeHeader, nodePeer, type Platform } from "./platform.js";

/** What `createServer` takes. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => unknown;

/** Puts the limiter before a handler. */
export type NodeMiddleware = (handler: NodeHandler) => (request: IncomingMessage, response: ServerResponse) => void;

const platform: Platform<IncomingMessage> = {
  address: nodePeer,
  peer: nodePeer,
  header: nodeHeader,
  target: (request) => request.url ?? "",
  user: (request) => (request as { user?: unknown }).user,
  trustAdvice: undefined,
};

function middleware(guard: Guard<IncomingMessage>): NodeMiddleware {
  return (handler) => {
    function limited(this: unknown, request: IncomingMessage, response: ServerResponse): void {
      let outcome: Outcome | Promise<Outcome>;
      try {
        outcome = guard.check(request);
      } catch (error) {
        fail(error, response);
        return;
      }
      if (outcome instanceof Promise) {
        // outside the promise, so that what the handler throws goes where it would have gone without us
        const handle = (): void => void handler.call(this, request, response);
        outcome.then(
          (known) => carryOut(guard, known, response) && queueMicrotask(handle),
          (error: unknown) => fail(error, response),
        );
      } else if (carryOut(guard, outcome, response)) {
        handler.call(this, request, response);
      }
    }
    return Object.defineProperty(limited, "name", { value: handler.name, configurable: true });
  };
}

/** Plain Node has no error handler to pass the error on to. */
function fail(error: unknown, response: ServerResponse): void {
  const name = error instanceof Error ? error.name : typeof error;
  const message = error instanceof Error ? `${name}: ${error.message}` : show(error);
  warnOnce(`http-node:${name}`, `A request was answered with 500 because its limit could not be decided. ${message}`);
  if (response.headersSent) return;
  response.statusCode = 500;
  response.end();
}

const helpers: RouteHelpers<IncomingMessage, NodeMiddleware> = routeHelpers(platform, middleware);

/**
 * Limits the requests of a plain `node:http` server, by the socket's address unless `key` says otherwise.
 *
 * @throws TypeError or RangeError with a `code` for a wrong limiter or option.
 * @example
 * const limited = rateLimit(rateLimiter(slidingWindow({ limit: 100, window: "1m" })), { exclude: ["/health"] })
 * const server = createServer(limited((_request, response) => response.end("hello")))
 */
export const rateLimit: typeof helpers.rateLimit = helpers.rateLimit;

/**
 * Limits by authenticated user (`request.user`, or what `user` gives), by address where there is none.
 *
 * @example
 * const sessions = new Map([["s3cr3t", "user:1"]])
 * const user = (request: IncomingMessage) => sessions.get(request.headers.cookie ?? "")
 * const limited = limitByUser(tokenBucket({ rate: 10, per: "1m" }), { user })
 * const server = createServer(limited((_request, response) => response.end("hello")))
 */
export const limitByUser: typeof helpers.limitByUser = helpers.limitByUser;

/**
 * Limits by API key (header `X-API-Key`, or `header`), hashed, by address where there is none. It does not verify keys:
 * put it behind what does, or an invented key is a fresh count.
 *
 * @example
 * const limited = limitByApiKey(slidingWindow({ limit: 1000, window: "1h" }))
 * const server = createServer(limited((_request, response) => response.end("hello")))
 */
export const limitByApiKey: typeof helpers.limitByApiKey = helpers.limitByApiKey;
