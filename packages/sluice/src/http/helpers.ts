import { type Guard, guard } from "./guard.js";
import { keyOfApiKey, keyOfClient, keyOfUser } from "./keys.js";
import type { ApiKeyOptions, HttpOptions, RouteHelpers, UserOptions } from "./options.js";
import type { Platform } from "./platform.js";

/** The three functions that every adapter exports: a guard each, in the framework's dress. */
export function routeHelpers<Req, Middleware>(
  platform: Platform<Req>,
  adapt: (guard: Guard<Req>) => Middleware,
): RouteHelpers<Req, Middleware> {
  return {
    rateLimit: (limiter, options) => adapt(guard<Req, HttpOptions<Req>>(platform, limiter, options, keyOfClient)),
    limitByUser: (limiter, options) => adapt(guard<Req, UserOptions<Req>>(platform, limiter, options, keyOfUser)),
    limitByApiKey: (limiter, options) => adapt(guard<Req, ApiKeyOptions<Req>>(platform, limiter, options, keyOfApiKey)),
  };
}
