import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { describe, expect, it } from "vitest";
import { addressKeys } from "./client-address.js";

const keyOf = addressKeys();

describe("addressKeys", () => {
  it.each([
    ["203.0.113.7", "203.0.113.7"],
    ["203.0.113.7:4711", "203.0.113.7"],
    [" 203.0.113.7\t", "203.0.113.7"],
    ["203.0.113.7\n", "203.0.113.7"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["::FFFF:cb00:7107", "203.0.113.7"],
    ["0:0:0:0:0:ffff:cb00:7107", "203.0.113.7"],
    ["[::ffff:203.0.113.7]:443", "203.0.113.7"],
    ["64:ff9b::203.0.113.7", "203.0.113.7"],
    ["64:ff9b::cb00:7107", "203.0.113.7"],
    ["2002:cb00:7107::1", "203.0.113.7"],
    ["2002:cb00:7107:ffff:1:2:3:4", "203.0.113.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::", "2001:db8:1:2::/64"],
    ["[2001:db8:1:2::9]", "2001:db8:1:2::/64"],
    ["[2001:db8:1:2::9]:8080", "2001:db8:1:2::/64"],
    // decided by bits: a dotted end does not make it IPv4
    ["2001:db8:1:2::203.0.113.7", "2001:db8:1:2::/64"],
    ["fe80::1%eth0", "fe80::/64"],
    ["fe80::2%eth1", "fe80::/64"],
    ["::1", "::/64"],
  ])("%s is %s", (address, key) => {
    expect(keyOf(address)).toBe(key);
  });

  it.each([
    "",
    "unknown",
    "_hidden",
    "<script>alert(1)</script>",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "01.2.3.4",
    "0x7f.1.1.1",
    "2130706433",
    "1.2.3.4, 5.6.7.8",
    "1.2.3.4:",
    "[1.2.3.4",
    ":::",
    "2001:db8::1::2",
    "2001:db8:1:2:3:4:5:6:7",
    "g::1",
    "9".repeat(100_000),
  ])("%s is no address", (text) => {
    expect(keyOf(text)).toBeUndefined();
  });

  it("knows no address where there is none", () => {
    expect(keyOf(undefined)).toBeUndefined();
  });

  it.each([
    [48, "2001:db8:1::/48"],
    [56, "2001:db8:1:ab00::/56"],
    [128, "2001:db8:1:abcd:1:2:3:4"],
  ])("groups IPv6 by /%i where that is asked for, and leaves IPv4 alone", (prefix, key) => {
    const grouped = addressKeys(prefix);
    expect(grouped("2001:db8:1:abcd:1:2:3:4")).toBe(key);
    expect(grouped("::ffff:203.0.113.7")).toBe("203.0.113.7");
  });

  it.each([0, 31, 129, 64.5, Number.NaN, "64"])("refuses a prefix of %s", (prefix) => {
    expect(() => addressKeys(prefix as number)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
  });

  it("gives one key to all spellings of an address, and to all addresses of its /64", () => {
    const group = fc.integer({ min: 0, max: 0xffff });
    fc.assert(
      fc.property(fc.tuple(group, group, group), fc.tuple(group, group, group, group), ([a, b, c], low) => {
        const parts = [0x2600, a, b, c, ...low];
        const plain = parts.map((part) => part.toString(16)).join(":");
        const padded = parts.map((part) => part.toString(16).toUpperCase().padStart(4, "0")).join(":");
        const short = ipaddr.parse(plain).toString();
        const expected = `${new ipaddr.IPv6([0x2600, a, b, c, 0, 0, 0, 0]).toRFC5952String()}/64`;
        for (const spelling of [plain, padded, short, `[${short}]:1`, `${short}%7`]) {
          expect(keyOf(spelling)).toBe(expected);
        }
      }),
    );
  });

  it("never throws, and never gives back what it was not made to write", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        expect(keyOf(text) ?? "").toMatch(/^[0-9a-f.:/]*$/);
      }),
    );
  });

  it("stays right when more addresses come than it remembers", () => {
    for (let low = 0; low < 5000; low++)
      expect(keyOf(`10.0.${low >> 8}.${low & 255}`)).toBe(`10.0.${low >> 8}.${low & 255}`);
    expect(keyOf("203.0.113.7")).toBe("203.0.113.7");
  });
});
