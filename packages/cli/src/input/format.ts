import { usageError } from "../command-error.js";
import { AccessLog } from "./access-log.js";
import type { Decoder, FieldChoice, Intake } from "./decoder.js";
import { Delimited } from "./delimited.js";
import { JsonLines } from "./json-lines.js";

export const formats = ["common", "combined", "jsonl", "csv", "tsv"] as const;
export type Format = (typeof formats)[number];

/** What a decoder is made of: what the user chose, where its requests go, and the first lines. */
interface Making {
  readonly choice: FieldChoice;
  readonly intake: Intake;
  readonly delimiter: string | undefined;
  readonly sample: readonly string[];
}

const decoders: Readonly<Record<Format, (making: Making) => Decoder>> = {
  common: ({ choice, intake, sample }) => new AccessLog(choice, intake, sample),
  combined: ({ choice, intake, sample }) => new AccessLog(choice, intake, sample),
  jsonl: ({ choice, intake, sample }) => new JsonLines(choice, intake, sample),
  csv: ({ choice, intake, delimiter = "," }) => new Delimited(delimiter, choice, intake),
  tsv: ({ choice, intake, delimiter = "\t" }) => new Delimited(delimiter, choice, intake),
};

export function decoderFor(format: Format, making: Making): Decoder {
  if (making.delimiter !== undefined && format !== "csv" && format !== "tsv") {
    throw usageError(`--delimiter is for CSV and TSV, and not for ${format}`);
  }
  return decoders[format](making);
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
export function detectFormat(sample: readonly string[]): Format | undefined {
  const votes = new Map<Format, number>();
  for (const line of sample.slice(0, sampledLines)) {
    const [format] = looks.find(([, look]) => look.test(line.slice(0, 4096))) ?? [];
    if (format !== undefined) votes.set(format, (votes.get(format) ?? 0) + 1);
  }
  const [most] = [...votes].toSorted(([, one], [, other]) => other - one);
  return most?.[0];
}
