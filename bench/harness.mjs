// What the benches share: fresh child processes in interleaved rounds, medians and ranges, tables, the machine line.
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { arch, availableParallelism, cpus, release, totalmem, type } from "node:os";

/** Which machine, when: no figure means anything without it. */
function machine() {
  const { model } = cpus()[0] ?? { model: "unknown CPU" };
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const day = new Date().toISOString().slice(0, 10);
  return `${model.trim()}, ${availableParallelism()} cores, ${memory}, ${type()} ${release()} ${arch()}, Node ${process.version}, ${day}`;
}

/** Runs a child that prints one line of JSON; the line, parsed. */
export async function measure(file, task, { flags = [], timeout = 300_000 } = {}) {
  const child = spawn(process.execPath, [...flags, file, JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout,
  });
  let output = "";
  for await (const piece of child.stdout) output += piece;
  const code = child.exitCode ?? (await new Promise((resolve) => child.once("close", resolve)));
  if (code !== 0) throw new Error(`${JSON.stringify(task)} ended with ${code ?? child.signalCode}`);
  return JSON.parse(output);
}

/** Every round asks every library once before the next round begins, so that a noisy minute hurts all of them. */
export async function interleave(libraries, rounds, ask) {
  const figures = new Map(libraries.map((library) => [library, []]));
  for (let round = 0; round < rounds; round++) {
    for (const library of libraries) figures.get(library).push(await ask(library));
    process.stderr.write(".");
  }
  process.stderr.write("\n");
  return figures;
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Three digits and a suffix: 25.8 M, 640 k. */
export function short(value) {
  for (const [size, suffix] of [
    [1e9, " G"],
    [1e6, " M"],
    [1e3, " k"],
  ]) {
    if (value >= size) return `${digits(value / size)}${suffix}`;
  }
  return digits(value);
}

function digits(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** `median [least..most]`. */
export function spread(values) {
  const range = `[${short(Math.min(...values))}..${short(Math.max(...values))}]`;
  return values.length === 1 ? short(values[0]) : `${short(median(values))} ${range}`;
}

/** A Markdown table; the first column to the left, the others to the right. */
export function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, index) => (index === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}

/**
 * Runs the sections that `only` names, or all; tells each as soon as it is known; with `write`, puts all of it into the
 * block of README.md. `rounds` is how the rounds are described; `after` adds to each section what it knows by then.
 */
export async function tellSections(block, sections, { only, write, quick }, rounds, after = () => "") {
  const chosen = only?.split(",") ?? Object.keys(sections);
  const unknown = chosen.find((name) => sections[name] === undefined);
  if (unknown !== undefined) throw new Error(`No section ${unknown}: choose from ${Object.keys(sections).join(", ")}.`);
  const parts = [];
  const tell = (text) => {
    parts.push(text);
    process.stdout.write(`${text}\n\n`);
  };
  tell(`Machine: ${machine()}. ${rounds}${quick ? ", quick: not to be quoted" : ""}.`);
  for (const name of chosen) {
    process.stderr.write(`${name} `);
    tell((await sections[name]()) + after());
  }
  if (write) writeBlock(new URL("./README.md", import.meta.url).pathname, block, parts.join("\n\n"));
}

/** Puts `text` between the marks `<!-- name -->` and `<!-- /name -->` of a file. */
function writeBlock(file, name, text) {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const before = readFileSync(file, "utf8");
  const from = before.indexOf(open);
  const to = before.indexOf(close);
  if (from < 0 || to < from) throw new Error(`${file} has no block ${open} … ${close}`);
  writeFileSync(file, `${before.slice(0, from + open.length)}\n${text}\n${before.slice(to)}`);
}
