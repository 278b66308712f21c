import { createHash, randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import * as redis6 from "redis";
import * as redis4 from "redis4";
import * as redis5 from "redis5";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Found } from "../../../../../scripts/servers.mjs";
import { type ClientLibrary, everyClient, type OpenClient } from "../../../test/clients.js";
import { until } from "../../../test/cluster.js";
import { type Sentinel, startSentinel } from "../../../test/faults/sentinel.js";
import { type PrivateServer, startPrivateServer } from "../../../test/faults/server.js";
import { connect, isNoScript, type RedisConnection } from "./clients.js";

const echo =
  "local reply = { 1, -2, KEYS[1], { #ARGV, { 9007199254740928, {} } }, false } for i = 1, #ARGV do reply[#reply + 1] = ARGV[i] end return reply";

interface Target {
  readonly name: string;
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  open(library: ClientLibrary): Promise<OpenClient>;
}

const nodes = inject("cluster");
const targets: Target[] = [
  ...inject("servers").map(({ name, url }) => ({
    name,
    addresses: [{ host: "127.0.0.1", port: Number(new URL(url).port) }],
    open: (library: ClientLibrary) => library.open(url),
  })),
  ...(nodes
    ? [{ name: "a cluster", addresses: nodes, open: (library: ClientLibrary) => library.openCluster(nodes) }]
    : []),
];

const sha = (script: string): string => createHash("sha1").update(script).digest("hex");

describe.each(targets)("on $name", (target) => {
  const observers: Redis[] = [];
  beforeAll(() => {
    for (const { host, port } of target.addresses) observers.push(new Redis({ host, port }));
  });
  afterAll(() => {
    for (const observer of observers) observer.disconnect();
  });

  /** The connections that all the servers have. */
  const connections = async (): Promise<string[]> => {
    const lists = await Promise.all(observers.map((observer) => observer.client("LIST")));
    return lists.flatMap((list) => (list as string).trim().split("\n"));
  };
  const subscribers = async (channel: string): Promise<number> => {
    const counts = await Promise.all(observers.map((observer) => observer.pubsub("NUMSUB", channel)));
    return counts.reduce<number>((sum, count) => sum + (count as [string, number])[1], 0);
  };

  describe.each(everyClient().map((library) => ({ name: library.name, library })))("$name", ({ library }) => {
    let opened: OpenClient;
    let connection: RedisConnection;
    beforeAll(async () => {
      opened = await target.open(library);
      connection = connect(opened.client);
    });
    afterAll(() => opened.close());

    it("says whether keys must share a slot", () => {
      expect(connection.cluster).toBe(target.addresses.length > 1);
    });

    it("runs scripts on keys of any node, and gives replies as the server meant them", async () => {
      for (let index = 0; index < 20; index += 1) {
        const key = `clients:{é😀 ${index}}`;
        const args = [0, -1, 2 ** 53 - 1, "9007199254740993", "", "ü\n\u0000", "1e3"];
        const reply = [1, -2, key, [7, [2 ** 53 - 64, []]], null, ...args.map(String)];
        await expect(connection.send(["EVAL", echo, 1, key, ...args], key)).resolves.toEqual(reply);
        await expect(connection.send(["EVALSHA", sha(echo), 1, key, ...args], key)).resolves.toEqual(reply);
      }
    });

    it("sends plain commands", async () => {
      const key = `clients:{${randomUUID()}}`;
      await expect(connection.send(["SET", key, 2 ** 53 - 1, "PX", 60_000], key)).resolves.toBe("OK");
      await expect(connection.send(["GET", key], key)).resolves.toBe("9007199254740991");
      await expect(connection.send(["DEL", key], key)).resolves.toBe(1);
      await expect(connection.send(["GET", key], key)).resolves.toBeNull();
    });

    it("keeps order and pairs every reply with its command when many are in flight", async () => {
      const keys = Array.from({ length: 300 }, (_, index) => `clients:{${index}}`);
      const replies = await Promise.all(keys.map((key, index) => connection.send(["EVAL", echo, 1, key, index], key)));
      expect(replies.map((reply) => (reply as unknown[])[2])).toEqual(keys);
      expect(replies.map((reply) => (reply as unknown[])[5])).toEqual(keys.map((_, index) => String(index)));
    });

    it("lets a script be known that the server has forgotten", async () => {
      const script = `return { '${randomUUID()}', KEYS[1] }`;
      const key = "clients:{forgotten}";
      const ask = () => connection.send(["EVALSHA", sha(script), 1, key], key);
      await expect(ask().catch(isNoScript)).resolves.toBe(true);
      await connection.send(["EVAL", script, 1, key], key);
      await expect(ask()).resolves.toHaveLength(2);
      await Promise.all(observers.map((observer) => observer.script("FLUSH")));
      await expect(ask().catch(isNoScript)).resolves.toBe(true);
    });

    it("passes on the server's other errors, and takes none of them for a forgotten script", async () => {
      const key = "clients:{errors}";
      for (const script of ["return redis.error_reply('NOPE not that')", "error('NOSCRIPT in words')", "return }"]) {
        const error = await connection.send(["EVAL", script, 1, key], key).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(Error);
        expect(isNoScript(error)).toBe(false);
      }
    });

    it("sends a call whose keys do not share a slot, for the server to judge", async () => {
      const args = ["EVAL", "return #KEYS", 2, "clients:{a}", "clients:{b}"];
      const answer = await connection.send(args, "clients:{a}").catch((error: Error) => error.message);
      if (connection.cluster) expect(answer).toMatch(/cross ?slot/i);
      else expect(answer).toBe(2);
    });

    it("hears a channel, also from scripts, and leaves no connection behind", async () => {
      const subscribe = connection.subscribe as NonNullable<RedisConnection["subscribe"]>;
      const channel = `clients:wake ${randomUUID()} é`;
      const key = "clients:{publisher}";
      // Some clients of a cluster connect to a node when they first need it
      await Promise.all(Array.from({ length: 50 }, (_, index) => connection.send(["GET", `${index}`], `${index}`)));
      const before = (await connections()).length;
      const heard: string[] = [];
      const unsubscribe = await subscribe(channel, (message) => heard.push(message));
      expect(await subscribers(channel)).toBe(1);
      await connection.send(["EVAL", "return redis.call('PUBLISH', ARGV[1], 'one é')", 1, key, channel], key);
      await Promise.all(observers.map((observer, index) => observer.publish(channel, `node ${index}`)));
      await until(() => heard.length === observers.length + 1);
      expect(heard.toSorted()).toEqual(["one é", ...observers.map((_, index) => `node ${index}`)].toSorted());
      // A lost connection is made up for by a new one
      await Promise.all(observers.map((observer) => observer.call("CLIENT", "KILL", "TYPE", "pubsub")));
      await until(async () => {
        await connection.send(["PUBLISH", channel, "again"], key).catch(() => {});
        return heard.includes("again");
      });
      await unsubscribe();
      await until(async () => (await subscribers(channel)) === 0);
      await until(async () => (await connections()).length <= before);
    });
  });
});

const program = inject("program") as Found;

describe("a client of another make", () => {
  let server: PrivateServer;
  let sentinel: Sentinel;
  let observer: Redis;
  beforeAll(async () => {
    server = await startPrivateServer(program);
    sentinel = await startSentinel(program, server.port);
    observer = new Redis(server.url);
  });
  afterAll(async () => {
    observer.disconnect();
    await sentinel.stop();
    await server.stop();
  });

  it.each([
    ["node-redis 6", () => redis6.createClient({ url: server.url })],
    ["node-redis 5", () => redis5.createClient({ url: server.url })],
    ["node-redis 4", () => redis4.createClient({ url: server.url })],
    ["node-redis 4 in legacy mode", () => redis4.createClient({ url: server.url, legacyMode: true })],
    ["a pool of node-redis 6", () => redis6.createClientPool({ url: server.url })],
    ["a pool of node-redis 5", () => redis5.createClientPool({ url: server.url })],
    [
      "node-redis 6 with types of its own",
      () => redis6.createClient({ url: server.url }).withTypeMapping({ [redis6.RESP_TYPES.BLOB_STRING]: Buffer }),
    ],
    ["node-redis 6 by Sentinel", () => redis6.createSentinel({ name: sentinel.name, sentinelRootNodes: [sentinel] })],
    ["node-redis 5 by Sentinel", () => redis5.createSentinel({ name: sentinel.name, sentinelRootNodes: [sentinel] })],
    ["ioredis 6 by Sentinel", () => new Redis({ name: sentinel.name, sentinels: [sentinel], lazyConnect: true })],
    ["ioredis 6 that connects when asked", () => new Redis(server.url, { lazyConnect: true })],
    ["ioredis 6 with RESP2", () => new Redis(server.url, { protocol: 2, lazyConnect: true })],
    [
      "ioredis 6 that pipelines by itself",
      () => new Redis(server.url, { enableAutoPipelining: true, lazyConnect: true }),
    ],
    ["ioredis 6 with a prefix", () => new Redis(server.url, { keyPrefix: "app:", lazyConnect: true })],
  ])("%s works once it is connected", async (_, create) => {
    const client = create();
    client.on("error", () => {});
    const connection = connect(client);
    await client.connect();
    try {
      const prefix = client instanceof Redis ? (client.options.keyPrefix ?? "") : "";
      const script = "return { KEYS[1], ARGV[1], 5 }";
      await expect(connection.send(["EVAL", script, 1, "key", 7], "key")).resolves.toEqual([`${prefix}key`, "7", 5]);
      if (connection.subscribe) {
        const heard: string[] = [];
        const unsubscribe = await connection.subscribe("others", (message) => heard.push(message));
        await observer.publish("others", "hello");
        await until(() => heard.length === 1);
        await unsubscribe();
        expect(heard).toEqual(["hello"]);
        await until(async () => (await observer.pubsub("NUMSUB", "others"))[1] === 0);
      }
    } finally {
      await ("disconnect" in client ? client.disconnect() : client.close());
    }
  });
});

it("says when a subscription is not confirmed in time, and leaves nothing of it", async () => {
  const server = await startPrivateServer(program);
  const observer = new Redis(server.url);
  try {
    const clients = await Promise.all(everyClient().map((library) => library.open(server.url)));
    const connections = clients.map(({ client }) => connect(client));
    await Promise.all(connections.map((connection) => connection.send(["PING"], "")));
    server.pause();
    const outcomes = await Promise.allSettled(
      connections.map(async (connection) => connection.subscribe?.("unheard", () => {})),
    );
    server.resume();
    expect(outcomes.map(({ status }) => status)).toEqual(connections.map(() => "rejected"));
    await until(async () => (await observer.pubsub("NUMSUB", "unheard"))[1] === 0);
    await Promise.all(clients.map((opened) => opened.close()));
    await until(async () => ((await observer.client("LIST")) as string).trim().split("\n").length === 1);
  } finally {
    observer.disconnect();
    await server.stop();
  }
});
