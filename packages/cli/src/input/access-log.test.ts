import { describe, expect, it } from "vitest";
import { type Taken, take } from "../../test/intake.js";
import { AccessLog, accessLogFields } from "./access-log.js";
import { addressKeyOf } from "./address-key.js";
import type { FieldChoice } from "./decoder.js";
import { KeyCache } from "./key-cache.js";

const usual: FieldChoice = {
  key: undefined,
  cost: undefined,
  time: undefined,
  timeUnit: undefined,
  keys: new KeyCache(addressKeyOf(64)),
};
const at = 807_249_601_000_000;

function read(input: string | Buffer, choice: Partial<FieldChoice> = {}): Taken {
  const sample = input.toString().split("\n");
  return take((intake) => new AccessLog({ ...usual, ...choice }, intake, sample), input);
}

const common = '1.2.3.4 - frank [01/Aug/1995:00:00:01 -0400] "GET /a/b?c=1 HTTP/1.0" 200 2326';
const combined = `${common} "http://from.example/\\"x" "Mozilla/5.0 (compatible; \\"odd\\")"`;

describe("AccessLog", () => {
  it("reads common and combined lines by host", () => {
    for (const line of [common, combined, `${combined}\r\n`, `\uFEFF${common}\n\n`]) {
      expect(read(line)).toEqual({ requests: [{ at, key: "1.2.3.4", cost: 1 }], malformed: [], withoutKey: 0 });
    }
  });

  it.each([
    ["host", "1.2.3.4"],
    ["user", "frank"],
    ["request", "GET /a/b?c=1 HTTP/1.0"],
    ["method", "GET"],
    ["url", "/a/b?c=1"],
    ["path", "/a/b"],
    ["protocol", "HTTP/1.0"],
    ["status", "200"],
    ["bytes", "2326"],
    ["referer", 'http://from.example/\\"x'],
    ["agent", 'Mozilla/5.0 (compatible; \\"odd\\")'],
  ])("finds the field %s", (field, value) => {
    expect(read(combined, { key: field }).requests).toEqual([{ at, key: value, cost: 1 }]);
  });

  it("leaves a request without the field that is its key out, and counts it", () => {
    expect(read(`${common}\n${common}`, { key: "ident" })).toEqual({ requests: [], malformed: [], withoutKey: 2 });
  });

  it("takes the second field for the client where the first names a virtual host", () => {
    const hosts = ["1.2.3.4", "::1", "2001:db8::7"].map((host) => `example.com:80 ${host}${common.slice(7)}`);
    expect(read(hosts.join("\n")).requests.map(({ key }) => key)).toEqual(["1.2.3.4", "::/64", "2001:db8::/64"]);
    expect(read(`${hosts[0]}\n${hosts[0]?.replace(":80", "")}\n${common}`, { key: "user" }).requests).toEqual(
      Array.from({ length: 3 }, () => ({ at, key: "frank", cost: 1 })),
    );
    expect(read(`${common}\n${common}\n${hosts[0]}`).requests.map(({ key }) => key)).toEqual([
      "1.2.3.4",
      "1.2.3.4",
      "example.com:80",
    ]);
  });

  it("counts an address however it is written, as sluice/http does", () => {
    const hosts = ["2001:db8::1", "2001:DB8:0:0:1::2", "::ffff:1.2.3.4", "1.2.3.4", "a:b"];
    const keys = (cache: KeyCache): string[] =>
      read(hosts.map((host) => `${host}${common.slice(7)}`).join("\n"), { keys: cache }).requests.map(({ key }) => key);
    expect(keys(new KeyCache(addressKeyOf(64)))).toEqual([
      "2001:db8::/64",
      "2001:db8::/64",
      "1.2.3.4",
      "1.2.3.4",
      "a:b",
    ]);
    expect(keys(new KeyCache())).toEqual(hosts);
  });

  it("says when a time cannot be", () => {
    expect(read(common.replace("1995", "2078")).malformed[0]?.why).toBe("its time is not within 1970 to 2077");
    expect(read(common.replace("-0400", "-0499")).malformed[0]?.why).toBe("no time in [brackets]");
  });

  it("counts all together without a key", () => {
    expect(read(`${common}\n5.6.7.8${common.slice(7)}`, { key: false }).requests.map(({ key }) => key)).toEqual([
      "everyone",
      "everyone",
    ]);
  });

  it("costs what a field says; no bytes are no cost", () => {
    const lines = [common, common.replace("2326", "-"), common.replace("2326", "0")].join("\n");
    expect(read(lines, { cost: "bytes" }).requests.map(({ cost }) => cost)).toEqual([2326, 0, 0]);
    const torn = read(`${common.slice(0, 60)}\n${common.replace("2326", "12x")}`, { cost: "bytes" });
    expect(torn.requests).toEqual([]);
    expect(torn.malformed.map(({ why }) => why)).toEqual(["no whole number in bytes", "no whole number in bytes"]);
  });

  it.each([
    ["IPv6", "2001:db8::/64", `2001:db8::1${common.slice(7)}`],
    ["IPv6 in brackets", "::/64", `[::1]${common.slice(7)}`],
    ["a name", "slip4086.sirius.com", `slip4086.sirius.com${common.slice(7)}`],
    ["a host that is not known", "-", `-${common.slice(7)}`],
    ["letters beyond ASCII", "müller.example", `müller.example${common.slice(7)}`],
    ["__proto__", "__proto__", `__proto__${common.slice(7)}`],
  ])("takes %s as host", (_what, key, line) => {
    expect(read(line).requests).toEqual([{ at, key, cost: 1 }]);
  });

  it("reads quotes and spaces where clients put them", () => {
    const odd = '1.2.3.4 - John Smith [01/Aug/1995:00:00:01 -0400] "GET /a"b" c.html HTTP/1.0" 404 -';
    expect(read(odd, { key: "user" }).requests).toEqual([{ at, key: "John Smith", cost: 1 }]);
    expect(read(odd, { key: "url", cost: "bytes" }).requests).toEqual([{ at, key: '/a"b" c.html', cost: 0 }]);
    const escaped = common.replace("/a/b", '/\\" 200 1');
    expect(read(escaped, { key: "path", cost: "bytes" }).requests).toEqual([{ at, key: '/\\" 200 1', cost: 2326 }]);
    const bracket = common.replace("frank", "[x] [y");
    expect(read(bracket).requests).toEqual([{ at, key: "1.2.3.4", cost: 1 }]);
    const empty = '1.2.3.4 - - [01/Aug/1995:00:00:01 -0400] "-" 408 -';
    expect(read(empty, { cost: "bytes" }).requests).toEqual([{ at, key: "1.2.3.4", cost: 0 }]);
    expect(read(empty, { key: "path" }).malformed).toHaveLength(1);
    expect(read(common.replace(" HTTP/1.0", ""), { key: "url" }).requests[0]?.key).toBe("/a/b?c=1");
  });

  it("still counts a line by host that was cut off behind its time", () => {
    for (const length of [47, 48, 55, 70, common.length]) {
      expect(read(common.slice(0, length)).requests).toEqual([{ at, key: "1.2.3.4", cost: 1 }]);
    }
  });

  it.each([
    ["no time in [brackets]", common.slice(0, 40)],
    ["no time in [brackets]", "1.2.3.4"],
    ["no time in [brackets]", '/sts-71/sts-71-patch-small.gif HTTP/1.0" 200 12054'],
    ["no time in [brackets]", common.replace("Aug", "Aux")],
    ["no time in [brackets]", common.replace("00:00:01", "00:00:0x")],
    ["no time in [brackets]", common.replace("00:00:01", "00:00:75")],
    ["its time is not within 1970 to 2077", common.replace("01/Aug/1995", "01/Aug/2095")],
    ["its time is not within 1970 to 2077", common.replace("01/Aug/1995", "01/Aug/1965")],
    ["no time in [brackets]", common.replace("1995:", "1995-")],
    ["no host", ' - [01/Aug/1995:00:06:47 -0400] "GET /images/dual-pad.gif HTTP/1.0" 200 141308'],
    ["no host", `\0\0\0${common}`],
    ["no host", `1.2.3.4\t${common}`],
    ["no host", `1.2\x7f.3.4${common.slice(7)}`],
    ["host too long", `${"h".repeat(65_537)}${common.slice(7)}`],
  ])("does not take a line with %s", (why, line) => {
    const taken = read(`${line}\n${common}`);
    expect(taken.malformed).toEqual([{ line: 1, why, text: line }]);
    expect(taken.requests).toHaveLength(1);
  });

  it("reads every second of a minute, and notices when minute or zone change", () => {
    const times = [
      ["01/Aug/1995:00:00:59 -0400", 58],
      ["01/Aug/1995:00:01:00 -0400", 59],
      ["01/Aug/1995:00:01:60 -0400", 119],
      ["01/Aug/1995:01:01:00 -0300", 59],
      ["01/Aug/1995:04:01:00 +0000", 59],
      ["02/Aug/1995:04:01:00 +0000", 86_459],
      ["02/Aug/1995:04:01:07 +0000", 86_466],
    ] as const;
    const lines = times.map(([time]) => common.replace("01/Aug/1995:00:00:01 -0400", time)).join("\n");
    expect(read(lines).requests.map((request) => (request.at - at) / 1e6)).toEqual(times.map(([, seconds]) => seconds));
  });

  it("reads times with fractions, without a zone, and in ISO 8601", () => {
    const times = ["01/Aug/1995:04:00:01.5", "1995-08-01T00:00:01.5-04:00", "01/Aug/1995:00:00:01.500 -0400"];
    for (const time of times) {
      const line = common.replace("01/Aug/1995:00:00:01 -0400", time);
      expect(read(line).requests).toEqual([{ at: at + 500_000, key: "1.2.3.4", cost: 1 }]);
    }
  });

  it("says which fields there are when asked for another", () => {
    expect(() => read(common, { key: "ip" })).toThrow(accessLogFields.join(", "));
    expect(() => read(common, { cost: "size" })).toThrow('no field "size"');
    expect(() => read(common, { time: "date" })).toThrow("[brackets]");
  });
});
