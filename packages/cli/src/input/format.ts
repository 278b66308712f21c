import { AccessLog } from "./access-log.js";
import type { Decoder, FieldChoice, Intake } from "./decoder.js";
import { Delimited } from "./delimited.js";
import { JsonLines } from "./json-lines.js";

export const formats = ["common", "combined", "jsonl", "csv", "tsv"] as const;
export type Format = (typeof formats)[number];

/** How to read each format, given what the user chose. */
const decoders: Readonly<
  Record<Format, (choice: FieldChoice, intake: Intake, delimiter: string | undefined) => Decoder>
> = {
  common: (choice, intake) => new AccessLog(choice, intake),
  combined: (choice, intake) => new AccessLog(choice, intake),
  jsonl: (choice, intake) => new JsonLines(choice, intake),
  csv: (choice, intake, delimiter = ",") => new Delimited(delimiter, choice, intake),
  tsv: (choice, intake, delimiter = "\t") => new Delimited(delimiter, choice, intake),
};

export function decoderFor(
  format: Format,
  delimiter: string | undefined,
  choice: FieldChoice,
  intake: Intake,
): Decoder {
  return decoders[format](choice, intake, delimiter);
}

const looks: readonly (readonly [Format, RegExp])[] = [
  ["jsonl", /^\s*\{/],
  ["combined", /^\S+ .*\[\d\d\/\w{3}\/\d{4}:.*".*" \d{3} \S+ "/],
  ["common", /^\S+ .*\[\d\d\/\w{3}\/\d{4}:|^\S+ \S+ .*\[\d{4}-\d\d-\d\dT/],
  ["tsv", /\t/],
  ["csv", /,/],
];

const sampledLines = 50;

/** The format that most of the first lines look like; undefined when they look like none. */
export function detectFormat(sample: string): Format | undefined {
  const votes = new Map<Format, number>();
  for (const line of sample.replace(/^\uFEFF/, "").split(/\r?\n/, sampledLines)) {
    const [format] = looks.find(([, look]) => look.test(line.slice(0, 4096))) ?? [];
    if (format !== undefined) votes.set(format, (votes.get(format) ?? 0) + 1);
  }
  const [most] = [...votes].toSorted(([, one], [, other]) => other - one);
  return most?.[0];
}
