import Table from "cli-table3";
import type { SimulationReport } from "sluice/simulate";
import type { SourceReport } from "../input/source.js";
import type { ReplayReport } from "../replay.js";
import type { Colours } from "./colours.js";
import { count, duration, moment, percent, printable, shortened } from "./text.js";

/** What to print: a report without what only inputs have is one of traffic that came from nowhere. */
export type PrintedReport = SimulationReport & Partial<Omit<ReplayReport, keyof SimulationReport>>;

/** How wide, how many keys, which colours. */
export interface Layout {
  readonly width: number;
  readonly topKeys: number;
  readonly colours: Colours;
}

type PolicyReport = PrintedReport["policies"][number];

const narrowestName = 16;

/** The report as text for people. */
export function printReport(report: PrintedReport, layout: Layout): string {
  return [
    ...headline(report, layout),
    "",
    counts(report, layout),
    ...waits(report, layout),
    ...lockOuts(report, layout),
    ...mostRefused(report, layout),
    ...notes(report, layout),
    "",
  ].join("\n");
}

function headline(report: PrintedReport, { width, colours }: Layout): string[] {
  const { requests, cost, from = 0, to = 0, distinctKeys, distinctKeysExact, inputs = [] } = report;
  const keys = `${distinctKeysExact ? "" : "more than "}${count(distinctKeys)} ${distinctKeys === 1 ? "key" : "keys"}`;
  const costs = cost === requests ? "" : `, cost ${count(cost)}`;
  const span = to > from ? `${moment(from)} to ${moment(to)} (${duration(to - from)})` : moment(from);
  return [
    colours.bold(`${count(requests)} ${requests === 1 ? "request" : "requests"} of ${keys}${costs}`),
    span,
    ...inputLines(inputs, width).map((line) => colours.dim(line)),
  ];
}

/** What was read as what; files that were read alike share a line. */
function inputLines(inputs: readonly SourceReport[], width: number): string[] {
  const alike: { readonly format: string; readonly fields: string; readonly files: string[] }[] = [];
  for (const { file, format = "nothing", key, time, cost } of inputs) {
    const fields = printable(
      `key: ${key ?? "none, all count together"}, time: ${time ?? "none"}, cost: ${cost ?? "1"}`,
    );
    const known = alike.find((one) => one.format === format && one.fields === fields);
    if (known === undefined) alike.push({ format, fields, files: [file] });
    else known.files.push(file);
  }
  return alike.flatMap(({ format, fields, files }) => {
    const more = files.length > 3 ? ` and ${count(files.length - 2)} more` : "";
    const names = printable(files.slice(0, more === "" ? 3 : 2).join(", ")) + more;
    const what = `${names}: ${format};`;
    return what.length + fields.length < width ? [`${what} ${fields}`] : [what, `  ${fields}`];
  });
}

function counts(report: PrintedReport, layout: Layout): string {
  const weighted = report.cost !== report.requests;
  const head = ["Policy", "allowed", "refused", "share", "keys refused", ...(weighted ? ["cost refused"] : [])];
  const rows = report.policies.map((policy) => [
    count(policy.allowed),
    count(policy.refused),
    percent(policy.refusedShare),
    `${policy.refusedKeysExact ? "" : ">"}${count(policy.refusedKeys)}`,
    ...(weighted ? [percent(policy.refusedCost / report.cost)] : []),
  ]);
  return table(head, report.policies, rows, layout);
}

function waits(report: PrintedReport, layout: Layout): string[] {
  if (report.policies.every(({ wait }) => wait === undefined)) return [];
  const rows = report.policies.map(({ wait }) =>
    wait === undefined ? ["-", "-", "-", "-"] : [wait.p50, wait.p95, wait.p99, wait.longest].map(duration),
  );
  const head = ["If the refused had waited", "p50", "p95", "p99", "longest"];
  return ["", table(head, report.policies, rows, layout)];
}

/** For how long a key was shut out at most, and which. */
function lockOuts(report: PrintedReport, { width, colours }: Layout): string[] {
  const rows = report.policies.flatMap(({ policy, longestLockout, longestLockoutKey }) =>
    longestLockoutKey === undefined ? [] : [[policy, duration(longestLockout), printable(longestLockoutKey)] as const],
  );
  if (rows.length === 0) return [];
  const head = "Longest lock-out";
  const figures = Math.max(...rows.map(([, time]) => time.length));
  const room = Math.min(Math.max(head.length, ...rows.map(([policy]) => policy.length)), width - figures - 19);
  return [
    "",
    colours.dim(head),
    ...rows.map(([policy, time, key]) => {
      const name = shortened(policy, room).padEnd(room);
      return `${colours.cyan(name)}  ${time.padStart(figures)}  ${shortened(key, width - room - figures - 4)}`;
    }),
  ];
}

/** A row for each policy; its name takes the room that the figures leave. */
function table(
  head: readonly string[],
  policies: readonly PolicyReport[],
  rows: readonly (readonly string[])[],
  { width, colours }: Layout,
): string {
  const widths = head.slice(1).map((title, column) => {
    const figures = rows.map((row) => (row[column] as string).length);
    return Math.max(title.length, ...figures);
  });
  const taken = widths.reduce((sum, each) => sum + each + 2, 0);
  const widest = Math.max((head[0] as string).length, ...policies.map(({ policy }) => policy.length));
  const room = Math.max(narrowestName, Math.min(widest, width - taken));
  const made = new Table({
    head: head.map((title) => colours.dim(title)),
    chars: noLines,
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [], compact: true },
    colWidths: [room, ...widths],
    colAligns: ["left", ...widths.map(() => "right" as const)],
  });
  for (const [index, row] of rows.entries()) {
    const { policy, refused } = policies[index] as PolicyReport;
    made.push([
      colours.cyan(shortened(policy, room)),
      ...row.map((text) => (refused === 0 ? colours.green(text) : text)),
    ]);
  }
  return made.toString();
}

/** Nothing but two spaces between the columns. */
const noLines = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
} as const;

function mostRefused(report: PrintedReport, { width, topKeys, colours }: Layout): string[] {
  const refusing = report.policies.filter(({ refused }) => refused > 0);
  if (topKeys === 0 || refusing.length === 0) return [];
  return refusing.flatMap((policy) => {
    const top = policy.topRefusedKeys.slice(0, topKeys);
    const figures = top.map(({ refused, overestimate }) => `${overestimate > 0 ? "≤ " : ""}${count(refused)}`);
    const widest = Math.max(...figures.map(({ length }) => length));
    return [
      "",
      colours.dim("Most refused by ") + colours.cyan(shortened(policy.policy, width - 16)),
      ...top.map(({ key, refused }, index) => {
        const share = percent(Math.min(1, refused / policy.refused));
        return `${(figures[index] as string).padStart(widest + 2)}  ${share.padStart(7)}  ${shortened(printable(key), width - widest - 13)}`;
      }),
    ];
  });
}

/** A sentence in lines of so many characters, indented from the second on. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of printable(text).split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(last === undefined ? word : `  ${word}`);
  }
  return lines;
}

function notes(report: PrintedReport, { width, colours }: Layout): string[] {
  const { malformed = 0, malformedSamples = [], withoutKey = 0, inputs = [], policies } = report;
  const lines: string[] = [];
  if (malformed > 0) {
    const all = inputs.reduce((sum, input) => sum + input.lines, 0);
    const are = malformed === 1 ? "is" : "are";
    lines.push(
      `${count(malformed)} of ${count(all)} ${all === 1 ? "line" : "lines"} ${are} malformed and left out, such as`,
    );
    for (const { file, line, why, text } of malformedSamples.slice(0, 2)) {
      const place = inputs.length > 1 ? `${printable(file)}, line ${line}` : `line ${line}`;
      lines.push(shortened(`  ${place} (${why}): ${printable(text)}`, width));
    }
  }
  if (withoutKey > 0)
    lines.push(`${count(withoutKey)} ${withoutKey === 1 ? "request has" : "requests have"} no key: left out.`);
  for (const doubt of new Set(inputs.flatMap((input) => input.doubt ?? []))) lines.push(...wrapped(doubt, width));
  if (policies.some(({ topRefusedKeys }) => topRefusedKeys.some(({ overestimate }) => overestimate > 0))) {
    lines.push("≤ is approximate, and not below the truth: more than 10,000 keys were refused.");
  }
  for (const { policy, impossible } of policies) {
    if (impossible === 0) continue;
    lines.push(`${shortened(policy, width - 1)}:`);
    lines.push(`  ${count(impossible)} of the refused cost more than the limit; these can never pass.`);
  }
  if (policies.some(({ exact }) => !exact)) {
    lines.push("More keys than --max-keys were in use at once: those nearest to fresh were");
    lines.push("  forgotten, so that refusals may be missing.");
  }
  return lines.length === 0 ? [] : ["", ...lines.map((line) => colours.yellow(line))];
}
