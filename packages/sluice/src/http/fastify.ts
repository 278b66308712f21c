import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from "fastify";
import type { Policy } from "../core/policy.js";
import type { Guard, Outcome } from "./guard.js";
import type { FieldAccess } from "./headers.js";
import { routeHelpers } from "./helpers.js";
import type { HttpOptions, LimiterSource, RouteHelpers } from "./options.js";
import { nodeHeader, nodePeer, type Platform } from "./platform.js";

/** A route's own limiter, in place of the plugin's: `config: { rateLimit: … }`. False: none. */
export type RouteRateLimit =
  | LimiterSource<FastifyRequest>
  | Policy
  | ({ limiter: LimiterSource<FastifyRequest> | Policy } & HttpOptions<FastifyRequest>)
  | false;

declare module "fastify" {
  interface FastifyContextConfig {
    rateLimit?: RouteRateLimit;
  }
}

const platform: Platform<FastifyRequest> = {
  address: (request) => request.ip,
  peer: (request) => nodePeer(request.raw),
  header: (request, name) => nodeHeader(request.raw, name),
  target: (request) => request.originalUrl,
  user: (request) => (request as { user?: unknown }).user,
  trustAdvice: "make Fastify trust it, by address: fastify({ trustProxy: '10.0.0.0/8' })",
};

/** Set on a reply that holds fields of a limiter: `getHeader` on one that has none looks at Node's response too. */
const written: unique symbol = Symbol("sluice.written");

const replyFields: FieldAccess<FastifyReply & { [written]?: boolean }> = {
  get: (reply, name) => (reply[written] === true ? reply.getHeader(name) : undefined),
  set: (reply, name, value) => {
    reply.header(name, value);
  },
};

/** Guards of routes with a limiter of their own: a limiter that several routes name is one guard a path. */
const routeGuards = new WeakMap<object, Map<string, Guard<FastifyRequest>>>();

function routeGuard(own: Exclude<RouteRateLimit, false>, path: string): Guard<FastifyRequest> {
  const known = routeGuards.get(own)?.get(path);
  if (known !== undefined) return known;
  const made = typeof own === "object" && "limiter" in own ? guardOf(own.limiter, own) : guardOf(own);
  const byPath = routeGuards.get(own) ?? new Map<string, Guard<FastifyRequest>>();
  routeGuards.set(own, byPath.set(path, made));
  return made;
}

/** Requests whose route's own limiter has been asked: where several plugins stand, the first one does. */
const asked = new WeakSet<FastifyRequest>();

/** The plugin's guard, or the route's own; undefined for none. */
function guardFor(request: FastifyRequest, guard: Guard<FastifyRequest>): Guard<FastifyRequest> | undefined {
  const { config, url = "" } = request.routeOptions;
  const own = config.rateLimit;
  if (own === undefined) return guard;
  if (own === false) return undefined;
  if (asked.has(request)) return guard;
  asked.add(request);
  return routeGuard(own, url);
}

function plugin(guard: Guard<FastifyRequest>, hook: "onRequest" | "preHandler"): FastifyPluginCallback {
  function rateLimit(request: FastifyRequest, reply: FastifyReply, next: (error?: Error) => void): void {
    const applied = guardFor(request, guard);
    if (applied === undefined) {
      next();
      return;
    }
    let outcome: Outcome | Promise<Outcome>;
    try {
      outcome = applied.check(request);
    } catch (error) {
      next(error as Error);
      return;
    }
    if (outcome instanceof Promise) outcome.then((known) => carry(applied, known, reply, next), next);
    else carry(applied, outcome, reply, next);
  }
  const register: FastifyPluginCallback = (instance: FastifyInstance, _options, done) => {
    // a mistake in a route's limiter shows when the route is added, not when it is asked for
    instance.addHook("onRoute", ({ config, url }) => {
      const own = config?.rateLimit;
      if (own !== undefined && own !== false) routeGuard(own, url);
    });
    instance.addHook(hook as "onRequest", rateLimit);
    done();
  };
  // what fastify-plugin does: the hooks stand in the context that registers, and in its children
  return Object.assign(register, {
    [Symbol.for("skip-override")]: true,
    [Symbol.for("fastify.display-name")]: "sluice",
    [Symbol.for("plugin-meta")]: { name: "sluice", fastify: "5.x" },
  });
}

function carry(guard: Guard<FastifyRequest>, outcome: Outcome, reply: FastifyReply, next: () => void): void {
  const { refusal, settle } = outcome;
  if (settle !== undefined) reply.raw.once("finish", () => settle(reply.raw.statusCode));
  if (!reply.sent) {
    guard.write(outcome, reply, replyFields);
    (reply as { [written]?: boolean })[written] = true;
    if (refusal !== undefined) {
      reply.code(refusal.status);
      for (const [name, value] of refusal.fields) reply.header(name, value);
      reply.send(refusal.content);
    }
  }
  if (refusal === undefined) next();
}

const {
  rateLimit: guardOf,
}: RouteHelpers<FastifyRequest, Guard<FastifyRequest>> = routeHelpers(platform, (guard) => guard);
const early: RouteHelpers<FastifyRequest, FastifyPluginCallback> = routeHelpers(platform, (guard) =>
  plugin(guard, "onRequest"),
);
const late: RouteHelpers<FastifyRequest, FastifyPluginCallback> = routeHelpers(platform, (guard) =>
  plugin(guard, "preHandler"),
);

/**
 * A plugin that limits the routes of the context that registers it, and of its children, by client address unless `key`
 * says otherwise. For Fastify 5. A route has a limiter of its own, in place of the plugin's, with
 * `config: { rateLimit: limiter | policy | { limiter, ...options } | false }`.
 *
 * @throws TypeError or RangeError with a `code` for a wrong limiter or option.
 * @example
 * const app = fastify()
 * await app.register(rateLimit(rateLimiter(slidingWindow({ limit: 100, window: "1m" })), { exclude: ["/health"] }))
 * app.post("/login", { config: { rateLimit: tokenBucket({ rate: 5, per: "1m" }) } }, async () => "welcome")
 */
export const rateLimit: typeof early.rateLimit = early.rateLimit;

/**
 * Limits by authenticated user (`request.user`, or what `user` gives), by address where there is none. It asks in
 * `preHandler`, when authentication in an earlier hook is done; so a body that cannot be parsed is not counted.
 *
 * @example
 * const app = fastify()
 * await app.register(limitByUser(tokenBucket({ rate: 10, per: "1m" })))
 */
export const limitByUser: typeof late.limitByUser = late.limitByUser;

/**
 * Limits by API key (header `X-API-Key`, or `header`), hashed, by address where there is none. It does not verify keys:
 * put it behind what does, or an invented key is a fresh count.
 *
 * @example
 * const app = fastify()
 * await app.register(limitByApiKey(slidingWindow({ limit: 1000, window: "1h" })))
 */
export const limitByApiKey: typeof early.limitByApiKey = early.limitByApiKey;
