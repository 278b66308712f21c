import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import type { Found } from "../../../../../scripts/servers.mjs";
import { everyClient } from "../../../test/clients.js";
import { until } from "../../../test/cluster.js";
import { type FaultMode, type FaultyProxy, startProxy } from "../../../test/faults/proxy.js";
import { type PrivateServer, startPrivateServer } from "../../../test/faults/server.js";
import { programOf } from "../../../test/fleet/fleet.js";
import { endless } from "../../../test/fleet/orders.js";
import { fixedWindow } from "../../algorithms/fixed-window/fixed-window.js";
import { slidingWindow } from "../../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../../algorithms/token-bucket/token-bucket.js";
import { MaxWaitExceededError, RateLimitExceededError, StoreError } from "../../core/errors.js";
import { all, type LimiterOptions, type RateLimiter, type StoreFailureAnswer } from "../../core/limiter.js";
import type { Store } from "../../core/store.js";
import { rateLimiter } from "../../rate-limiter.js";
import { memoryStore } from "../memory/memory.js";
import { redisStore } from "./redis.js";

const program = inject("program") as Found;
const libraries = everyClient().filter(({ name }) => /^(ioredis 6|node-redis 6|valkey-glide 2)$/.test(name));

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});
function cleanup<T>(thing: T, end: (thing: T) => unknown): T {
  ends.push(() => end(thing));
  return thing;
}
function storeOn(client: unknown): Store {
  return cleanup(redisStore(client, { denialCache: false }), (store) => store.close());
}
const first = fixedWindow({ limit: 10, window: endless, name: "first" });
const second = slidingWindow({ limit: 20, window: endless, name: "second" });
function limiterOn(store: Store, options: LimiterOptions = {}): RateLimiter {
  const limiter = rateLimiter([first, second], { store, name: randomUUID(), timeout: "1s", ...options });
  return cleanup(limiter, (each) => each.close());
}

describe("a store that does not answer", () => {
  /** Rejects whatever it is asked, as a client does that has lost its server. */
  const gone = new Error("the server is gone");
  const dead = { send: () => Promise.reject(gone) };
  const silent = { send: () => new Promise(() => {}) };

  function limiter(whenStoreFails: StoreFailureAnswer, client: unknown = dead): RateLimiter {
    return limiterOn(storeOn(client), { whenStoreFails, timeout: 30 });
  }
  const verbs: [string, (limiter: RateLimiter) => Promise<unknown>][] = [
    ["consume", (each) => each.consume("key")],
    ["peek", (each) => each.peek("key")],
    ["wait", (each) => each.wait("key")],
    ["reserve", async (each) => (await each.reserve("key")).decision],
    ["reserve, waiting", async (each) => (await each.reserve("key", { maxWait: "1s" })).decision],
    ["charge", (each) => each.charge("key")],
    ["one key", (each) => each.for("key").consume()],
    ["all", (each) => all(each.for("key"), each.for("other")).consume()],
    ["all, waiting", (each) => all(each.for("key"), each.for("other")).wait()],
  ];
  const throwing = new Set(["wait", "reserve", "reserve, waiting", "all, waiting"]);
  const parts = (names: readonly string[], allowed: boolean) =>
    names.map((policy) => expect.objectContaining({ policy, allowed }));
  const names = (verb: string) =>
    verb.startsWith("all") ? ["first", "second", "first", "second"] : ["first", "second"];

  it.each(verbs)("%s throws a StoreError with the client's error as its cause, by default", async (_, verb) => {
    await expect(verb(limiter("throw"))).rejects.toMatchObject({
      name: "StoreError",
      code: "ERR_STORE_UNAVAILABLE",
      cause: gone,
    });
    await expect(verb(limiter("throw", silent))).rejects.toMatchObject({
      name: "StoreError",
      code: "ERR_STORE_TIMEOUT",
    });
  });

  it.each(verbs)("%s is allowed, and marked, by 'allow'", async (name, verb) => {
    for (const client of [dead, silent]) {
      expect(await verb(limiter("allow", client))).toMatchObject({
        allowed: true,
        degraded: true,
        remaining: 0,
        retryAfter: 0,
        parts: parts(names(name), true),
      });
    }
  });

  it.each(verbs)("%s is refused, and marked, by 'deny'; a charge has nothing to refuse", async (name, verb) => {
    for (const client of [dead, silent]) {
      const asked = verb(limiter("deny", client));
      if (throwing.has(name)) {
        const error = (await asked.catch((reason: unknown) => reason)) as RateLimitExceededError;
        expect(error).toBeInstanceOf(RateLimitExceededError);
        expect(error.decision).toMatchObject({ allowed: false, degraded: true, parts: parts(names(name), false) });
        expect(error.retryAfter).toBeGreaterThan(0);
      } else {
        const decision = (await asked) as { retryAfter: number };
        expect(decision).toMatchObject({ allowed: name === "charge", degraded: true });
        if (name !== "charge") expect(decision.retryAfter).toBeGreaterThan(0);
      }
    }
  });

  it.each(verbs)("%s is answered by another limiter, and marked", async (name, verb) => {
    const stead = rateLimiter(fixedWindow({ limit: 2, window: "1h", name: "stead" }), { store: memoryStore() });
    for (const client of [dead, silent]) {
      await stead.reset("key");
      expect(await verb(limiter(stead, client))).toMatchObject({ allowed: true, degraded: true, policy: "stead" });
    }
    // both keys of a group were asked of it
    const spent = (await stead.peek("key")).remaining;
    expect(spent).toBe(name === "peek" ? 2 : 1);
    await stead.reset("key");
    await stead.charge("key", { cost: 2 });
    const refused = verb(limiter(stead));
    if (name === "wait" || name === "all, waiting") {
      // it waits for the other's turn
      const impatient = rateLimiter(fixedWindow({ limit: 2, window: "1h" }), { store: memoryStore() });
      await impatient.consume("key", { cost: 2 });
      await expect(limiter(impatient).wait("key", { maxWait: 5 })).rejects.toBeInstanceOf(MaxWaitExceededError);
      await stead.close();
      await expect(refused).rejects.toMatchObject({ code: "ERR_CLOSED" });
    } else if (throwing.has(name)) {
      await expect(refused).rejects.toThrow();
    } else {
      expect(await refused).toMatchObject({ allowed: name === "charge", degraded: true });
    }
  });

  it("run runs by 'allow', and does not by 'throw' and 'deny'", async () => {
    let ran = 0;
    const task = () => {
      ran += 1;
      return ran;
    };
    await expect(limiter("throw").run("key", task)).rejects.toBeInstanceOf(StoreError);
    await expect(limiter("deny").run("key", task)).rejects.toBeInstanceOf(RateLimitExceededError);
    expect(ran).toBe(0);
    await expect(limiter("allow").run("key", task)).resolves.toBe(1);
    const stead = rateLimiter(fixedWindow({ limit: 1, window: "1h" }), { store: memoryStore() });
    await expect(limiter(stead).run("key", task)).resolves.toBe(2);
  });

  it("refund is heard by nobody, or by the other limiter; reset always throws", async () => {
    const stead = rateLimiter(fixedWindow({ limit: 2, window: "1h" }), { store: memoryStore() });
    await stead.consume("key", { cost: 2 });
    await expect(limiter("throw").refund("key")).rejects.toBeInstanceOf(StoreError);
    for (const answer of ["allow", "deny"] as const)
      await expect(limiter(answer).refund("key")).resolves.toBeUndefined();
    await limiter(stead).refund("key");
    expect((await stead.peek("key")).remaining).toBe(1);
    for (const answer of ["throw", "allow", "deny", stead] as const) {
      await expect(limiter(answer).reset("key")).rejects.toBeInstanceOf(StoreError);
    }
  });

  it("settle and cancel of a reservation that another limiter gave correct that one", async () => {
    const stead = rateLimiter(fixedWindow({ limit: 9, window: "1h" }), { store: memoryStore() });
    const reservation = await limiter(stead).reserve("key", { cost: 5 });
    expect(reservation.decision.degraded).toBe(true);
    await reservation.settle(2);
    expect((await stead.peek("key")).remaining).toBe(7);
  });

  it("the strictest of a group counts", async () => {
    const group = (...answers: StoreFailureAnswer[]) =>
      all(...answers.map((answer) => limiter(answer).for("key"))).consume();
    await expect(group("allow", "deny", "throw")).rejects.toBeInstanceOf(StoreError);
    expect(await group("allow", "deny")).toMatchObject({ allowed: false, degraded: true });
    const stead = rateLimiter(fixedWindow({ limit: 9, window: "1h" }), { store: memoryStore() });
    expect(await group("allow", stead)).toMatchObject({ allowed: true, degraded: true, remaining: 8 });
  });

  it("a shadow limiter never refuses, whatever its answer to a failure", async () => {
    const shadow = limiterOn(storeOn(dead), { whenStoreFails: "deny", shadow: true });
    expect(await shadow.consume("key")).toMatchObject({ allowed: true, degraded: true });
    await expect(shadow.wait("key")).resolves.toMatchObject({ allowed: true, degraded: true });
  });

  it.each([
    ["nothing", undefined],
    ["a word", "OK"],
    ["an empty list", []],
    ["a list of nonsense", ["x", {}, null]],
    ["a moment and nothing else", [1_700_000_000_000_000]],
    ["another question's answer", [1_700_000_000_000_000, null, null, null, null, null, null]],
    ["the answer of TIME", ["1700000000", "123456"]],
  ])("a reply that is no answer to the question is a failure: %s", async (_, reply) => {
    const odd = { send: async () => reply };
    for (const [name, verb] of verbs) {
      await expect(verb(limiter("throw", odd)), name).rejects.toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
    }
    await expect(limiter("throw", odd).refund("key")).rejects.toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
  });

  it.each([
    ["a list", [1_700_000_000_000_000, ["0"], ["0"]]],
    ["an object", [1_700_000_000_000_000, {}, {}]],
    ["true", [1_700_000_000_000_000, true, true]],
  ])("a row that is no text is a failure, and not a key that is new: %s", async (_, reply) => {
    const store = storeOn({ send: async () => reply });
    const rows = [first, fixedWindow({ limit: 20, window: endless, name: "second" })];
    const odd = cleanup(rateLimiter(rows, { store, name: randomUUID(), timeout: 30 }), (each) => each.close());
    for (const [name, verb] of verbs) {
      if (name.startsWith("all")) continue;
      await expect(verb(odd), name).rejects.toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
    }
  });

  it("a client that throws instead of rejecting is a failure too", async () => {
    const rude = {
      send: () => {
        throw gone;
      },
    };
    for (const [name, verb] of verbs) {
      await expect(verb(limiter("throw", rude)), name).rejects.toMatchObject({
        code: "ERR_STORE_UNAVAILABLE",
        cause: gone,
      });
    }
  });
});

describe("a server that refuses", () => {
  let server: PrivateServer;
  let observer: Redis;
  beforeAll(async () => {
    const loading = ["--key-load-delay", "3000", "--loading-process-events-interval-bytes", "1024"];
    const extra = [...loading, "--rdbcompression", "no", "--busy-reply-threshold", "100"];
    server = await startPrivateServer(program, { extra });
    observer = new Redis(server.url, { maxRetriesPerRequest: 0 });
    observer.on("error", () => {});
  });
  afterAll(async () => {
    observer?.disconnect();
    await server?.stop();
  });

  const faults: [string, RegExp, () => Promise<() => Promise<unknown>>][] = [
    [
      "READONLY",
      /read ?only/i,
      async () => {
        await observer.replicaof("127.0.0.1", 1);
        return () => observer.replicaof("NO", "ONE");
      },
    ],
    [
      "OOM",
      /OOM/,
      async () => {
        await observer.config("SET", "maxmemory", "1");
        return () => observer.config("SET", "maxmemory", "0");
      },
    ],
    [
      "BUSY",
      /BUSY/,
      async () => {
        const killer = new Redis(server.url);
        killer.on("error", () => {});
        await killer.ping();
        const loop = observer.eval("while true do end", 0).catch(() => {});
        await until(() =>
          killer.ping().then(
            () => false,
            (error: Error) => error.message.startsWith("BUSY"),
          ),
        );
        return async () => {
          await killer.script("KILL");
          killer.disconnect();
          await loop;
        };
      },
    ],
    [
      "LOADING",
      /loading/i,
      async () => {
        const pipeline = observer.pipeline();
        for (let index = 0; index < 300; index++) pipeline.set(`filler:${index}`, "x".repeat(2000));
        await pipeline.exec();
        const reload = observer.call("DEBUG", "RELOAD").catch(() => {});
        const watcher = new Redis(server.url, { enableReadyCheck: false });
        await until(() =>
          watcher.get("none").then(
            () => false,
            (error: Error) => error.message.startsWith("LOADING"),
          ),
        );
        return async () => {
          await reload;
          await until(() =>
            watcher.get("none").then(
              () => true,
              () => false,
            ),
          );
          watcher.disconnect();
          await observer.flushall();
        };
      },
    ],
  ];

  describe.each(libraries.map((library) => ({ name: library.name, library })))("through $name", ({ library }) => {
    it.each(faults)(
      "%s is a StoreError whose cause is the client's, for every verb; then it goes on",
      async (_, message, begin) => {
        const opened = cleanup(await library.open(server.url), (client) => client.close());
        const [limiter, other] = [limiterOn(storeOn(opened.client)), limiterOn(storeOn(opened.client))];
        await limiter.consume("key");
        const calls: (() => Promise<unknown>)[] = [
          () => limiter.consume("key"),
          () => limiter.wait("key"),
          () => other.reserve("key"),
          () => other.charge("key"),
        ];
        const end = await begin();
        try {
          for (const call of calls) {
            const error = (await call().catch((reason: unknown) => reason)) as StoreError;
            expect(error).toBeInstanceOf(StoreError);
            expect(error.code).toBe("ERR_STORE_UNAVAILABLE");
            expect(error.cause).toBeInstanceOf(Error);
            expect(`${(error.cause as Error).name} ${(error.cause as Error).message}`).toMatch(message);
          }
        } finally {
          await end();
        }
        const began = performance.now();
        await until(() =>
          limiter.consume("key").then(
            () => true,
            () => false,
          ),
        );
        expect(performance.now() - began).toBeLessThan(1000);
        // what was refused was not counted, except that a replica's refusals and a full memory's come before the first write
        expect((await other.peek("key")).remaining).toBe(10);
      },
    );
  });

  it("a key of another type, or with another's value, fails or is taken for new; its neighbours are not harmed for long", async () => {
    const name = randomUUID();
    const limiter = limiterOn(storeOn(observer), { name });
    await observer.hset(`sluice:${name}:first:{hash}`, "a", "b");
    await observer.set(`sluice:${name}:first:{words}`, "not a row of ours");
    await expect(limiter.consume("hash")).rejects.toMatchObject({
      code: "ERR_STORE_UNAVAILABLE",
      cause: { message: expect.stringContaining("WRONGTYPE") },
    });
    await expect(limiter.peek("hash")).rejects.toBeInstanceOf(StoreError);
    await expect(limiter.consume("neighbour")).resolves.toMatchObject({ allowed: true, remaining: 9 });
    const decision = await limiter.consume("words").catch((error: unknown) => error);
    if (!(decision instanceof StoreError)) expect(decision).toMatchObject({ allowed: true, remaining: 9 });
    await limiter.reset("hash");
    await limiter.reset("words");
    for (const key of ["hash", "words"])
      expect(await limiter.consume(key)).toMatchObject({ allowed: true, remaining: 9 });
  });

  it("a client that gives bytes instead of text is understood", async () => {
    const client = { send: ([name, ...args]: string[]) => observer.callBuffer(name as string, ...args) };
    for (const policies of [first, second, [first, second]]) {
      const limiter = rateLimiter(policies, { store: storeOn(client), name: randomUUID(), timeout: "1s" });
      const decisions = await Promise.all(Array.from({ length: 30 }, () => limiter.consume("key")));
      const least = policies === second ? 20 : 10;
      expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(least);
      expect((await limiter.peek("key")).remaining).toBe(0);
      await limiter.refund("key");
      expect((await limiter.consume("key")).remaining).toBe(0);
    }
  });

  it("a key with a single word of another is read alike on both sides", async () => {
    const name = randomUUID();
    const store = storeOn(observer);
    const limiter = rateLimiter(tokenBucket({ rate: 5, per: "1h" }), { store, name, timeout: "1s" });
    await observer.set(`sluice:${name}:default:{word}`, "banana");
    expect(await limiter.consume("word")).toMatchObject({ allowed: true, remaining: 4 });
    expect(await limiter.consume("word")).toMatchObject({ allowed: true, remaining: 3 });
  });
});

describe("a connection that is lost", () => {
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

  const breaks: [string, FaultMode][] = [
    ["swallowed, then reset", { kind: "swallow", ms: 30 }],
    ["cut off, then reset", { kind: "truncate", bytes: 7 }],
    ["turned into garbage", { kind: "garbage" }],
  ];

  describe.each(libraries.map((library) => ({ name: library.name, library })))("through $name", ({ library }) => {
    it.each(breaks)(
      "mid-flight, with replies %s: nothing is counted twice, nobody is left waiting",
      async (_, mode) => {
        const opened = cleanup(await library.open(`redis://127.0.0.1:${proxy.port}`), (client) => client.close());
        const name = randomUUID();
        const policy = fixedWindow({ limit: 1_000_000, window: endless });
        const limiter = cleanup(rateLimiter(policy, { store: storeOn(opened.client), name, timeout: 200 }), (each) =>
          each.close(),
        );
        const look = rateLimiter(policy, { store: storeOn(observer), name, timeout: "5s" });
        let [asked, acknowledged, unknown, unsent] = [0, 0, 0, 0];
        const over = new AbortController();
        const caller = async (): Promise<void> => {
          while (!over.signal.aborted) {
            asked += 1;
            try {
              if ((await limiter.consume("key")).allowed) acknowledged += 1;
            } catch (error) {
              expect(error).toBeInstanceOf(StoreError);
              if ((error as Error).message.includes("failed several times")) unsent += 1;
              else unknown += 1;
              await sleep(5);
            }
          }
        };
        const callers = Array.from({ length: 20 }, caller);
        for (let fault = 0; fault < 4; fault++) {
          await sleep(15);
          proxy.mode(mode);
          await sleep(40);
          proxy.mode({ kind: "pass" });
          if (mode.kind === "garbage") proxy.reset();
        }
        over.abort();
        await Promise.all(callers);
        expect(acknowledged + unknown + unsent).toBe(asked);
        expect(unknown).toBeGreaterThan(0);
        await until(() =>
          limiter.peek("key").then(
            () => true,
            () => false,
          ),
        );
        const counted = 1_000_000 - (await look.peek("key")).remaining;
        expect(counted).toBeGreaterThanOrEqual(acknowledged);
        expect(counted).toBeLessThanOrEqual(acknowledged + unknown);
        await until(() =>
          limiter.consume("key").then(
            () => true,
            () => false,
          ),
        );
        acknowledged = counted + 1;
        expect(1_000_000 - (await look.peek("key")).remaining).toBe(acknowledged);
      },
    );
  });
});

describe("closing", () => {
  it("leaves the caller's client open, and ends what is under way", async () => {
    const [any] = inject("servers");
    for (const library of libraries) {
      const opened = cleanup(await library.open((any as { url: string }).url), (client) => client.close());
      const store = redisStore(opened.client);
      const limiter = rateLimiter(first, { store, name: randomUUID(), timeout: "5s" });
      const asked = limiter.consume("key");
      await limiter.close();
      await expect(asked).resolves.toMatchObject({ allowed: true });
      await expect(limiter.consume("key")).rejects.toMatchObject({ code: "ERR_CLOSED" });
      const again = rateLimiter(second, { store, name: randomUUID(), timeout: "5s" });
      const last = again.consume("key");
      await store.close();
      await expect(last).resolves.toMatchObject({ allowed: true });
      await expect(again.consume("key")).rejects.toMatchObject({ code: "ERR_CLOSED" });
      const other = redisStore(opened.client);
      await expect(
        rateLimiter(first, { store: other, name: randomUUID(), timeout: "5s" }).consume("key"),
      ).resolves.toMatchObject({ allowed: true });
      await other.close();
    }
  });

  it("lets a process end whose store is dead, with calls, a breaker and a probe behind it", async () => {
    const child = cleanup(await programOf(resolve(import.meta.dirname, "../../../test/fleet/orphan.ts")), (each) =>
      each.remove(),
    );
    const server = cleanup(await startPrivateServer(program), (each) => each.stop());
    const process = child.start([server.url]);
    const exit = new Promise((done) => {
      process.once("exit", done);
    });
    await new Promise((done) => {
      process.once("message", done);
    });
    server.pause();
    process.send("paused");
    expect(await exit).toBe(0);
    server.resume();
  });
});
