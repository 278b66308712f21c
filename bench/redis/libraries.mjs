// sluice and its peers on Redis behind one shape: `call(key)`, one charged call through the library's public method.
import { createHash } from "node:crypto";

/**
 * How much is allowed: `limit` calls in `window` ms to the peers, which count fixed windows, and to sluice a token bucket.
 * In `spread` and `hot` nothing is ever refused; in `spent` all but a thousand calls a second are. A tick is a whole µs, as
 * it is in most limits. A bucket into which a million tokens flow in a second is full again at once, so its keys expire
 * five to ten seconds after they were asked for, while a peer's live for the minute: `lasting` is the same for keys that
 * stay in debt for minutes.
 */
export const settings = {
  spread: { limit: 1_000_000_000, window: 60_000, bucket: { rate: 1_000_000, per: "1s", burst: 1_000_000_000 } },
  lasting: { limit: 1_000_000_000, window: 60_000, bucket: { rate: 1000, per: "1d", burst: 1_000_000 } },
  hot: { limit: 1_000_000_000, window: 60_000, bucket: { rate: 1_000_000, per: "1s", burst: 1_000_000_000 } },
  spent: { limit: 1000, window: 1000, bucket: { rate: 1000, per: "1s" } },
};

/** A thousand calls a day, and an exact window of ten thousand. */
export const policies = {
  "fixed window": (s) => s.fixedWindow({ limit: 1000, window: "1d" }),
  "token bucket": (s) => s.tokenBucket({ rate: 1000, per: "1d" }),
  "token bucket, ticks no whole µs": (s) => s.tokenBucket({ rate: 7000, per: "1d" }),
  "sliding counter": (s) => s.slidingCounter({ limit: 1000, window: "1d" }),
  "sliding window": (s) => s.slidingWindow({ limit: 10_000, window: "1d" }),
};

/** What a build of sluice exports, and the function that makes its store. */
export async function sluiceFrom(build) {
  const index = await import(new URL("index.js", build));
  const { redisStore } = await import(new URL("stores/redis/redis.js", build));
  return { ...index, redisStore };
}

async function sluice(client, { bucket }, options, build) {
  const { rateLimiter, redisStore, tokenBucket } = await sluiceFrom(build);
  const limiter = rateLimiter(tokenBucket(bucket), { store: redisStore(client.client, options), name: "bench" });
  return (key) => limiter.consume(key);
}

/** Clients by name, connected: the client, `send` for one raw command, and how it is closed. */
const clients = {
  async ioredis(url) {
    const { Redis } = await import("ioredis");
    const client = new Redis(url);
    return { client, send: (args) => client.call(...args), close: () => client.disconnect() };
  },
  async iovalkey(url) {
    const { Redis } = await import("iovalkey");
    const client = new Redis(url);
    return { client, send: (args) => client.call(...args), close: () => client.disconnect() };
  },
  async "node-redis"(url) {
    const { createClient } = await import("redis");
    const client = createClient({ url });
    await client.connect();
    return { client, send: (args) => client.sendCommand(args), close: () => client.destroy() };
  },
  async "valkey-glide"(url) {
    const { GlideClient } = await import("@valkey/valkey-glide");
    const { hostname: host, port } = new URL(url);
    const client = await GlideClient.createClient({
      addresses: [{ host, port: Number(port) }],
      requestTimeout: 10_000,
      inflightRequestsLimit: 100_000,
    });
    return { client, send: (args) => client.customCommand(args), close: () => client.close() };
  },
};

export async function openClient(name, url) {
  return clients[name](url);
}

async function flexible({ client }, { limit, window }, clientName, block) {
  const { RateLimiterRedis } = await import("rate-limiter-flexible");
  const limiter = new RateLimiterRedis({
    storeClient: client,
    points: limit,
    duration: window / 1000,
    useRedisPackage: clientName === "node-redis",
    ...(block ? { inMemoryBlockOnConsumed: limit } : {}),
  });
  // a refusal is a rejection with the same object
  return limit === settings.spent.limit
    ? (key) => limiter.consume(key).catch((refusal) => refusal)
    : (key) => limiter.consume(key);
}

/** What @upstash/ratelimit needs of a client. It asks for the script by its hash first; Redis does not know its flags. */
function upstashClient(send) {
  const loaded = new Map();
  const strings = (list) => list.map(String);
  return {
    async evalsha(hash, keys, args) {
      const sha = loaded.get(hash);
      if (sha === undefined) throw new Error("NOSCRIPT");
      return send(["EVALSHA", sha, String(keys.length), ...strings(keys), ...strings(args)]);
    },
    async eval(script, keys, args) {
      const plain = script.replace(/^\s*#!lua[^\n]*\n/, "");
      loaded.set(createHash("sha1").update(script).digest("hex"), await send(["SCRIPT", "LOAD", plain]));
      return send(["EVAL", plain, String(keys.length), ...strings(keys), ...strings(args)]);
    },
  };
}

async function upstash({ send }, { limit, window }, kind, cache) {
  const { Ratelimit } = await import("@upstash/ratelimit");
  const limiter = new Ratelimit({
    redis: upstashClient(send),
    limiter: Ratelimit[kind](limit, `${window} ms`),
    ephemeralCache: cache ? new Map() : false,
    prefix: "up",
    analytics: false,
  });
  return (key) => limiter.limit(key);
}

const peers = {
  "rate-limiter-flexible": (client, setting, name) => flexible(client, setting, name, false),
  "rate-limiter-flexible, inMemoryBlockOnConsumed": (client, setting, name) => flexible(client, setting, name, true),
  async "rate-limit-redis"({ send }, { window }) {
    const { RedisStore } = await import("rate-limit-redis");
    const store = new RedisStore({ sendCommand: (...args) => send(args) });
    await store.init({ windowMs: window });
    return (key) => store.increment(key);
  },
  async "hono-rate-limiter"({ send }, { window }) {
    const { RedisStore } = await import("hono-rate-limiter");
    const store = new RedisStore({
      client: {
        scriptLoad: (script) => send(["SCRIPT", "LOAD", script]),
        evalsha: (sha, keys, args) => send(["EVALSHA", sha, String(keys.length), ...keys, ...args]),
        del: (key) => send(["DEL", key]),
        decr: (key) => send(["DECR", key]),
      },
    });
    store.init({ windowMs: window });
    return (key) => store.increment(key);
  },
  async "@fastify/rate-limit"({ client }, { limit, window }) {
    const { default: RedisStore } = await import("@fastify/rate-limit/store/RedisStore.js");
    const store = new RedisStore(false, false, client);
    return (key) =>
      new Promise((resolve, reject) => {
        store.incr(key, (error, result) => (error ? reject(error) : resolve(result)), window, limit);
      });
  },
  "@upstash/ratelimit fixed window": (client, setting) => upstash(client, setting, "fixedWindow", false),
  "@upstash/ratelimit fixed window, ephemeralCache": (client, setting) => upstash(client, setting, "fixedWindow", true),
  "@upstash/ratelimit sliding window, ephemeralCache": (client, setting) =>
    upstash(client, setting, "slidingWindow", true),
};

/** Options of the store, by what follows `sluice` in a name. */
const variants = {
  "": {},
  ", prefetch": { prefetch: { max: 10_000, maxAge: "1s" } },
  ", no denial cache": { denialCache: false },
};

/** `sluice`, as `build` holds it, or `sluice=path` of another build, either followed by a variant; or a peer. */
export async function makeLibrary(name, clientName, client, setting, build) {
  if (!name.startsWith("sluice")) return peers[name](client, setting, clientName);
  const [, path, variant] = /^sluice(?:=([^,]+))?(,.*)?$/.exec(name);
  const options = variants[variant ?? ""];
  return sluice(client, setting, options, path === undefined ? build : new URL(path, "file:///"));
}
