import type { Policy } from "../core/policy.js";
import { type Guard, guard } from "./guard.js";
import { type KeyOf, keyOfApiKey, keyOfClient, keyOfUser } from "./keys.js";
import type { ApiKeyOptions, HttpOptions, LimiterSource, RouteHelpers, UserOptions } from "./options.js";
import type { Platform } from "./platform.js";

/** Another guard like one that was made: whom it counts and its options are the same, but for those given here. */
export type Alike<Req> = (limiter: LimiterSource<Req> | Policy, options?: HttpOptions<Req>) => Guard<Req>;

/** The three functions that every adapter exports: a guard each, in the framework's dress. */
export function routeHelpers<Req, Middleware>(
  platform: Platform<Req>,
  adapt: (guard: Guard<Req>, alike: Alike<Req>, options: HttpOptions<Req>) => Middleware,
): RouteHelpers<Req, Middleware> {
  const helper =
    <Options extends HttpOptions<Req>>(identify: (platform: Platform<Req>, options: Options) => KeyOf<Req>) =>
    (limiter: LimiterSource<Req> | Policy, options?: Options): Middleware => {
      const alike: Alike<Req> = (own, more) => guard(platform, own, { ...options, ...more } as Options, identify);
      return adapt(guard(platform, limiter, options, identify), alike, options ?? {});
    };
  return {
    rateLimit: helper<HttpOptions<Req>>(keyOfClient),
    limitByUser: helper<UserOptions<Req>>(keyOfUser),
    limitByApiKey: helper<ApiKeyOptions<Req>>(keyOfApiKey),
  };
}
