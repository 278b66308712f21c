import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import type { Found } from "../../../../scripts/servers.mjs";
import { connect } from "../../src/stores/redis/clients.js";
import { everyClient, type OpenClient } from "../clients.js";
import { type Cluster, startCluster, until } from "../cluster.js";
import { shiftedClock } from "./clock-shift.js";
import { type FaultyProxy, startProxy } from "./proxy.js";
import { type PrivateServer, startPrivateServer } from "./server.js";

const program = inject("program") as Found;

const cleanups: (() => unknown)[] = [];
function cleanup<T>(thing: T, end: (thing: T) => unknown): T {
  cleanups.push(() => end(thing));
  return thing;
}
afterEach(async () => {
  for (const end of cleanups.splice(0).toReversed()) await end();
});

async function server(options?: Parameters<typeof startPrivateServer>[1]): Promise<PrivateServer> {
  return cleanup(await startPrivateServer(program, options), (started) => started.stop());
}
async function proxy(port: number): Promise<FaultyProxy> {
  return cleanup(await startProxy(port), (started) => started.close());
}
/** A client that tries once, and says what happened. */
function plain(port: number): Redis {
  const client = new Redis({ port, host: "127.0.0.1", retryStrategy: () => 20, maxRetriesPerRequest: 0 });
  client.on("error", () => {});
  return cleanup(client, () => client.disconnect());
}
/** True when the answer takes longer than 100 ms. */
function stalls(answer: Promise<unknown>): Promise<boolean> {
  answer.catch(() => {});
  return Promise.race([
    answer.then(() => false),
    new Promise<boolean>((resolve) => {
      setTimeout(resolve, 100, true);
    }),
  ]);
}

/** Loses the replies to one INCR of each of 30 keys, and the connections with them; returns what the server has counted. */
async function lose(open: Promise<OpenClient>, ways: readonly FaultyProxy[]): Promise<number[]> {
  const connection = connect(cleanup(await open, (opened) => opened.close()).client);
  const name = randomUUID();
  const keys = Array.from({ length: 30 }, (_, index) => `lost:{${name} ${index}}`);
  const count = async (key: string): Promise<number> => Number(await connection.send(["GET", key], key));
  await Promise.all(keys.map(count));
  for (const way of ways) way.mode({ kind: "swallow", ms: 50 });
  const script = "return redis.call('INCR', KEYS[1])";
  const outcomes = Promise.allSettled(keys.map((key) => connection.send(["EVAL", script, 1, key], key)));
  // Longer than the proxies wait until they break off, and than clients wait until they connect again
  await new Promise((resolve) => {
    setTimeout(resolve, 400);
  });
  for (const way of ways) way.mode({ kind: "pass" });
  expect((await outcomes).map(({ status }) => status)).toEqual(keys.map(() => "rejected"));
  await until(() =>
    Promise.all(keys.map(count)).then(
      () => true,
      () => false,
    ),
  );
  return Promise.all(keys.map(count));
}

describe("a private server", () => {
  it("can be stopped in its tracks, and goes on", async () => {
    const started = await server();
    const client = plain(started.port);
    await client.ping();
    started.pause();
    const answer = client.incr("key");
    expect(await stalls(answer)).toBe(true);
    started.resume();
    await expect(answer).resolves.toBe(1);
  });

  it.each([
    [true, "2"],
    [false, null],
  ])("dies and comes back on its port; persistent: %s", async (persistent, value) => {
    const started = await server({ persistent });
    const client = plain(started.port);
    await client.set("key", "2");
    await started.kill();
    await expect(client.get("key")).rejects.toThrow();
    await started.start();
    await until(async () => (await client.ping().catch(() => "")) === "PONG");
    await expect(client.get("key")).resolves.toBe(value);
  });

  it("cannot be signalled when it is dead", async () => {
    const started = await server();
    await started.kill();
    expect(() => started.pause()).toThrow("not running");
  });
});

describe("a proxy", () => {
  it("delays, holds, refuses and lets pass", async () => {
    const started = await server();
    const between = await proxy(started.port);
    const client = plain(between.port);
    await client.set("key", "1");
    expect(between.connections).toBe(1);

    between.mode({ kind: "delay", ms: 60 });
    const begin = performance.now();
    await client.get("key");
    expect(performance.now() - begin).toBeGreaterThan(110);

    between.mode({ kind: "blackhole" });
    const { requests } = between.passed;
    expect(await stalls(client.get("key"))).toBe(true);
    expect(between.passed.requests).toBe(requests);

    await between.refuse();
    expect(between.connections).toBe(0);
    await expect(client.get("key")).rejects.toThrow();
    between.mode({ kind: "pass" });
    await between.accept();
    await until(async () => (await client.get("key").catch(() => "")) === "1");
  });

  it("breaks replies: cut off, or none at all", async () => {
    const started = await server();
    const between = await proxy(started.port);
    const client = plain(between.port);
    await client.set("key", "0123456789");
    between.mode({ kind: "truncate", bytes: 4 });
    await expect(client.get("key")).rejects.toThrow();
    between.mode({ kind: "pass" });
    await until(async () => (await client.get("key").catch(() => "")) === "0123456789");
    between.mode({ kind: "garbage" });
    await expect(client.get("key")).rejects.toThrow();
  });
});

describe("a shifted clock", () => {
  it("moves TIME, the scripts' too, both ways, or says why it cannot", async () => {
    const clock = await shiftedClock(program);
    if (typeof clock === "string") {
      console.error(`Not tried: ${clock}`);
      expect(clock).toMatch(/Linux|compiler/);
      return;
    }
    cleanup(clock, () => clock.remove());
    const started = cleanup(await startPrivateServer(clock.found), (begun) => begun.stop());
    const client = plain(started.port);
    const offset = async (): Promise<number> => {
      const [seconds, micros] = (await client.eval("return redis.call('TIME')", 0)) as [string, string];
      return Number(seconds) * 1000 + Number(micros) / 1000 - Date.now();
    };
    for (const ms of [0, 300_000, -300_000, 0]) {
      clock.shift(ms);
      expect(Math.abs((await offset()) - ms)).toBeLessThan(1000);
    }
  });
});

describe("a reply that is lost", () => {
  let started: PrivateServer;
  let between: FaultyProxy;
  let cluster: Cluster;
  const proxies: FaultyProxy[] = [];
  beforeAll(async () => {
    started = await startPrivateServer(program);
    between = await startProxy(started.port);
    cluster = await startCluster(program, 3, {
      announce: async (port) => {
        const way = await startProxy(port);
        proxies.push(way);
        return way.port;
      },
    });
  });
  afterAll(async () => {
    await Promise.all([between, ...proxies].map((way) => way.close()));
    await Promise.all([started.stop(), cluster.stop()]);
  });

  describe.each(everyClient().map((library) => ({ name: library.name, library })))("to $name", ({ library }) => {
    it("is not asked for again", async () => {
      const counted = await lose(library.open(`redis://127.0.0.1:${between.port}`), [between]);
      expect(counted).toEqual(counted.map(() => 1));
    });

    it("is not asked for again on a cluster", async () => {
      const counted = await lose(library.openCluster(cluster.nodes), proxies);
      expect(counted).toEqual(counted.map(() => 1));
    });
  });
});
