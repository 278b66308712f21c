import { describe, expect, it } from "vitest";
import { type Taken, take } from "../../test/intake.js";
import { addressKeyOf } from "./address-key.js";
import type { FieldChoice } from "./decoder.js";
import { JsonLines } from "./json-lines.js";
import { KeyCache } from "./key-cache.js";

const usual: FieldChoice = {
  key: undefined,
  cost: undefined,
  time: undefined,
  timeUnit: undefined,
  keys: new KeyCache(addressKeyOf(64)),
};

function read(lines: readonly unknown[], choice: Partial<FieldChoice> = {}, sampled = true): Taken {
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
  return take((intake) => new JsonLines({ ...usual, ...choice }, intake, sampled ? text.split("\n") : []), text);
}

describe("JsonLines", () => {
  it("finds the usual fields, also inside", () => {
    const caddy = { ts: 1646861401.5241024, request: { remote_ip: "127.0.0.1" }, size: 5 };
    expect(read([caddy]).requests).toEqual([{ at: 1_646_861_401_524_102, key: "127.0.0.1", cost: 1 }]);
    expect(read([{ "@timestamp": "2023-11-16T18:17:03Z", host: "server", remote_addr: "1.2.3.4" }]).requests).toEqual([
      { at: 1_700_158_623_000_000, key: "1.2.3.4", cost: 1 },
    ]);
    expect(read([{ time: 5 }]).requests).toEqual([{ at: 5e6, key: "everyone", cost: 1 }]);
  });

  it.each([
    ["pino", { time: 1_700_000_000_000, req: { remoteAddress: "1.2.3.4" }, host: "server" }],
    ["Traefik", { time: "2023-11-16T18:17:03Z", ClientHost: "1.2.3.4" }],
    ["Elastic", { "@timestamp": "2023-11-16T18:17:03Z", client: { ip: "1.2.3.4" }, host: { name: "server" } }],
    ["Google", { timestamp: "2023-11-16T18:17:03Z", httpRequest: { remoteIp: "1.2.3.4" } }],
  ])("knows the client in what %s writes", (_name, line) => {
    expect(read([line]).requests.map(({ key }) => key)).toEqual(["1.2.3.4"]);
  });

  it("does not judge by the first line alone", () => {
    const boot = { time: 5, msg: "boot" };
    const lines = [boot, { time: 6, ip: "a" }, { time: 7, ip: "b" }];
    expect(read(lines)).toMatchObject({ requests: [{ key: "a" }, { key: "b" }], withoutKey: 1 });
    const dated = [{ date: "2023-11-16", ts: "soon" }, { time: 6, date: "today" }, { time: 7 }];
    expect(read(dated).requests.map(({ at }) => at)).toEqual([6e6, 7e6]);
    expect(read([boot, boot]).requests.map(({ key }) => key)).toEqual(["everyone", "everyone"]);
  });

  it("finds fields in other letters", () => {
    expect(read([{ Time: 5, Client_IP: "a", Tokens: 7 }], { cost: "tokens" }).requests).toEqual([
      { at: 5e6, key: "a", cost: 7 },
    ]);
    expect(read([{ time: 5, user: { Id: 8 } }], { key: "USER.id" }).requests.map(({ key }) => key)).toEqual(["8"]);
    expect(read([{ time: 5, a: 1, A: 2 }], { key: "A" }).requests.map(({ key }) => key)).toEqual(["2"]);
  });

  it("takes host for the client when nothing else is there, and says so", () => {
    const decoder = (line: object): JsonLines =>
      new JsonLines(usual, { request: () => {}, withoutKey: () => {}, malformed: () => {} }, [JSON.stringify(line)]);
    expect(decoder({ time: 5, host: "a" }).fields).toMatchObject({
      key: "host",
      doubt: expect.stringContaining("--key"),
    });
    expect(decoder({ time: 5, host: "a", user: "b" }).fields).toMatchObject({ key: "user", doubt: undefined });
  });

  it("takes the fields that are chosen: by their very name first, else by dots", () => {
    const line = { when: "5", "user.id": 7, user: { id: 8, plan: { name: "free" } }, tokens: 12, cost: "30" };
    const keyOf = (key: string) => read([line], { key, time: "when" }).requests[0]?.key;
    expect([keyOf("user.id"), keyOf("user.plan.name")]).toEqual(["7", "free"]);
    const costOf = (cost: string) => read([line], { key: false, time: "when", cost }).requests[0]?.cost;
    expect([costOf("tokens"), costOf("cost")]).toEqual([12, 30]);
  });

  it("reads numbers of any size as times", () => {
    expect(read([{ time: 1e-7 }, { time: 0.25 }, { time: 1700158623.97996 }]).requests.map(({ at }) => at)).toEqual([
      0, 250_000, 1_700_158_623_979_960,
    ]);
    expect(read([{ time: 1500 }], { timeUnit: "ms" }).requests[0]?.at).toBe(1_500_000);
  });

  it("leaves requests without a key out, and is not fooled by what objects inherit", () => {
    const lines = [{ key: "a" }, { key: "-" }, { key: "" }, { key: null }, {}, { key: {} }, { key: 0 }, { key: false }];
    const taken = read(
      lines.map((line) => ({ time: 5, ...line })),
      { key: "key" },
    );
    expect(taken.withoutKey).toBe(5);
    expect(taken.requests.map(({ key }) => key)).toEqual(["a", "0", "false"]);
    expect(read([{ time: 5 }], { key: "constructor" }).withoutKey).toBe(1);
    expect(read([{ time: 5 }], { key: "__proto__.toString" }).withoutKey).toBe(1);
  });

  it("counts what is malformed, and goes on", () => {
    const lines = ["{", "[1]", "null", '"x"', "7", "{}", { time: "soon" }, { time: 5, c: -1 }, { time: 6, c: 1 }];
    const { requests, malformed } = read(lines, { cost: "c" });
    expect(requests).toEqual([{ at: 6e6, key: "everyone", cost: 1 }]);
    expect(malformed.map(({ line, why }) => `${line} ${why}`)).toEqual([
      "1 not a JSON object",
      "2 not a JSON object",
      "3 not a JSON object",
      "4 not a JSON object",
      "5 not a JSON object",
      "6 no time that can be read in time",
      "7 no time that can be read in time",
      "8 no whole number in c",
    ]);
    expect(read(["{}", { time: "soon" }, { time: 5 }], {}, false).malformed.map(({ why }) => why)).toEqual([
      "no field that is known to be the time, choose it with --time",
      "no field that is known to be the time, choose it with --time",
    ]);
    expect(read([{ time: 5e9 }]).malformed[0]?.why).toBe("its time is not within 1970 to 2077");
    expect(read([{ t: 1 }, { t: "x" }, { t: -1 }], { time: "t" }).malformed.map(({ why }) => why)).toEqual([
      "no time that can be read in t",
      "no time that can be read in t",
    ]);
    expect(read([{ time: 5, key: "k".repeat(65_537) }]).malformed[0]?.why).toBe("key too long");
  });
});
