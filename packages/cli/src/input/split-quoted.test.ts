import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { continueQuoted, type OpenRecord, splitQuoted } from "./split-quoted.js";

const field = fc.string({ unit: fc.constantFrom("a", "b", ",", '"', "\n", " ", ""), maxLength: 6 });
/** A row as it is written: in quotes where it has to be, and sometimes where it need not. */
const row = fc.array(fc.tuple(field, fc.boolean()), { minLength: 2, maxLength: 6 }).map((cells) => ({
  fields: cells.map(([text]) => text),
  text: cells
    .map(([text, quoted]) => (quoted || /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text))
    .join(","),
}));

/** The fields, or why there are none. */
function told(found: string[] | OpenRecord | "stray"): string[] | "open" | "stray" {
  return typeof found === "object" && "open" in found ? "open" : found;
}

describe("splitQuoted", () => {
  it("reads back what was written, as csv-parse does", () => {
    fc.assert(
      fc.property(row, ({ fields, text }) => {
        expect(splitQuoted(text, ",", true)).toEqual(fields);
        expect(parse(text, { record_delimiter: "\0" })).toEqual([fields]);
      }),
    );
  });

  it("reads line by line what it reads at once", () => {
    fc.assert(
      fc.property(row, ({ fields, text }) => {
        const [first = "", ...lines] = text.split("\n");
        let found = splitQuoted(first, ",", true);
        for (const line of lines) found = continueQuoted(found as OpenRecord, line, ",");
        expect(found).toEqual(fields);
      }),
    );
  });

  it("goes on with an open record until its quote is closed", () => {
    const open = splitQuoted('a,"b', ",", true) as OpenRecord;
    expect(open).toEqual({ fields: ["a"], open: "b" });
    expect(continueQuoted({ fields: ["a"], open: "b" }, 'c""', ",")).toEqual({ fields: ["a"], open: 'b\nc""' });
    expect(continueQuoted({ fields: ["a"], open: "b" }, 'c"d', ",")).toBe("stray");
    expect(continueQuoted({ fields: ["a"], open: "b" }, 'c",d"', ",")).toBe("stray");
    expect(continueQuoted({ fields: ["a"], open: "b" }, '",d,"e', ",")).toEqual({
      fields: ["a", "b\n", "d"],
      open: "e",
    });
  });

  it("is open exactly where csv-parse misses a closing quote", () => {
    const text = fc.string({ unit: fc.constantFrom("a", ",", '"', '""'), maxLength: 12 });
    fc.assert(
      fc.property(text, (line) => {
        let verdict: unknown = "read";
        try {
          parse(line);
        } catch (error) {
          verdict = (error as { code: string }).code;
        }
        const found = told(splitQuoted(line, ",", true));
        if (verdict === "read") expect(found).toBeInstanceOf(Array);
        else expect(found).toBe(verdict === "CSV_QUOTE_NOT_CLOSED" ? "open" : "stray");
      }),
    );
  });

  it.each([
    ['a,5" disk,b', ["a", '5" disk', "b"]],
    ['"a"b,c', ['"a"b', "c"]],
    ['"a" ,c', ['"a" ', "c"]],
    ['"a,b"c,d', ['"a,b"c', "d"]],
    ['a,"b', "open"],
    ['a,"b""', "open"],
    ['"', "open"],
    ['""', [""]],
    ['"",""', ["", ""]],
    ['"a",', ["a", ""]],
  ])("takes %s as it is", (text, fields) => {
    expect(told(splitQuoted(text, ",", false))).toEqual(fields);
  });
});
