import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineSplitter, longestLine } from "./lines.js";

interface Cut {
  readonly lines: string[];
  readonly tooLong: number[];
}

function cut(chunks: readonly (string | Buffer)[]): Cut {
  const found: Cut = { lines: [], tooLong: [] };
  const splitter = new LineSplitter({
    line: (bytes, from, to) => found.lines.push(bytes.toString("latin1", from, to)),
    tooLong: (_bytes, from, to) => found.tooLong.push(to - from),
  });
  for (const chunk of chunks) splitter.write(Buffer.from(chunk as string));
  splitter.end();
  return found;
}

describe("LineSplitter", () => {
  it("cuts the same lines however the bytes come", () => {
    const text = fc.array(fc.constantFrom("a", "b", "\n", "\r\n", "\r", '"', "\0", ""), { maxLength: 60 });
    fc.assert(
      fc.property(text, fc.array(fc.nat(8)), (pieces, sizes) => {
        const whole = pieces.join("");
        const chunks: string[] = [];
        let at = 0;
        for (const size of sizes) {
          chunks.push(whole.slice(at, at + size));
          at += size;
        }
        chunks.push(whole.slice(at));
        const expected = whole.split("\n").map((line) => line.replace(/\r$/, ""));
        if (whole === "" || whole.endsWith("\n")) expected.pop();
        expect(cut(chunks).lines).toEqual(expected);
      }),
    );
  });

  it("drops a byte order mark before the first line only", () => {
    expect(cut([Buffer.from("\uFEFFa\n\uFEFFb")]).lines).toEqual(["a", "\xef\xbb\xbfb"]);
    expect(cut([Buffer.from([0xef]), Buffer.from([0xbb, 0xbf, 0x61])]).lines).toEqual(["a"]);
  });

  it("skips a line that is too long, in one piece or in many, and goes on after it", () => {
    const long = "x".repeat(longestLine + 1);
    const fits = "y".repeat(longestLine);
    const whole = cut([`a\n${long}\n${fits}\nb`]);
    expect(whole.lines).toEqual(["a", fits, "b"]);
    expect(whole.tooLong).toHaveLength(1);
    const pieces = cut(["a\n", ...Array.from({ length: 20 }, () => long.slice(0, longestLine / 8)), "\nb\n"]);
    expect(pieces.lines).toEqual(["a", "b"]);
    expect(pieces.tooLong).toHaveLength(1);
  });

  it("does not hold more of a line without an end than it has to", () => {
    const sizes: number[] = [];
    const splitter = new LineSplitter({ line: () => {}, tooLong: (_bytes, from, to) => sizes.push(to - from) });
    const chunk = Buffer.alloc(longestLine / 4);
    for (let written = 0; written < 400; written++) splitter.write(chunk);
    splitter.end();
    expect(sizes).toHaveLength(1);
    expect(sizes[0]).toBeLessThanOrEqual(longestLine + chunk.length);
  });
});
