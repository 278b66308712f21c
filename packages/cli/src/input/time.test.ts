import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TimeReader, timeUnits } from "./time.js";

const read = (text: string): number => new TimeReader().read(text);

describe("TimeReader", () => {
  it.each([
    ["1970-01-01", 0],
    ["1970-01-01T00:00Z", 0],
    ["2023-11-16 18:17:03.9799600", 1_700_158_623_979_960],
    ["2023-11-16 18:17:03.9799609", 1_700_158_623_979_960],
    ["2023-11-16T18:17:03,97", 1_700_158_623_970_000],
    ["2023-11-16T18:17:03Z", 1_700_158_623_000_000],
    ["2023-11-16t18:17:03z", 1_700_158_623_000_000],
    ["2023-11-16 18:17:03 UTC", 1_700_158_623_000_000],
    ["2023-11-16T19:17:03+01:00", 1_700_158_623_000_000],
    ["2023-11-16T12:47:03-0530", 1_700_158_623_000_000],
    ["2023-11-16T20:17:03+02", 1_700_158_623_000_000],
    ["2024-02-29T23:59:60Z", Date.UTC(2024, 2, 1) * 1000],
    ["01/Aug/1995:00:00:01 -0400", 807_249_601_000_000],
    ["[01/aug/1995:00:00:01 -0400]", 807_249_601_000_000],
    ["01/Aug/1995:04:00:01.25", 807_249_601_250_000],
    ["01/Aug/1995:09:30:01 +05:30", 807_249_601_000_000],
    ["807249601", 807_249_601_000_000],
    ["807249601.1234567", 807_249_601_123_456],
    ["1700158623979", 1_700_158_623_979_000],
    ["1700158623979960", 1_700_158_623_979_960],
    ["1700158623979960999", 1_700_158_623_979_960],
    ["0", 0],
    ["0.25", 250_000],
  ])("reads %s", (text, micros) => {
    expect(read(text)).toBe(micros);
  });

  it.each([
    "",
    "-",
    "soon",
    "12:00",
    "-5",
    "1e9",
    "2023-02-29",
    "2023-13-01",
    "2023-00-01",
    "2023-11-16T24:00:00Z",
    "2023-11-16T18:60:00Z",
    "2023-11-16T18:17:61Z",
    "2023-11-16T18:17:03+1",
    "2023-11-16T18:17:03+25:00",
    "2023-11-16T18:17:03-04:99",
    "01/Aug/1995:00:00:01 -0499",
    "0099-01-01",
    "2023-11-16T18:17:03Zulu",
    "32/Aug/1995:00:00:01 -0400",
    "01/Aux/1995:00:00:01 -0400",
    "01/Aug/1995:00:00",
    "1/2/2024",
  ])("does not read %j", (text) => {
    expect(read(text)).toBeNaN();
  });

  it("keeps the unit of the first number, so that a trace that starts at 0 stays in one unit", () => {
    const reader = new TimeReader();
    expect(reader.read("0.5")).toBe(500_000);
    expect(reader.read("999999999999")).toBe(999_999_999_999_000_000);
  });

  it("takes the unit that it is told", () => {
    expect(timeUnits.map((unit) => new TimeReader(unit).read("1500.5"))).toEqual([1_500_500_000, 1_500_500, 1500, 1]);
  });

  it("agrees with Date on any moment, in every unit and in ISO 8601", () => {
    const moment = fc.date({ min: new Date("1973-03-04"), max: new Date("2070-01-01"), noInvalidDate: true });
    fc.assert(
      fc.property(moment, fc.integer({ min: 0, max: 999 }), (date, fraction) => {
        const millis = date.getTime();
        const micros = millis * 1000 + fraction;
        const digits = String(fraction).padStart(3, "0");
        expect(read(date.toISOString().replace("Z", `${digits}Z`))).toBe(micros);
        expect(read(`${millis}.${digits}`)).toBe(micros);
        expect(new TimeReader("us").read(String(micros))).toBe(micros);
        expect(new TimeReader("ns").read(`${micros}999`)).toBe(micros);
      }),
    );
  });
});
