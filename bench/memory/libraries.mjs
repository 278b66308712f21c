// The peers and sluice behind one shape: `call(key)`, one charged call through the library's public method, and
// `read(result)`, which reads all of what came back into one number.

const hour = 3_600_000;
const day = 24 * hour;

/**
 * How much is allowed: `limit` calls in `window` ms, and the token bucket that sluice is given for it. In `plenty` and
 * `brief` nothing is ever refused, in `scarce` all but the first calls are; the keys of `lasting` stay in debt, so that
 * they cannot expire while they are measured; `logged` is what an exact log is weighed with.
 */
export const settings = {
  plenty: { limit: 1_000_000_000, window: hour, bucket: { rate: 1_000_000, per: "1s", burst: 1_000_000_000 } },
  brief: { limit: 1_000_000_000, window: 1000, bucket: { rate: 1_000_000_000, per: "1s" } },
  scarce: { limit: 10, window: hour, bucket: { rate: 10, per: "1h" } },
  lasting: { limit: 1000, window: day, bucket: { rate: 1000, per: "1d" } },
  logged: { limit: 1_000_000, window: hour, bucket: { rate: 1_000_000, per: "1h" } },
};

/** The build of sluice beside which another may be measured: `sluice=path/to/index.js`. */
const built = new URL("../../packages/sluice/dist/index.js", import.meta.url).href;

/** The policies of sluice under test, by name. */
const policies = {
  "token bucket": (s, { bucket }) => s.tokenBucket(bucket),
  "token bucket, ticks of 3 3/5 µs": (s, { limit, window }) => s.tokenBucket({ rate: limit, per: window }),
  "token bucket, interval": (s, { limit, window }) => s.tokenBucket({ rate: limit, per: window, refill: "interval" }),
  "fixed window": (s, { limit, window }) => s.fixedWindow({ limit, window }),
  "fixed window, epoch": (s, { limit, window }) => s.fixedWindow({ limit, window, anchor: "epoch" }),
  "sliding counter": (s, { limit, window }) => s.slidingCounter({ limit, window }),
  "sliding window": (s, { limit, window }) => s.slidingWindow({ limit, window }),
  "token bucket and fixed window": (s, { limit, window, bucket }) => [
    s.tokenBucket(bucket),
    s.fixedWindow({ limit, window, name: "hourly" }),
  ],
};
export const policyNames = Object.keys(policies);

async function sluice({ policy = "token bucket", maxKeys = 1_000_000, clock, ...setting }, path = built) {
  const library = await import(path);
  const store = library.memoryStore(clock === undefined ? { maxKeys } : { maxKeys, clock });
  const limiter = library.rateLimiter(policies[policy](library, setting), { store });
  return {
    call: (key) => limiter.consumeSync(key),
    read: (decision) =>
      decision.remaining +
      decision.retryAfter +
      decision.resetAfter +
      decision.limit +
      decision.policy.length +
      (decision.allowed ? 1 : 0) +
      (decision.degraded ? 1 : 0),
  };
}

const peers = {
  "rate-limiter-flexible RateLimiterMemory": {
    isAsync: true,
    async make({ limit, window }) {
      const { RateLimiterMemory } = await import("rate-limiter-flexible");
      const limiter = new RateLimiterMemory({ points: limit, duration: window / 1000 });
      return {
        // a refusal is a rejection with the same object
        call: (key) => limiter.consume(key).catch((refusal) => refusal),
        admit: (key) => limiter.consume(key),
        read: (result) => result.remainingPoints + result.msBeforeNext + result.consumedPoints,
      };
    },
  },
  "express-rate-limit MemoryStore": {
    isAsync: true,
    async make({ window }) {
      const { MemoryStore } = await import("express-rate-limit");
      const store = new MemoryStore();
      store.init({ windowMs: window });
      return { call: (key) => store.increment(key), read: readHits };
    },
  },
  "hono-rate-limiter MemoryStore": {
    async make({ window }) {
      const { MemoryStore } = await import("hono-rate-limiter");
      const store = new MemoryStore();
      store.init({ windowMs: window });
      return { call: (key) => store.increment(key), read: readHits };
    },
  },
  "@fastify/rate-limit LocalStore": {
    async make({ limit, window, maxKeys = 1_000_000 }) {
      const { default: LocalStore } = await import("@fastify/rate-limit/store/LocalStore.js");
      const store = new LocalStore(false, false, maxKeys);
      let found;
      const note = (_error, result) => {
        found = result;
      };
      return {
        call: (key) => {
          store.incr(key, note, window, limit);
          return found;
        },
        read: (result) => result.current + result.ttl,
      };
    },
  },
  "limiter RateLimiter in a Map": {
    async make({ limit }) {
      const { RateLimiter } = await import("limiter");
      const limiters = new Map();
      return {
        call: (key) => {
          let limiter = limiters.get(key);
          if (limiter === undefined) {
            limiter = new RateLimiter({ tokensPerInterval: limit, interval: "hour" });
            limiters.set(key, limiter);
          }
          return limiter.tryRemoveTokens(1);
        },
        read: (allowed) => (allowed ? 1 : 0),
      };
    },
  },
};

function readHits(client) {
  return client.totalHits + client.resetTime.getTime();
}

export const peerNames = Object.keys(peers);

/** `sluice`, `sluice=path` or a peer; throws for anything else. */
export async function makeLibrary(name, setting) {
  if (name === "sluice") return { isAsync: false, ...(await sluice(setting)) };
  if (name.startsWith("sluice=")) return { isAsync: false, ...(await sluice(setting, name.slice("sluice=".length))) };
  const peer = peers[name];
  if (peer === undefined) throw new Error(`No library ${name}`);
  const { call, admit = call, read } = await peer.make(setting);
  return { isAsync: peer.isAsync === true, call: setting.limit === settings.scarce.limit ? call : admit, read };
}
