import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { GlideClient } from "@valkey/valkey-glide";
import { Redis } from "ioredis";
import * as redis6 from "redis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { type Found, freePort } from "../../../../../scripts/servers.mjs";
import { everyClient } from "../../../test/clients.js";
import { until } from "../../../test/cluster.js";
import { type FaultyProxy, startProxy } from "../../../test/faults/proxy.js";
import { type PrivateServer, startPrivateServer } from "../../../test/faults/server.js";
import { type Timed, timed } from "../../../test/faults/timed.js";
import { endless } from "../../../test/fleet/orders.js";
import { fixedWindow } from "../../algorithms/fixed-window/fixed-window.js";
import { slidingWindow } from "../../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../../algorithms/token-bucket/token-bucket.js";
import { StoreError } from "../../core/errors.js";
import { all, type RateLimiter } from "../../core/limiter.js";
import type { Store } from "../../core/store.js";
import { rateLimiter } from "../../rate-limiter.js";
import { connect } from "./clients.js";
import { redisStore } from "./redis.js";

const program = inject("program") as Found;
const timeout = 120;
/** ms that a call may take beyond its deadline. */
const grace = 100;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});
function cleanup<T>(thing: T, end: (thing: T) => unknown): T {
  ends.push(() => end(thing));
  return thing;
}

let server: PrivateServer;
let proxy: FaultyProxy;
let observer: Redis;
beforeAll(async () => {
  server = await startPrivateServer(program);
  proxy = await startProxy(server.port);
  observer = new Redis(server.url);
  observer.on("error", () => {});
});
afterAll(async () => {
  observer?.disconnect();
  await proxy?.close();
  await server?.stop();
});

const policy = fixedWindow({ limit: 100_000, window: endless });

function limiterOn(store: Store, options = {}): RateLimiter {
  return cleanup(rateLimiter(policy, { store, name: randomUUID(), timeout, ...options }), (limiter) => limiter.close());
}
function storeOn(client: unknown): Store {
  return cleanup(redisStore(client, { denialCache: false }), (store) => store.close());
}

/** Every verb once, at the same time. */
function everyVerb(limiter: RateLimiter, other: RateLimiter): Record<string, () => Promise<unknown>> {
  return {
    consume: () => limiter.consume("a"),
    peek: () => limiter.peek("b"),
    wait: () => limiter.wait("c"),
    reserve: () => limiter.reserve("d"),
    "reserve, waiting": () => limiter.reserve("e", { maxWait: "1s" }),
    charge: () => limiter.charge("f"),
    refund: () => limiter.refund("g"),
    reset: () => limiter.reset("h"),
    run: () => limiter.run("i", () => 1),
    all: () => all(limiter.for("j"), other.for("k")).consume(),
    "all, waiting": () => all(limiter.for("j"), other.for("k")).wait(),
    "one key": () => limiter.for("l").consume(),
  };
}

async function timedVerbs(limiter: RateLimiter, other: RateLimiter): Promise<Record<string, Timed<unknown>>> {
  const verbs = Object.entries(everyVerb(limiter, other));
  return Object.fromEntries(
    await Promise.all(verbs.map(async ([name, call]) => [name, await timed(call, timeout)] as const)),
  );
}

const expectInTime = (outcomes: Record<string, Timed<unknown>>): void => {
  const late = Object.entries(outcomes).filter(([, { overdue }]) => overdue > grace);
  expect(late.map(([name, { overdue }]) => `${name}: ${Math.round(overdue)} ms`)).toEqual([]);
};
const expectFailed = (outcomes: Record<string, Timed<unknown>>): void => {
  const others = Object.entries(outcomes).filter(([, { error }]) => !(error instanceof StoreError));
  expect(
    others.map(
      ([name, { error, value }]) => `${name}: ${error instanceof Error ? error.message : JSON.stringify(value)}`,
    ),
  ).toEqual([]);
};

/** Asks until the store answers; ms it took. */
async function untilUsed(limiter: RateLimiter, most = 5000): Promise<number> {
  const began = performance.now();
  await until(async () => (await limiter.consume("back").catch(() => undefined))?.allowed === true, most);
  return performance.now() - began;
}

/** One client of each make; what they have in common across versions is tested elsewhere. */
const libraries = everyClient().filter(({ name }) => /^(ioredis 6|node-redis 6|valkey-glide 2)$/.test(name));
const hangs = [
  [
    "stopped (SIGSTOP)",
    async () => {
      server.pause();
      return async () => server.resume();
    },
  ],
  [
    "asleep (DEBUG SLEEP)",
    async () => {
      const slept = observer.call("DEBUG", "SLEEP", "1").catch(() => {});
      await sleep(20);
      return () => slept;
    },
  ],
  [
    "a black hole",
    async () => {
      proxy.mode({ kind: "blackhole" });
      return async () => {
        // what was dropped would shift the replies, which no real connection does
        proxy.mode({ kind: "pass" });
        proxy.reset();
      };
    },
  ],
] as const;

describe.each(libraries.map((library) => ({ name: library.name, library })))("through $name", ({ library }) => {
  const open = async (port = proxy.port): Promise<{ client: unknown; store: Store }> => {
    const opened = cleanup(await library.open(`redis://127.0.0.1:${port}`), (client) => client.close());
    return { client: opened.client, store: storeOn(opened.client) };
  };

  it.each(hangs)(
    "no verb outlives its deadline when the server is %s, and it is used again within a second",
    async (_, hang) => {
      const { client, store } = await open();
      const [limiter, other] = [limiterOn(store), limiterOn(store)];
      await untilUsed(limiter);
      const end = await hang();
      const listeners = () =>
        (client as { eventNames?(): string[]; listenerCount?(name: string): number })
          .eventNames?.()
          .map((name) => [name, (client as { listenerCount(name: string): number }).listenerCount(name)]);
      const before = listeners();
      try {
        const outcomes = await timedVerbs(limiter, other);
        expectInTime(outcomes);
        expectFailed(outcomes);
        expect(Object.values(outcomes).map(({ error }) => (error as StoreError).code)).toContain("ERR_STORE_TIMEOUT");

        // dead by now: it costs nothing; the best of a few rounds, for this process may be held up itself
        const middles: number[] = [];
        for (let round = 0; round < 4; round++) {
          const quick = await timedVerbs(limiter, other);
          expectFailed(quick);
          middles.push(
            ...Object.values(quick)
              .map(({ took }) => took)
              .toSorted((one, two) => one - two)
              .slice(5, 6),
          );
        }
        expect(Math.min(...middles)).toBeLessThan(5);
      } finally {
        await end();
      }
      await until(() =>
        connect(client)
          .send(["PING"], "ping")
          .then(
            () => true,
            () => false,
          ),
      );
      expect(await untilUsed(limiter)).toBeLessThan(1000);
      expect(listeners()).toEqual(before);
    },
  );

  it("a server that dies and comes back is used again within a second of answering its client", async () => {
    const { client, store } = await open();
    const limiter = limiterOn(store);
    await untilUsed(limiter);
    await server.kill();
    const outcomes = await timedVerbs(limiter, limiterOn(store));
    expectInTime(outcomes);
    expectFailed(outcomes);
    expectFailed(await timedVerbs(limiter, limiterOn(store)));
    await server.start();
    await until(() =>
      connect(client)
        .send(["PING"], "ping")
        .then(
          () => true,
          () => false,
        ),
    );
    expect(await untilUsed(limiter)).toBeLessThan(1000);
  });

  it("a grant that comes too late is for nobody: what waited or reserved is given back, nothing is handed out", async () => {
    const { store } = await open();
    const limiter = limiterOn(store);
    await untilUsed(limiter);
    const name = randomUUID();
    const [late, look] = [limiterOn(store, { name }), limiterOn(storeOn(observer), { name, timeout: "5s" })];
    server.pause();
    const calls = [late.wait("w"), late.reserve("r"), late.reserve("m", { maxWait: "1s" }), late.for("o").wait()];
    const consumed = late.consume("c");
    const outcomes = await Promise.allSettled([...calls, consumed]);
    server.resume();
    expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => "rejected"));
    for (const key of ["w", "r", "m", "o"]) {
      await until(async () => (await look.peek(key)).remaining === policy.limit);
    }
    // a plain call stays counted: nobody can tell whether it was
    expect((await look.peek("c")).remaining).toBe(policy.limit - 1);
  });

  it("a process that stalls does not blame the store for answers that are there", async () => {
    // the proxy is a part of this process, and would stall too
    const { store } = await open(server.port);
    const limiter = limiterOn(store);
    await untilUsed(limiter);
    for (let round = 0; round < 3; round++) {
      const calls = [
        limiter.consume("a"),
        limiter.peek("b"),
        limiter.wait("c"),
        limiter.reserve("d"),
        limiter.charge("e"),
      ];
      // once everything is on its way
      await new Promise(setImmediate);
      const end = performance.now() + 300;
      while (performance.now() < end);
      const outcomes = await Promise.allSettled(calls);
      expect(outcomes.map(({ status }) => status)).toEqual(calls.map(() => "fulfilled"));
    }
  });

  it("two thousand calls queued while the store hangs are all answered in time, and leave nothing behind", async () => {
    const { store } = await open();
    const limiter = limiterOn(store);
    await untilUsed(limiter);
    server.pause();
    const outcomes: Timed<unknown>[] = [];
    try {
      const ask = async (key: string): Promise<void> => {
        outcomes.push(await timed(() => limiter.consume(key), timeout));
      };
      const asked: Promise<void>[] = [];
      for (let turn = 0; turn < 20; turn++) {
        for (let call = 0; call < 100; call++) asked.push(ask(`key-${turn}-${call}`));
        await new Promise(setImmediate);
      }
      await Promise.all(asked);
    } finally {
      server.resume();
    }
    expect(outcomes).toHaveLength(2000);
    expect(outcomes.every(({ error }) => error instanceof StoreError)).toBe(true);
    // two thousand errors take this process a while to make
    expect(Math.max(...outcomes.map(({ overdue }) => overdue))).toBeLessThan(6 * grace);
    await untilUsed(limiter);
    // what waited here was never sent: four calls of 64 were under way, and a few more until the breaker opened
    const counted = (await observer.keys(`*key-*`)).length;
    expect(counted).toBeLessThanOrEqual(256 + 5 * 64);
    await observer.flushall();
  });
});

describe("of two limiters that ask in one turn", () => {
  it("each keeps its own deadline, whoever asks first", async () => {
    const client = cleanup(new Redis(server.url), (redis) => redis.disconnect());
    client.on("error", () => {});
    const store = storeOn(client);
    const [patient, hasty] = [limiterOn(store, { timeout: 900 }), limiterOn(store, { timeout: 60 })];
    await untilUsed(patient);
    server.pause();
    try {
      for (const order of [
        [patient, hasty],
        [hasty, patient],
      ]) {
        const outcomes = await Promise.all(
          order.map((limiter) => timed(() => limiter.consume("key"), limiter === hasty ? 60 : 900)),
        );
        for (const { overdue, error } of outcomes) {
          expect(overdue).toBeLessThan(grace);
          expect(error).toBeInstanceOf(StoreError);
        }
        const took = outcomes.map((each) => each.took);
        expect(Math.max(...took)).toBeGreaterThan(850);
      }
    } finally {
      server.resume();
    }
  });
});

describe("all over two stores", () => {
  it("has one deadline for all of it, and gives back what was granted before the other failed", async () => {
    const dead = cleanup(new Redis(proxy.port, "127.0.0.1"), (redis) => redis.disconnect());
    dead.on("error", () => {});
    const [here, there] = [limiterOn(storeOn(observer)), limiterOn(storeOn(dead))];
    await untilUsed(there);
    await untilUsed(here);
    // so slow that a look is answered in time, and a decision after it is not
    proxy.mode({ kind: "delay", ms: 40 });
    try {
      const outcome = await timed(() => all(here.for("user"), there.for("tenant")).consume(), timeout);
      expect(outcome.overdue).toBeLessThan(grace);
      expect(outcome.error).toBeInstanceOf(StoreError);
      await until(async () => (await here.peek("user")).remaining === policy.limit);
      await until(async () => (await there.peek("tenant").catch(() => undefined))?.remaining === policy.limit);
    } finally {
      proxy.mode({ kind: "pass" });
    }
  });
});

describe("a start with Redis down works once Redis is up", () => {
  const starts: [string, (port: number) => unknown][] = [
    [
      "ioredis 6",
      (port) => {
        const client = cleanup(new Redis(port, "127.0.0.1"), (redis) => redis.disconnect());
        client.on("error", () => {});
        return client;
      },
    ],
    [
      "ioredis 6 that never gives up on a command",
      (port) => {
        const options = { maxRetriesPerRequest: null };
        const client = cleanup(new Redis(port, "127.0.0.1", options), (redis) => redis.disconnect());
        client.on("error", () => {});
        return client;
      },
    ],
    [
      "node-redis 6",
      (port) => {
        const client = redis6.createClient({ url: `redis://127.0.0.1:${port}` });
        cleanup(client, (redis) => redis.destroy());
        client.on("error", () => {});
        client.connect().catch(() => {});
        return client;
      },
    ],
    [
      "valkey-glide 2",
      async (port) =>
        cleanup(
          await GlideClient.createClient({
            addresses: [{ host: "127.0.0.1", port }],
            lazyConnect: true,
            requestTimeout: 1000,
          }),
          (client) => client.close(),
        ),
    ],
  ];

  it.each(starts)("%s", async (_, create) => {
    const port = await freePort();
    const client = await create(port);
    const limiter = limiterOn(storeOn(client));
    const outcomes = await timedVerbs(limiter, limiter);
    expectInTime(outcomes);
    expectFailed(outcomes);
    const late = cleanup(await startPrivateServer(program, { extra: ["--port", String(port)] }), (each) => each.stop());
    expect(late.port).not.toBe(port);
    await until(() =>
      connect(client)
        .send(["PING"], "ping")
        .then(
          () => true,
          () => false,
        ),
    );
    expect(await untilUsed(limiter)).toBeLessThan(1000);
    expect((await limiter.consume("first")).remaining).toBe(policy.limit - 1);
  });
});

it("a probe that is answered late does not leave a pile of questions in the client", async () => {
  const client = cleanup(new Redis(server.url), (redis) => redis.disconnect());
  client.on("error", () => {});
  const limiter = limiterOn(storeOn(client), { timeout: 30 });
  await untilUsed(limiter);
  server.pause();
  const end = performance.now() + 1200;
  try {
    while (performance.now() < end) await limiter.consume("key").catch(() => sleep(5));
  } finally {
    server.resume();
  }
  await untilUsed(limiter);
  // five calls opened the breaker, and four probes a second followed
  expect((client as unknown as { commandQueue: { length: number } }).commandQueue.length).toBeLessThan(5);
});

it("policies of every kind fail alike", async () => {
  const client = cleanup(new Redis(server.url), (redis) => redis.disconnect());
  client.on("error", () => {});
  const store = storeOn(client);
  const kinds = [
    tokenBucket({ rate: 5, per: endless }),
    slidingWindow({ limit: 5, window: endless }),
    [policy, slidingWindow({ limit: 5, window: "1d", name: "second" })],
  ];
  const limiters = kinds.map((each) =>
    cleanup(rateLimiter(each, { store, name: randomUUID(), timeout }), (limiter) => limiter.close()),
  );
  await Promise.all(limiters.map((limiter) => limiter.consume("key")));
  server.pause();
  const outcomes = await Promise.all(limiters.map((limiter) => timed(() => limiter.consume("key"), timeout)));
  server.resume();
  for (const { error, overdue } of outcomes) {
    expect(error).toMatchObject({ code: "ERR_STORE_TIMEOUT" });
    expect(overdue).toBeLessThan(grace);
  }
});
