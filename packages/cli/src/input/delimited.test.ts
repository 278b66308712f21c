import { describe, expect, it } from "vitest";
import { type Taken, take } from "../../test/intake.js";
import { addressKeyOf } from "./address-key.js";
import type { DecodedFields, FieldChoice } from "./decoder.js";
import { Delimited } from "./delimited.js";
import { KeyCache } from "./key-cache.js";

const usual: FieldChoice = {
  key: undefined,
  cost: undefined,
  time: undefined,
  timeUnit: undefined,
  keys: new KeyCache(addressKeyOf(64)),
};

function read(
  input: string | Buffer,
  choice: Partial<FieldChoice> = {},
  delimiter = ",",
): Taken & { readonly fields: DecodedFields } {
  let decoder: Delimited | undefined;
  const taken = take((intake) => {
    decoder = new Delimited(delimiter, { ...usual, ...choice }, intake);
    return decoder;
  }, input);
  return { ...taken, fields: (decoder as Delimited).fields };
}

const request = (seconds: number, key: string, cost = 1) => ({ at: seconds * 1e6, key, cost });

describe("Delimited", () => {
  it("finds the usual columns in the header", () => {
    const { requests, fields } = read("Host,x,Time\na,1,5\nb,2,6\n");
    expect(requests).toEqual([request(5, "a"), request(6, "b")]);
    expect(fields).toEqual({ key: "Host", time: "Time", cost: undefined, doubt: expect.any(String) });
  });

  it("finds columns by name, by name in other letters, and by number", () => {
    const table = "who, When ,tokens\na,5,3\nb,6,12.0\nc,7,0\n";
    const expected = [request(5, "a", 3), request(6, "b", 12), request(7, "c", 0)];
    for (const choice of [
      { key: "who", time: "When", cost: "tokens" },
      { key: "WHO", time: "when", cost: "Tokens" },
      { key: "1", time: "2", cost: "3" },
    ]) {
      const { requests, fields, malformed } = read(table, choice);
      expect(requests).toEqual(expected);
      expect(fields).toEqual({ key: "who", time: "When", cost: "tokens", doubt: undefined });
      expect(malformed).toEqual([]);
    }
  });

  it("needs no header when columns have numbers", () => {
    const { requests, fields } = read("a\t-\t5\t/x\nb\t-\t6\t/y", { key: "1", time: "3" }, "\t");
    expect(requests).toEqual([request(5, "a"), request(6, "b")]);
    expect(fields).toEqual({ key: "column 1", time: "column 3", cost: undefined, doubt: undefined });
    expect(read("5,a", { time: "1" }).requests).toEqual([request(5, "everyone")]);
  });

  it("counts all together when there is no key, or none is wanted", () => {
    expect(
      read("TIMESTAMP,ContextTokens\n2023-11-16 18:17:03.9799600,4808\r\n", { cost: "contexttokens" }),
    ).toMatchObject({
      requests: [{ at: 1_700_158_623_979_960, key: "everyone", cost: 4808 }],
      fields: { key: undefined, time: "TIMESTAMP", cost: "ContextTokens" },
    });
    expect(read("time,host\n5,a", { key: false }).requests).toEqual([request(5, "everyone")]);
  });

  it("takes host for the client when nothing else is there, and says so", () => {
    expect(read("time,host\n5,a").fields.doubt).toContain("choose another --key");
    expect(read("time,host\n5,a", { key: "host" }).fields.doubt).toBeUndefined();
    expect(read("time,host,Remote_Addr\n5,a,b").fields).toMatchObject({ key: "Remote_Addr", doubt: undefined });
  });

  it("puts a long field together in one pass, and a record with several of them", () => {
    const note = Array.from({ length: 900 }, (_, index) => `line ${index} ""quoted""`).join("\n");
    const { requests, malformed } = read(`note,host,time\n"${note}","a\nb",5\n"${note}",c,6\n`);
    expect(requests).toEqual([request(5, "a\nb"), request(6, "c")]);
    expect(malformed).toEqual([]);
  });

  it("reads quotes, line ends and delimiters in quotes", () => {
    const table = 'host,"time",note\n"a ""x"", b",5,"one\ntwo, three\n""four"""\r\n"c",6,\nd,7,5" disk\n';
    const { requests, malformed } = read(table);
    expect(requests).toEqual([request(5, 'a "x", b'), request(6, "c"), request(7, "d")]);
    expect(malformed).toEqual([]);
  });

  it("leaves requests without a key out", () => {
    expect(read('host,time\n,5\n-,6\n" ",7\na,8')).toMatchObject({ withoutKey: 3, requests: [request(8, "a")] });
  });

  it("drops spaces around fields, and keeps them inside", () => {
    expect(read("host,time\n a b , 5 \n").requests).toEqual([request(5, "a b")]);
  });

  it("counts what is malformed by line, and goes on", () => {
    const lines = ["host,time,cost", "a,5,1", "b", "c,soon,1", "d,6,1.5", "e,7,-1", "f,8,", "g,9,1", '"h",never,1'];
    const { requests, malformed } = read(lines.join("\n"), { cost: "cost" });
    expect(requests).toEqual([request(5, "a"), request(9, "g")]);
    expect(malformed).toEqual([
      { line: 3, why: "too few columns", text: "b" },
      { line: 4, why: "no time that can be read", text: "c,soon,1" },
      { line: 5, why: "no whole number as cost", text: "d,6,1.5" },
      { line: 6, why: "no whole number as cost", text: "e,7,-1" },
      { line: 7, why: "no whole number as cost", text: "f,8," },
      { line: 9, why: "no time that can be read", text: '"h",never,1' },
    ]);
    expect(read(`host,time\n${"k".repeat(65_537)},5`).malformed[0]?.why).toBe("key too long");
  });

  it("loses one line to a quote that is never closed, not the rest of the file", () => {
    const rest = Array.from({ length: 2000 }, (_, index) => `k${index},${index},x`);
    const plain = read(["host,time,note", 'a,5,"open', ...rest].join("\n"));
    expect(plain.requests).toHaveLength(2000);
    expect(plain.malformed).toEqual([{ line: 2, why: "a quote is not closed", text: 'a,5,"open' }]);
    const quoted = read(["host,time,note", 'a,5,"open', ...rest.map((line) => line.replace("x", '"x"'))].join("\n"));
    expect(quoted.requests).toHaveLength(2000);
    expect(quoted.malformed).toHaveLength(1);
    const last = read('host,time,note\nb,4,x\na,5,"open\nc,6,"open\nd,7,x');
    expect(last.requests).toEqual([request(4, "b"), request(7, "d")]);
    expect(last.malformed.map(({ line }) => line)).toEqual([3, 4]);
  });

  it("takes a joined line that is no record apart again", () => {
    const { requests, malformed } = read('host,time,note\n"a,5,x\nb,6,"y"\nc",7,z\nd,8,w');
    expect(requests).toEqual([request(6, "b"), request(7, 'c"'), request(8, "d")]);
    expect(malformed).toEqual([{ line: 2, why: "a quote is not closed", text: '"a,5,x' }]);
  });

  it("says which columns there are when it needs to know", () => {
    expect(() => read("a,b\n1,2")).toThrow('none of the columns "a", "b" is known to be the time');
    expect(() => read("time,b\n1,2", { key: "c" })).toThrow('--key c: there is no such column among "time", "b"');
    expect(() => read("time,b\n1,2", { cost: "3" })).toThrow("--cost 3");
    expect(() => read("time,b\n1,2", { time: "x" })).toThrow("--time x");
    expect(() => read("a,2023-11-16T18:17:03Z,b\n")).toThrow(
      "choose it with --time, by its number if there is no header: --time 2",
    );
    const wide = Array.from({ length: 50 }, (_, index) => `column${index}`).join(",");
    expect(() => read(`${wide}\n`)).toThrow(/"column19", … is known/);
  });
});
