import { createHash, randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { type ClientLibrary, everyClient, type OpenClient } from "../../../test/clients.js";
import { until } from "../../../test/cluster.js";
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

  /** The connections that the servers have but those of the observers and of the cluster's own traffic. */
  const connections = async (): Promise<string[]> => {
    const lists = await Promise.all(observers.map((observer) => observer.client("LIST")));
    return lists.flatMap((list) => (list as string).trim().split("\n"));
  };
  const subscribers = async (channel: string): Promise<number> => {
    const counts = await Promise.all(observers.map((observer) => observer.pubsub("NUMSUB", channel)));
    return counts.reduce<number>((sum, count) => sum + Number((count as [string, number])[1]), 0);
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
      await connection.send(["GET", key], key);
      const before = (await connections()).length;
      const heard: string[] = [];
      const unsubscribe = await subscribe(channel, (message) => heard.push(message));
      expect(await subscribers(channel)).toBe(1);
      await connection.send(["EVAL", "return redis.call('PUBLISH', ARGV[1], 'one é')", 1, key, channel], key);
      await Promise.all(observers.map((observer, index) => observer.publish(channel, `node ${index}`)));
      await until(() => heard.length === observers.length + 1);
      expect(heard.toSorted()).toEqual(["one é", ...observers.map((_, index) => `node ${index}`)].toSorted());
      await unsubscribe();
      await until(async () => (await subscribers(channel)) === 0);
      // The client's own connections may come and go meanwhile: some clients of a cluster open them when first needed
      await until(async () => (await connections()).length <= before + target.addresses.length - 1);
    });
  });
});
