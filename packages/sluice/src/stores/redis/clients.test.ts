import { Redis } from "ioredis";
import { Redis as Redis5 } from "ioredis5";
import { Redis as Valkey } from "iovalkey";
import { createClient } from "redis";
import { createClient as createClient4 } from "redis4";
import { createClient as createClient5 } from "redis5";
import { describe, expect, it } from "vitest";
import { connect, isNoScript } from "./clients.js";

describe("connect", () => {
  it("sends text through an object that has `send`", async () => {
    const sent: unknown[] = [];
    const connection = connect({
      send: async (args: string[]) => {
        sent.push(args);
        return [1, "two"];
      },
    });
    await expect(connection.send(["EVALSHA", "f00", 1, "{é}", 2 ** 53 - 1, -0], "{é}")).resolves.toEqual([1, "two"]);
    expect(sent).toEqual([["EVALSHA", "f00", "1", "{é}", "9007199254740991", "0"]]);
    expect(connection.cluster).toBe(false);
    expect(connection.subscribe).toBeUndefined();
  });

  it("takes the word of an object with `send` that it speaks to a cluster", () => {
    expect(connect({ cluster: true, send: async () => null }).cluster).toBe(true);
  });

  it("rejects when `send` throws", async () => {
    const connection = connect({
      send: () => {
        throw new Error("not today");
      },
    });
    await expect(connection.send(["PING"], "")).rejects.toThrow("not today");
  });

  it.each([
    ["nothing", undefined, "got undefined."],
    ["null", null, "got null."],
    ["an address", "redis://127.0.0.1:6379", 'got "redis://127.0.0.1:6379".'],
    ["a class", Redis, "got a function."],
    ["options", { host: "127.0.0.1" }, "got an object of class Object."],
    ["an object without a class", Object.create(null), "got an object of class unknown."],
    ["a client that was not awaited", Promise.resolve({ customCommand: async () => null }), "of class Promise."],
    ["a transaction of node-redis", createClient().multi(), "got an object of class "],
    ["the callback interface of node-redis", createClient().legacy(), "of class RedisLegacyClient."],
  ])("refuses %s, and says what it accepts and what came", (_, client, came) => {
    expect(() => connect(client)).toThrow(TypeError);
    expect(() => connect(client)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT", message: expect.stringContaining("ioredis 5 or 6") }),
    );
    expect(() => connect(client)).toThrow(came);
  });

  it.each([
    ["ioredis 6", () => new Redis({ lazyConnect: true })],
    ["ioredis 5", () => new Redis5({ lazyConnect: true })],
    ["iovalkey", () => new Valkey({ lazyConnect: true })],
    ["node-redis 6", () => createClient()],
    ["node-redis 5", () => createClient5()],
    ["node-redis 4", () => createClient4()],
  ])("leaves a client of %s as it is", (_, create) => {
    const client = create();
    const before = { listeners: client.eventNames().length, properties: Reflect.ownKeys(client).length };
    const connection = connect(client);
    expect(connection.subscribe).toBeTypeOf("function");
    expect(connection.cluster).toBe(false);
    expect({ listeners: client.eventNames().length, properties: Reflect.ownKeys(client).length }).toEqual(before);
  });

  it.each([
    ["node-redis 6", () => createClient()],
    ["node-redis 5", () => createClient5()],
    ["node-redis 4", () => createClient4()],
  ])("passes on that a client of %s is not connected yet", async (_, create) => {
    await expect(connect(create()).send(["PING"], "")).rejects.toThrow("The client is closed");
  });

  it("sends with the prefix of keys that a client of ioredis has", async () => {
    const client = new Redis({ lazyConnect: true, keyPrefix: "app:" });
    const sent: unknown[] = [];
    client.sendCommand = (command) => {
      sent.push([command.name, ...command.args]);
      return command.promise;
    };
    void connect(client).send(["EVALSHA", "f00", 1, "key", 5], "key");
    expect(sent).toEqual([["evalsha", "f00", "1", "app:key", "5"]]);
  });
});

describe("isNoScript", () => {
  it.each([
    new Error("NOSCRIPT No matching script. Please use EVAL."),
    new Error("NOSCRIPT No matching script."),
    new Error("An error was signalled by the server: - NoScriptError: No matching script. Please use EVAL."),
    { message: "NOSCRIPT No matching script" },
  ])("knows %o", (error) => {
    expect(isNoScript(error)).toBe(true);
  });

  it.each([
    undefined,
    null,
    "NOSCRIPT No matching script.",
    {},
    { message: 7 },
    new Error(""),
    new Error("NOSCRIPTS"),
    new Error("ERR user_script:1: the key is NOSCRIPT No matching script."),
    new Error("An error was signalled by the server: - ResponseError: NoScriptError: no"),
    new Error("Connection is closed."),
  ])("does not take %o for one: what may have been executed is never sent again", (error) => {
    expect(isNoScript(error)).toBe(false);
  });
});
