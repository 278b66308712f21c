import { describe, expect, it } from "vitest";
import { type Taken, take } from "../../test/intake.js";
import type { FieldChoice } from "./decoder.js";
import { JsonLines } from "./json-lines.js";

const usual: FieldChoice = { key: undefined, cost: undefined, time: undefined, timeUnit: undefined };

function read(lines: readonly unknown[], choice: Partial<FieldChoice> = {}): Taken {
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
  return take((intake) => new JsonLines({ ...usual, ...choice }, intake), text);
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
    const lines = [{ key: "a" }, { key: "" }, { key: null }, {}, { key: {} }, { key: 0 }, { key: false }];
    const taken = read(
      lines.map((line) => ({ time: 5, ...line })),
      { key: "key" },
    );
    expect(taken.withoutKey).toBe(4);
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
      "6 no field that is known to be the time, choose it with --time",
      "7 no field that is known to be the time, choose it with --time",
      "8 no whole number in c",
    ]);
    expect(read([{ t: 1 }, { t: "x" }, { t: -1 }], { time: "t" }).malformed.map(({ why }) => why)).toEqual([
      "no time that can be read in t",
      "no time that can be read in t",
    ]);
    expect(read([{ time: 5, key: "k".repeat(65_537) }]).malformed[0]?.why).toBe("key too long");
  });
});
