import { describe, expect, it } from "vitest";
import { count, duration, moment, percent, printable, shortened } from "./text.js";

describe("text", () => {
  it("groups digits", () => {
    expect([0, 999, 1000, 1_234_567].map(count)).toEqual(["0", "999", "1,000", "1,234,567"]);
  });

  it("shows no share as nothing, or as all, that is not", () => {
    const shares = [0, 0.00001, 0.0005, 0.1234, 0.9995, 0.99999, 1];
    expect(shares.map(percent)).toEqual(["0.0 %", "<0.1 %", "0.1 %", "12.3 %", "100.0 %", ">99.9 %", "100.0 %"]);
  });

  it.each([
    [0, "0 s"],
    [0.001, "0.001 ms"],
    [12.3456, "12.3 ms"],
    [999.9, "1 s"],
    [1000, "1 s"],
    [41_000, "41 s"],
    [59_949, "59.9 s"],
    [59_951, "1 min"],
    [60_000, "1 min"],
    [260_400, "4 min 20 s"],
    [3_600_000, "1 h"],
    [46_321_000, "12 h 52 min"],
    [299_999_000, "3 d 11 h"],
    [86_400_000, "1 d"],
  ])("writes %d ms as %s", (milliseconds, text) => {
    expect(duration(milliseconds)).toBe(text);
  });

  it("writes moments in UTC", () => {
    expect(moment(807_249_601_999)).toBe("1995-08-01 04:00:01 UTC");
  });

  it("makes what strangers wrote harmless on a terminal", () => {
    expect(printable("a\u001b[31mred\u0007\r\n\u202eright\u009b7m\u2028")).toBe(
      "a\\u{1b}[31mred\\u{7}\\u{d}\\u{a}\\u{202e}right\\u{9b}7m\\u{2028}",
    );
    expect(printable("\ud800x")).toBe("\\u{d800}x");
    expect(printable("müller 猫 2001:db8::1")).toBe("müller 猫 2001:db8::1");
  });

  it("leaves the end out of what is too wide", () => {
    expect([shortened("abc", 3), shortened("abcd", 3), shortened("abcd", 0)]).toEqual(["abc", "ab…", "a…"]);
  });
});
