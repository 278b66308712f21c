import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from "fastify";
import type { Policy } from "../core/policy.js";
import type { Guard, Outcome } from "./guard.js";
import type { FieldAccess } from "./headers.js";
import { type Alike, routeHelpers } from "./helpers.js";
import { userOf } from "./keys.js";
import type { HttpOptions, LimiterSource, RouteHelpers } from "./options.js";
import { fastifyTrustsAll, nodeHeader, nodePeer, type Platform } from "./platform.js";

/**
 * A route's own limiter, in place of the plugin's: `config: { rateLimit: … }`. It counts whom the plugin counts, and has
 * the plugin's options where it says nothing itself. False: none.
 */
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
  trustsAll: fastifyTrustsAll,
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

/** A route's limiter, with whatever else the route says. */
type OwnLimiter = Exclude<RouteRateLimit, false>;

/** Guards of routes with a limiter of their own, for one registration: a limiter that several routes name is one guard a path. */
function routeGuards(alike: Alike<FastifyRequest>): (own: OwnLimiter, path: string) => Guard<FastifyRequest> {
  const known = new Map<string, Map<OwnLimiter, Guard<FastifyRequest>>>();
  return (own, path) => {
    const ofPath = known.get(path) ?? new Map<OwnLimiter, Guard<FastifyRequest>>();
    const found = ofPath.get(own);
    if (found !== undefined) return found;
    const made = typeof own === "object" && "limiter" in own ? alike(own.limiter, own) : alike(own);
    known.set(path, ofPath.set(own, made));
    return made;
  };
}

/** Requests whose route's own limiter has been asked: where several plugins stand, the first one does. */
const asked = new WeakSet<FastifyRequest>();

type Next = (error?: Error) => void;
type Hook = (request: FastifyRequest, reply: FastifyReply, next: Next) => void;

type GuardFor = (request: FastifyRequest) => Guard<FastifyRequest> | undefined;

/** Asks the guard for the request, and carries out what it says. */
function hookOf(guardFor: GuardFor): Hook {
  return function rateLimit(request, reply, next) {
    const applied = guardFor(request);
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
  };
}

/** Puts the hooks that ask where they belong. */
type Place = (instance: FastifyInstance, guardFor: GuardFor) => void;

function plugin(guard: Guard<FastifyRequest>, alike: Alike<FastifyRequest>, place: Place): FastifyPluginCallback {
  const register: FastifyPluginCallback = (instance: FastifyInstance, _options, done) => {
    const routeGuard = routeGuards(alike);
    // a mistake in a route's limiter shows when the route is added, not when it is asked for
    instance.addHook("onRoute", ({ config, url }) => {
      const own = config?.rateLimit;
      if (own !== undefined && own !== false) routeGuard(own, url);
    });
    place(instance, (request) => {
      const { config, url = "" } = request.routeOptions;
      const own = config.rateLimit;
      if (own === undefined) return guard;
      if (own === false) return undefined;
      if (asked.has(request)) return guard;
      asked.add(request);
      return routeGuard(own, url);
    });
    done();
  };
  // what fastify-plugin does: the hooks stand in the context that registers, and in its children
  return Object.assign(register, {
    [Symbol.for("skip-override")]: true,
    [Symbol.for("fastify.display-name")]: "sluice",
    [Symbol.for("plugin-meta")]: { name: "sluice", fastify: "5.x" },
  });
}

/**
 * By user: before the body is parsed when an `onRequest` hook has found the user, else in `preHandler`, when every
 * authentication is done. Whoever is answered in between, as one whose body cannot be parsed is, is counted all the same.
 */
function placeLate(isKnown: (request: FastifyRequest) => boolean): Place {
  return (instance, guardFor) => {
    const hook = hookOf(guardFor);
    /** Requests that have not been counted yet. */
    const waiting = new WeakSet<FastifyRequest>();
    instance.addHook("preParsing", (request, reply, _payload, next) => {
      let known: boolean;
      try {
        known = isKnown(request);
      } catch (error) {
        next(error as Error);
        return;
      }
      if (known) {
        hook(request, reply, next);
      } else {
        waiting.add(request);
        next();
      }
    });
    instance.addHook("preHandler", (request, reply, next) => {
      if (waiting.delete(request)) hook(request, reply, next);
      else next();
    });
    instance.addHook("onResponse", async (request, reply) => {
      if (!waiting.delete(request)) return;
      const outcome = await guardFor(request)?.check(request);
      outcome?.settle?.(reply.statusCode);
    });
  };
}

function carry(guard: Guard<FastifyRequest>, outcome: Outcome, reply: FastifyReply, next: () => void): void {
  const { refusal, settle } = outcome;
  const { raw } = reply;
  if (settle !== undefined) raw.once("finish", () => settle(raw.statusCode));
  if (!reply.sent) {
    if (refusal !== undefined) {
      reply.code(refusal.status);
      for (const [name, value] of refusal.fields) reply.header(name, value);
      if (refusal.type !== undefined) reply.header("Content-Type", refusal.type);
    }
    guard.write(outcome, reply, replyFields);
    (reply as { [written]?: boolean })[written] = true;
    if (refusal !== undefined) reply.send(refusal.content);
  }
  if (refusal === undefined) next();
}

const early: RouteHelpers<FastifyRequest, FastifyPluginCallback> = routeHelpers(platform, (guard, alike) =>
  plugin(guard, alike, (instance, guardFor) => {
    instance.addHook("onRequest", hookOf(guardFor));
  }),
);
const late: RouteHelpers<FastifyRequest, FastifyPluginCallback> = routeHelpers(platform, (guard, alike, options) => {
  const nameOf = userOf(platform, options);
  return plugin(
    guard,
    alike,
    placeLate((request) => nameOf(request) !== undefined),
  );
});

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
 * Limits by authenticated user (`request.user`, or what `user` gives), by address where there is none. It asks before the
 * body is parsed when an `onRequest` hook has found the user, else in `preHandler`, when every authentication is done;
 * then a body that cannot be parsed is counted, but not refused.
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
