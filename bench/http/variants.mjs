// The servers that are compared: each framework bare, with sluice, and with the limiter that its users usually take.

/** Never refuses: what is measured is the cost of being limited, not of being refused. */
const limit = 1_000_000_000;
const window = 3_600_000;

async function ours(adapter, headers, redisUrl) {
  const [{ fixedWindow, rateLimiter }, { rateLimit }] = await Promise.all([
    import("sluice"),
    import(`sluice/${adapter}`),
  ]);
  // as the peers do; and what is left differs from request to request, so that no field is one that was told before
  const policy = fixedWindow({ limit, window });
  if (redisUrl === undefined) return rateLimit(rateLimiter(policy), { headers });
  const { redisStore } = await import("sluice/redis");
  // failing open under load would be no measure of anything
  const options = { store: redisStore(await ioredis(redisUrl)), timeout: "10s" };
  return rateLimit(rateLimiter(policy, options), { headers });
}

async function ioredis(url) {
  const { Redis } = await import("ioredis");
  return new Redis(url);
}

async function expressUsual({ redisUrl, legacy }) {
  const { rateLimit } = await import("express-rate-limit");
  const options = { windowMs: window, limit, standardHeaders: "draft-8", legacyHeaders: legacy };
  if (redisUrl === undefined) return rateLimit(options);
  const [{ RedisStore }, client] = await Promise.all([import("rate-limit-redis"), ioredis(redisUrl)]);
  return rateLimit({ ...options, store: new RedisStore({ sendCommand: (...args) => client.call(...args) }) });
}

async function honoUsual({ redisUrl, legacy }) {
  const { rateLimiter, RedisStore } = await import("hono-rate-limiter");
  const options = {
    windowMs: window,
    limit,
    // two fields, or its default's four
    standardHeaders: legacy ? "draft-6" : "draft-7",
    keyGenerator: (context) => context.env.incoming.socket.remoteAddress,
  };
  if (redisUrl === undefined) return rateLimiter(options);
  const client = await ioredis(redisUrl);
  // the shape of client that this store is written for
  const adapted = {
    scriptLoad: (script) => client.script("LOAD", script),
    evalsha: (sha, keys, args) => client.evalsha(sha, keys.length, ...keys, ...args),
    decr: (key) => client.decr(key),
    del: (key) => client.del(key),
  };
  return rateLimiter({ ...options, store: new RedisStore({ client: adapted }) });
}

const body = "hello";

function hello(_request, response) {
  response.setHeader("Content-Type", "text/plain");
  response.end(body);
}

/** By framework: from a limiter, or none, to a server that listens. */
const frameworks = {
  async express(limiter) {
    const { default: express } = await import("express");
    const app = express();
    if (limiter !== undefined) app.use(limiter);
    app.get("/", (_request, response) => response.send(body));
    return new Promise((resolve) => {
      const server = app.listen(0, "127.0.0.1", () => resolve(server));
    });
  },
  async fastify(plugin) {
    const { default: fastify } = await import("fastify");
    const app = fastify();
    if (plugin !== undefined) await app.register(...plugin);
    app.get("/", async () => body);
    await app.listen({ port: 0, host: "127.0.0.1" });
    return app.server;
  },
  async hono(limiter) {
    const [{ Hono }, { serve }] = await Promise.all([import("hono"), import("@hono/node-server")]);
    const app = new Hono();
    if (limiter !== undefined) app.use(limiter);
    app.get("/", (context) => context.text(body));
    return new Promise((resolve) => {
      const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, () => resolve(server));
    });
  },
  async node(wrap) {
    const { createServer } = await import("node:http");
    const server = createServer(wrap === undefined ? hello : wrap(hello));
    return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
  },
  async koa(limiter) {
    const { default: Koa } = await import("koa");
    const app = new Koa();
    if (limiter !== undefined) app.use(limiter);
    app.use((context) => {
      context.body = body;
    });
    return new Promise((resolve) => {
      const server = app.listen(0, "127.0.0.1", () => resolve(server));
    });
  },
};

/** What a server imports first, as its own first lines would: the order of loading moved single processes by 5 µs a request. */
const imports = {
  express: ["express"],
  fastify: ["fastify"],
  hono: ["hono", "@hono/node-server"],
  node: [],
  koa: ["koa"],
};

const fixedFields = [
  ["RateLimit", '"default";r=999999999;t=1'],
  ["RateLimit-Policy", '"default";q=1000000000;w=3600'],
  ["X-RateLimit-Limit", "1000000000"],
  ["X-RateLimit-Remaining", "999999999"],
  ["X-RateLimit-Reset", "1"],
];

/** What no limiter can do without: a middleware that does nothing, and one that writes fields of a fixed text. */
const floors = {
  express: {
    "the address and two fields, no limiter"(request, response, next) {
      if (request.ip === undefined) throw new Error("A request without an address.");
      for (const [name, value] of fixedFields.slice(0, 2)) response.setHeader(name, value);
      next();
    },
  },
  hono: {
    "middleware that does nothing": (_context, next) => next(),
    "the same five fields, no limiter"(context, next) {
      for (const [name, value] of fixedFields) context.env.outgoing.setHeader(name, value);
      return next();
    },
  },
};

const usual = {
  express: expressUsual,
  hono: honoUsual,
  async fastify({ redisUrl }) {
    const { default: plugin } = await import("@fastify/rate-limit");
    const redis = redisUrl === undefined ? {} : { redis: await ioredis(redisUrl) };
    return [plugin, { max: limit, timeWindow: window, ...redis }];
  },
};

/** What each framework's usual limiter is called. */
export const usualNames = { express: "express-rate-limit", fastify: "@fastify/rate-limit", hono: "hono-rate-limiter" };

/**
 * Starts a server. Variants: 'bare'; one of the floors; 'sluice' with the IETF headers, 'sluice, all headers' with the
 * legacy ones too; 'usual'; 'usual, all headers' where the usual limiter has a switch for them.
 */
export async function start({ framework, variant, redisUrl }) {
  const listen = frameworks[framework];
  for (const name of imports[framework]) await import(name);
  if (variant === "bare") return listen(undefined);
  const floor = floors[framework]?.[variant];
  if (floor !== undefined) return listen(floor);
  if (variant.startsWith("usual")) return listen(await usual[framework]({ redisUrl, legacy: variant.includes("all") }));
  const middleware = await ours(framework, variant.includes("all") ? ["ietf", "legacy"] : ["ietf"], redisUrl);
  return listen(framework === "fastify" ? [middleware] : middleware);
}
