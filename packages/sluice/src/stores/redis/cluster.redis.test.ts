import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { type Found, freePort, type Server, startServer } from "../../../../../scripts/servers.mjs";
import { type ClientLibrary, everyClient } from "../../../test/clients.js";
import { type Cluster, startCluster, until } from "../../../test/cluster.js";
import { endless, kindNames, kinds } from "../../../test/fleet/orders.js";
import { fixedWindow } from "../../algorithms/fixed-window/fixed-window.js";
import { slidingWindow } from "../../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../../algorithms/token-bucket/token-bucket.js";
import { StoreError } from "../../core/errors.js";
import { all, type LimiterOptions, type RateLimiter } from "../../core/limiter.js";
import type { Policy } from "../../core/policy.js";
import { rateLimiter } from "../../rate-limiter.js";
import { connect } from "./clients.js";
import { inner, keyName, slotOf } from "./keys.js";
import { redisStore } from "./redis.js";

const program = inject("program") as Found;
const slots = 16_384;
/** Clients that speak to a cluster, one of each make. */
const libraries = everyClient().filter(({ name }) => /^(ioredis 6|node-redis 6|valkey-glide 2)$/.test(name));

let cluster: Cluster;
/** A plain connection to each node. */
let nodes: readonly Redis[];
beforeAll(async () => {
  cluster = await startCluster(program, 3, { extra: ["--enable-debug-command", "yes"] });
  nodes = cluster.servers.map(({ port }) => {
    const node = new Redis(port, "127.0.0.1", { maxRetriesPerRequest: 1, retryStrategy: () => 50 });
    node.on("error", () => {});
    return node;
  });
});
afterAll(async () => {
  for (const node of nodes ?? []) node.disconnect();
  await cluster?.stop();
});

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});
function cleanup<T>(thing: T, end: (thing: T) => unknown): T {
  ends.push(() => end(thing));
  return thing;
}

async function clientOf(library: ClientLibrary): Promise<unknown> {
  return cleanup(await library.openCluster(cluster.nodes), (opened) => opened.close()).client;
}
function limiterOn(client: unknown, policy: Policy | readonly Policy[], options: LimiterOptions = {}): RateLimiter {
  const store = cleanup(redisStore(client, { denialCache: false }), (each) => each.close());
  return cleanup(rateLimiter(policy, { store, name: randomUUID(), timeout: "5s", ...options }), (limiter) =>
    limiter.close(),
  );
}

/** A key in the slot of a node. */
function keyOf(node: number): string {
  const [from, to] = [Math.ceil((slots * node) / 3), Math.ceil((slots * (node + 1)) / 3)];
  for (let index = 0; ; index++) {
    const slot = slotOf(inner(`key-${index}`));
    if (slot >= from && slot < to) return `key-${index}`;
  }
}

describe("slots", () => {
  it("are those that the server computes", async () => {
    for (const key of ["a", "user:1", "ü€😀", "x".repeat(600), "{a}", "}{", "%7B", "new\nline", "\u0000"]) {
      const name = keyName("sluice", "limiter", "policy", key);
      expect(await (nodes[0] as Redis).cluster("KEYSLOT", name)).toBe(slotOf(inner(key)));
    }
  });

  it("of many keys are spread evenly over ranges such as nodes have (chi-square, 64 of them)", () => {
    const bins = 64;
    for (const keyOfUser of [
      (index: number) => `user:${index}`,
      (index: number) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
      (index: number) => `tenant-${index}:{same}:x`,
      (index: number) => `${"long".repeat(200)}${index}`,
    ]) {
      const counts = new Array<number>(bins).fill(0);
      const keys = 20_000;
      for (let index = 0; index < keys; index++) {
        const bin = Math.floor((slotOf(inner(keyOfUser(index))) * bins) / slots);
        counts[bin] = (counts[bin] as number) + 1;
      }
      const expected = keys / bins;
      const statistic = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      // 63 degrees of freedom: above 120 once in a hundred thousand
      expect(statistic).toBeLessThan(120);
    }
  });
});

describe("hostile keys", () => {
  const hostile = [
    "{}",
    "}{",
    "{a}",
    "{a}b",
    "a{b}c",
    "{",
    "}",
    "%",
    "%7B",
    "%7D",
    "%25",
    "%#",
    "%#aaaa",
    "\u0000",
    "new\nline",
    "new\r\nline",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "a:b",
    ":",
    "a:b:{c}:d",
    " ",
    "*",
    "user:1",
    "user:1 ",
    "é",
    "e\u0301",
    "😀",
    "x".repeat(512),
    "x".repeat(513),
    "ü".repeat(257),
    "{".repeat(600),
    "x".repeat(65_536),
  ];

  it("have names of their own, of bounded length, and choose nothing", () => {
    const names = hostile.map((key) => keyName("sluice", "limiter", "policy", key));
    expect(new Set(names).size).toBe(hostile.length);
    for (const name of names) {
      expect(Buffer.byteLength(name)).toBeLessThan(2000);
      // one opening brace, one closing brace at the end, something in between
      expect(name).toMatch(/^[^{}]*\{[^{}]+\}$/su);
    }
    const parts = ["a", "b", "a:b", "b:c", "a:b:c", "{a}", "%3A", ":", "a}", "%"];
    const composed = parts.flatMap((limiter) =>
      parts.flatMap((policy) => parts.map((key) => keyName("p", limiter, policy, key))),
    );
    expect(new Set(composed).size).toBe(parts.length ** 3);
  });

  it.each(libraries.map((library) => ({ name: library.name, library })))(
    "never touch each other: $name",
    async ({ library }) => {
      const limiter = limiterOn(await clientOf(library), [
        fixedWindow({ limit: 3, window: endless, name: "one" }),
        slidingWindow({ limit: 5, window: endless, name: "two:{x}" }),
      ]);
      const spent = await Promise.all(hostile.map((key) => limiter.consume(key)));
      expect(spent.map(({ remaining }) => remaining)).toEqual(hostile.map(() => 2));
      await Promise.all(hostile.filter((_, index) => index % 2 === 0).map((key) => limiter.consume(key)));
      const looks = await Promise.all(hostile.map((key) => limiter.peek(key)));
      expect(looks.map(({ remaining }) => remaining)).toEqual(hostile.map((_, index) => (index % 2 === 0 ? 1 : 2)));
      await Promise.all(hostile.map((key) => limiter.reset(key)));
      for (const key of hostile.slice(0, 5)) expect((await limiter.peek(key)).remaining).toBe(3);
    },
  );

  it.each([
    ["a lone surrogate", "\ud800"],
    ["another", "a\udfffb"],
    ["a long one with a lone surrogate", `${"x".repeat(600)}\udc00`],
    ["a megabyte", "x".repeat(1_000_000)],
    ["65 537 characters", "x".repeat(65_537)],
    ["nothing", ""],
  ])("that are no keys are a RangeError before anything is sent: %s", async (_, key) => {
    let sent = 0;
    const silent = {
      cluster: true,
      send: async () => {
        sent += 1;
        return null;
      },
    };
    const limiter = limiterOn(silent, fixedWindow({ limit: 3, window: endless }), { whenStoreFails: "allow" });
    const verbs: ((each: RateLimiter) => unknown)[] = [
      (each) => each.consume(key),
      (each) => each.peek(key),
      (each) => each.wait(key),
      (each) => each.reserve(key),
      (each) => each.refund(key),
      (each) => each.charge(key),
      (each) => each.reset(key),
      (each) => each.run(key, () => 1),
      async (each) => all(each.for(key), each.for("other")).consume(),
    ];
    for (const verb of verbs) {
      await expect(async () => verb(limiter)).rejects.toMatchObject({ name: "RangeError", code: "ERR_INVALID_KEY" });
    }
    expect(sent).toBe(0);
  });
});

describe("all across slots", () => {
  const policy = (name: string, limit: number): Policy => fixedWindow({ limit, window: endless, name });

  it.each(libraries.map((library) => ({ name: library.name, library })))(
    "charges all or none, in order, and says what each says: $name",
    async ({ library }) => {
      const client = await clientOf(library);
      const store = cleanup(redisStore(client), (each) => each.close());
      const open = (name: string, limit: number) =>
        cleanup(rateLimiter(policy(name, limit), { store, name: randomUUID(), timeout: "5s" }), (each) => each.close());
      const [users, tenants, world] = [open("user", 5), open("tenant", 3), open("world", 100)];
      const group = all(users.for(keyOf(0)), tenants.for(keyOf(1)), world.for(keyOf(2)));
      const first = await group.consume();
      expect(first).toMatchObject({ allowed: true, policy: "tenant", limit: 3, remaining: 2 });
      expect(first.parts.map((part) => [part.policy, part.allowed, part.remaining])).toEqual([
        ["user", true, 4],
        ["tenant", true, 2],
        ["world", true, 99],
      ]);
      const refused = await group.consume({ cost: 3 });
      expect(refused).toMatchObject({ allowed: false, policy: "tenant", limit: 3, remaining: 2 });
      expect(refused.retryAfter).toBeGreaterThan(0);
      expect(refused.parts.map((part) => [part.policy, part.allowed, part.remaining])).toEqual([
        ["user", true, 4],
        ["tenant", false, 2],
        ["world", true, 99],
      ]);
      expect((await users.peek(keyOf(0))).remaining).toBe(4);
      const reservation = await group.reserve({ cost: 2 });
      await reservation.settle(1);
      expect(
        (await Promise.all([users.peek(keyOf(0)), tenants.peek(keyOf(1)), world.peek(keyOf(2))])).map(
          (each) => each.remaining,
        ),
      ).toEqual([3, 1, 98]);
      await (await group.reserve()).cancel();
      expect((await group.peek()).remaining).toBe(1);
      await expect(group.wait({ cost: 2, maxWait: 10 })).rejects.toMatchObject({ code: "ERR_MAX_WAIT_EXCEEDED" });
      expect((await group.peek()).remaining).toBe(1);
    },
  );

  it("under a race, exactly the strictest limit is admitted, and what others were charged comes back", async () => {
    const client = await clientOf(libraries[0] as ClientLibrary);
    const [users, tenants] = [limiterOn(client, policy("user", 1000)), limiterOn(client, policy("tenant", 40))];
    const group = all(users.for(keyOf(0)), tenants.for(keyOf(1)));
    const decisions = await Promise.all(Array.from({ length: 200 }, () => group.consume()));
    // in order, each looks first: refused for the other's sake, a call may hold a place for a moment, never for good
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(40);
    expect((await tenants.peek(keyOf(1))).remaining).toBe(0);
    expect((await users.peek(keyOf(0))).remaining).toBe(960);
  });

  it("in one slot it is one atom, and one call", async () => {
    const client = await clientOf(libraries[0] as ClientLibrary);
    const store = cleanup(redisStore(client), (each) => each.close());
    const [one, two] = [policy("one", 10), policy("two", 20)].map((each) =>
      cleanup(rateLimiter(each, { store, name: randomUUID(), timeout: "5s" }), (limiter) => limiter.close()),
    ) as [RateLimiter, RateLimiter];
    await Promise.all([0, 1, 2].map((node) => one.consume(keyOf(node))));
    await one.reset(keyOf(1));
    for (const node of nodes) await node.config("RESETSTAT");
    const group = all(one.for(keyOf(1)), two.for(keyOf(1)));
    expect((await group.consume()).remaining).toBe(9);
    const stats = await Promise.all(nodes.map((node) => node.info("commandstats")));
    const calls = stats.map((text) => Number(/cmdstat_evalsha:calls=(\d+)/.exec(text)?.[1] ?? 0));
    expect(calls.toSorted((less, more) => less - more)).toEqual([0, 0, 1]);
  });
});

describe("the core laws on a cluster", () => {
  it.each(everyClient().map((library) => ({ name: library.name, library })))(
    "consume exactly, wait in line, settle, forget nothing of a script that is gone: $name",
    async ({ library }) => {
      const client = await clientOf(library);
      for (const kind of kindNames) {
        const limiter = limiterOn(client, kinds[kind]({ limit: 30, window: endless }));
        const keys = [keyOf(0), keyOf(1), keyOf(2)];
        const decisions = await Promise.all(
          Array.from({ length: 150 }, (_, index) => limiter.consume(keys[index % 3] as string)),
        );
        expect(
          decisions.filter(({ allowed }) => allowed),
          kind,
        ).toHaveLength(90);
        await limiter.refund(keyOf(0), { cost: 5 });
        await Promise.all(nodes.map((node) => node.script("FLUSH")));
        const reservation = await limiter.reserve(keyOf(0), { cost: 4 });
        await reservation.settle(1);
        expect((await limiter.peek(keyOf(0))).remaining, kind).toBe(4);
        await limiter.reset(keyOf(1));
        expect((await limiter.charge(keyOf(1), { cost: 2 })).remaining, kind).toBe(28);
      }
      const line = limiterOn(client, tokenBucket({ rate: 1, per: 40 }));
      const order: number[] = [];
      await Promise.all(
        [0, 1, 2, 3, 4].map(async (place) => {
          await line.wait(keyOf(2));
          order.push(place);
        }),
      );
      expect(order).toEqual([0, 1, 2, 3, 4]);
    },
  );
});

interface Load {
  readonly acknowledged: number;
  readonly unknown: number;
  readonly asked: number;
  /** ms that the slowest call took. */
  readonly worst: number;
}

/** Asks again and again until told to stop; who asked, and what came of it. */
function load(limiter: RateLimiter, keys: readonly string[], callers = 10): { stop(): Promise<Load> } {
  const tally = { acknowledged: 0, unknown: 0, asked: 0, worst: 0 };
  const over = new AbortController();
  const caller = async (start: number): Promise<void> => {
    for (let call = start; !over.signal.aborted; call++) {
      const began = performance.now();
      tally.asked += 1;
      try {
        if ((await limiter.consume(keys[call % keys.length] as string)).allowed) tally.acknowledged += 1;
      } catch (error) {
        expect(error).toBeInstanceOf(StoreError);
        tally.unknown += 1;
        await sleep(5);
      }
      tally.worst = Math.max(tally.worst, performance.now() - began);
    }
  };
  const running = Array.from({ length: callers }, (_, index) => caller(index));
  return {
    async stop() {
      over.abort();
      await Promise.all(running);
      return tally;
    },
  };
}

const limit = 1_000_000;
async function spentOf(limiter: RateLimiter, keys: readonly string[]): Promise<number> {
  const looks = await Promise.all(keys.map((key) => limiter.peek(key)));
  return looks.reduce((sum, { remaining }) => sum + limit - remaining, 0);
}

/** Moves a slot with everything in it, and stays half-way for a while: there ASK is the answer. */
async function migrate(slot: number, from: number, to: number, halfway: () => Promise<void>): Promise<void> {
  const ids = await Promise.all(nodes.map((node) => node.cluster("MYID")));
  const [source, target] = [nodes[from] as Redis, nodes[to] as Redis];
  await target.cluster("SETSLOT", slot, "IMPORTING", ids[from] as string);
  await source.cluster("SETSLOT", slot, "MIGRATING", ids[to] as string);
  await halfway();
  for (;;) {
    const keys = await source.cluster("GETKEYSINSLOT", slot, 100);
    if (keys.length === 0) break;
    await source.call(
      "MIGRATE",
      "127.0.0.1",
      String((cluster.servers[to] as { port: number }).port),
      "",
      "0",
      "5000",
      "KEYS",
      ...keys,
    );
  }
  await halfway();
  for (const node of [target, source, ...nodes]) await node.cluster("SETSLOT", slot, "NODE", ids[to] as string);
}

describe.each(libraries.map((library) => ({ name: library.name, library })))("through $name", ({ library }) => {
  it("slots that move under load, by way of ASK and MOVED, count nothing twice and lose nobody", async () => {
    const client = await clientOf(library);
    const limiter = limiterOn(client, fixedWindow({ limit, window: endless }));
    const keys = Array.from({ length: 6 }, (_, index) => `move-${library.name}-${index}`);
    await Promise.all(keys.map((key) => limiter.consume(key)));
    const loaded = load(limiter, keys);
    for (const [index, key] of keys.entries()) {
      const slot = slotOf(inner(key));
      const from = Math.floor((slot * 3) / slots);
      const to = (from + 1 + (index % 2)) % 3;
      await migrate(slot, from, to, () => sleep(30));
      // and home again, for the next test
      await migrate(slot, to, from, () => sleep(10));
    }
    const { acknowledged, unknown, asked } = await loaded.stop();
    expect(acknowledged + unknown).toBe(asked);
    const counted = (await spentOf(limiter, keys)) - keys.length;
    expect(counted).toBeGreaterThanOrEqual(acknowledged);
    expect(counted).toBeLessThanOrEqual(acknowledged + unknown);
    expect(unknown).toBeLessThan(asked / 10);
  });

  it("two rows of a key half-way between nodes: TRYAGAIN is survived, and both are charged or none", async () => {
    const client = await clientOf(library);
    const limiter = limiterOn(client, [
      fixedWindow({ limit, window: endless, name: "one" }),
      tokenBucket({ rate: limit, per: endless, name: "two" }),
    ]);
    const key = `half-${library.name}`;
    const slot = slotOf(inner(key));
    const from = Math.floor((slot * 3) / slots);
    const to = (from + 1) % 3;
    await limiter.consume(key);
    const loaded = load(limiter, [key], 5);
    const ids = await Promise.all(nodes.map((node) => node.cluster("MYID")));
    await (nodes[to] as Redis).cluster("SETSLOT", slot, "IMPORTING", ids[from] as string);
    await (nodes[from] as Redis).cluster("SETSLOT", slot, "MIGRATING", ids[to] as string);
    const [first] = await (nodes[from] as Redis).cluster("GETKEYSINSLOT", slot, 1);
    await (nodes[from] as Redis).call(
      "MIGRATE",
      "127.0.0.1",
      String((cluster.servers[to] as { port: number }).port),
      "",
      "0",
      "5000",
      "KEYS",
      first as string,
    );
    await sleep(60);
    await migrate(slot, from, to, async () => {});
    await until(() =>
      limiter.peek(key).then(
        () => true,
        () => false,
      ),
    );
    const { acknowledged, unknown, asked } = await loaded.stop();
    expect(acknowledged + unknown).toBe(asked);
    expect(unknown).toBe(0);
    const { parts } = await limiter.peek(key);
    const counted = limit - 1 - (parts[0]?.remaining ?? 0);
    expect(parts[0]?.remaining).toBe(parts[1]?.remaining);
    expect(counted).toBeGreaterThanOrEqual(acknowledged);
    expect(counted).toBeLessThanOrEqual(acknowledged + unknown);
    await migrate(slot, to, from, async () => {});
  });
});

describe("a node that dies", () => {
  let own: Cluster;
  let looks: Redis[];
  beforeAll(async () => {
    own = await startCluster(program, 3, { extra: ["--cluster-require-full-coverage", "no"] });
    looks = own.servers.map(({ port }) => {
      const node = new Redis(port, "127.0.0.1", { retryStrategy: () => 50 });
      node.on("error", () => {});
      return node;
    });
  });
  const restarted: Server[] = [];
  afterAll(async () => {
    for (const node of looks ?? []) node.disconnect();
    await Promise.all(restarted.map((server) => server.stop()));
    await own?.stop();
  });

  /** Kills the third node, and returns what starts it again as the same; it is started again in any case. */
  async function kill(): Promise<() => Promise<void>> {
    const [node, bus] = [looks[2] as Redis, await (looks[2] as Redis).config("GET", "cluster-port")];
    const [, folder] = (await node.config("GET", "dir")) as [string, string];
    const last = (restarted.at(-1) ?? own.servers[2]) as Server & { readonly pid: number };
    // not `stop`, which would remove what the node knows of the cluster
    process.kill(last.pid, "SIGKILL");
    await until(() => node.status !== "ready");
    let started: Promise<void> | undefined;
    const start = async (): Promise<void> => {
      const [, busPort] = bus as [string, string];
      const settings = {
        "cluster-enabled": "yes",
        "cluster-node-timeout": "1000",
        "cluster-require-full-coverage": "no",
        "cluster-port": busPort,
        "cluster-announce-port": String(last.port),
        "cluster-announce-bus-port": busPort,
        dir: folder,
      };
      const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
      restarted.push(await startServer(program, flags, last.port));
      await until(async () => {
        const infos = await Promise.all(looks.map((each) => each.cluster("INFO").catch(() => "")));
        return infos.every((info) => info.includes("cluster_slots_ok:16384"));
      });
    };
    return cleanup(
      () => {
        started ??= start();
        return started;
      },
      (again) => again(),
    );
  }

  it.each(libraries.map((library) => ({ name: library.name, library })))(
    "fails its own callers in time, harms nobody else's count, and is used again when it is back: $name",
    async ({ library }) => {
      const client = cleanup(await library.openCluster(own.nodes), (opened) => opened.close()).client;
      const name = randomUUID();
      const policy = fixedWindow({ limit, window: endless });
      const limiter = limiterOn(client, policy, { name, timeout: 150 });
      const patient = limiterOn(client, policy, { name, timeout: "5s" });
      const [alive, dying] = [[keyOf(0), keyOf(1)], keyOf(2)];
      await Promise.all([...alive, dying].map((key) => patient.consume(key)));
      const loads = [load(limiter, alive, 6), load(limiter, [dying], 6)] as const;
      await sleep(50);
      const start = await kill();
      await sleep(400);
      // the breaker of the dead node is open by now
      const after = load(limiter, alive, 6);
      await sleep(600);
      const harmed = await after.stop();
      expect(harmed.acknowledged).toBeGreaterThan(50);
      expect(harmed.unknown).toBe(0);
      const [others, hit] = await Promise.all(loads.map((each) => each.stop()));
      for (const { acknowledged, unknown, asked, worst } of [others, hit] as Load[]) {
        expect(acknowledged + unknown).toBe(asked);
        expect(worst).toBeLessThan(150 + 1000);
      }
      expect(hit?.unknown).toBeGreaterThan(0);
      expect(others?.unknown).toBeLessThan((others?.asked as number) / 100);
      await start();
      await until(
        () =>
          patient.consume(dying).then(
            () => true,
            () => false,
          ),
        15_000,
      );
      await until(() =>
        limiter.consume(dying).then(
          () => true,
          () => false,
        ),
      );
      const counted = (await spentOf(patient, alive)) - alive.length;
      const acknowledged = (others?.acknowledged as number) + harmed.acknowledged;
      expect(counted).toBeGreaterThanOrEqual(acknowledged);
      expect(counted).toBeLessThanOrEqual(acknowledged + (others?.unknown as number));
    },
    40_000,
  );

  it.each(everyClient().flatMap((library) => (library.name.startsWith("node-redis") ? [library] : [])))(
    "is not sent, when it is back, what nobody waits for any more: $name",
    async (library) => {
      const connection = connect(cleanup(await library.openCluster(own.nodes), (opened) => opened.close()).client);
      const key = `{${keyOf(2)}}`;
      const answers = () =>
        connection.send(["GET", key], key, 200).then(
          () => true,
          () => false,
        );
      await until(answers);
      const start = await kill();
      const asked = Array.from({ length: 20 }, () => connection.send(["INCR", key], key, 200));
      expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(asked.map(() => "rejected"));
      await start();
      await until(answers);
      await expect(connection.send(["GET", key], key)).resolves.toBeNull();
    },
    40_000,
  );
});

describe("a client of a cluster", () => {
  it.each(everyClient())("knows which node serves a slot, or says nothing of it: $name", async (library) => {
    const connection = connect(await clientOf(library));
    for (const node of [0, 1, 2]) {
      const key = `{${keyOf(node)}}`;
      await connection.send(["GET", key], key);
      const name = connection.nodeOf?.(slotOf(inner(keyOf(node))));
      if (library.name.startsWith("valkey-glide")) expect(name).toBeUndefined();
      else expect(name).toBe(`127.0.0.1:${cluster.servers[node]?.port}`);
    }
  });
});

it("CLUSTERDOWN is a StoreError with the server's words as its cause, and over when the cluster is up", async () => {
  const flags = ["--cluster-enabled", "yes", "--cluster-port", String(await freePort())];
  const lone = cleanup(await startServer(program, flags), (server) => server.stop());
  const node = cleanup(new Redis(lone.port, "127.0.0.1", { enableReadyCheck: false }), (redis) => redis.disconnect());
  const client = { cluster: true, send: (args: string[]) => node.call(args[0] as string, ...args.slice(1)) };
  const limiter = limiterOn(client, fixedWindow({ limit: 5, window: endless }));
  for (let call = 0; call < 3; call++) {
    await expect(limiter.consume("key")).rejects.toMatchObject({
      name: "StoreError",
      code: "ERR_STORE_UNAVAILABLE",
      cause: { message: expect.stringMatching(/^CLUSTERDOWN/) },
    });
  }
  await node.cluster("ADDSLOTSRANGE", 0, slots - 1);
  await until(async () => (await node.cluster("INFO")).includes("cluster_state:ok"));
  await expect(limiter.consume("key")).resolves.toMatchObject({ allowed: true, remaining: 4 });
});
