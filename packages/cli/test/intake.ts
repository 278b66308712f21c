import type { Decoder, Intake } from "../src/input/decoder.js";
import { LineSplitter } from "../src/input/lines.js";

/** What a decoder made of some text. */
export interface Taken {
  readonly requests: { readonly at: number; readonly key: string; readonly cost: number }[];
  /** The reason and the text of each malformed line, with its number. */
  readonly malformed: { readonly line: number; readonly why: string; readonly text: string }[];
  withoutKey: number;
}

/** Runs a decoder over text or bytes, line by line, without blank ones. */
export function take(make: (intake: Intake) => Decoder, input: string | Buffer): Taken {
  const taken: Taken = { requests: [], malformed: [], withoutKey: 0 };
  let line = 0;
  const decoder = make({
    request: (at, key, cost) => taken.requests.push({ at, key, cost }),
    withoutKey: () => {
      taken.withoutKey += 1;
    },
    malformed: (why, bytes, from, to, behind = 0) =>
      taken.malformed.push({ line: line - behind, why, text: bytes.toString("utf8", from, to) }),
  });
  const splitter = new LineSplitter({
    line: (bytes, from, to) => {
      line += 1;
      if (to > from) decoder.line(bytes, from, to);
    },
    tooLong: () => {
      line += 1;
    },
  });
  splitter.write(Buffer.from(input));
  splitter.end();
  decoder.end();
  return taken;
}
