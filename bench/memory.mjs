#!/usr/bin/env node
// The memory store against its peers: `npm run bench:memory -- [--quick] [--rounds 5] [--only hot,spread] [--write]
// [--also path/to/another/build/index.js]`. Each figure is one fresh process; see README.md for the method.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { interleave, measure, median, spread, table, tellSections } from "./harness.mjs";
import { peerNames, policyNames } from "./memory/libraries.mjs";

const { values: given } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    only: { type: "string" },
    also: { type: "string", multiple: true, default: [] },
    write: { type: "boolean", default: false },
  },
});
const rounds = given.quick ? 1 : Number(given.rounds);
const child = new URL("./memory/child.mjs", import.meta.url).pathname;
const ours = ["sluice", ...given.also.map((path) => `sluice=${new URL(path, `file://${process.cwd()}/`).pathname}`)];
const all = [...ours, ...peerNames];

/** Ten million keys take gigabytes. */
const flags = ["--expose-gc", "--max-old-space-size=12288"];
const ask = (task) => measure(child, { ...task, quick: given.quick }, { flags });
const run = (libraries, task, times = rounds) =>
  interleave(libraries, times, (library) => ask({ library, ...task(library) }));

/** How sluice compares with the best peer, round by round: `higher` is better, or lower. */
function against(figures, library, higher) {
  const best = (round) => {
    const peers = peerNames.map((peer) => figures.get(peer)[round]);
    return higher ? Math.max(...peers) : Math.min(...peers);
  };
  return median(figures.get(library).map((figure, round) => figure / best(round)));
}

/** One column per figure of the same runs: title, how to pick it, unit and direction. */
function compared(figures, columns) {
  const head = ["library", ...columns.map(({ title }) => title)];
  const picked = columns.map(
    ({ pick }) => new Map([...figures].map(([library, runs]) => [library, runs.map((figure) => pick(figure))])),
  );
  const rows = [...figures.keys()].map((library) => [library, ...picked.map((column) => spread(column.get(library)))]);
  const ratios = ours.map((library) => [
    `**${library} / best peer of the round**`,
    ...columns.map(({ higher }, index) => `**${against(picked[index], library, higher).toFixed(2)} ×**`),
  ]);
  return table(head, [...rows, ...ratios]);
}

const pickRate = ({ rate }) => rate;

const sections = {
  async hot() {
    const admitted = await run(all, () => ({ scenario: "hot", setting: "plenty" }));
    const refused = await run(all, () => ({ scenario: "hot", setting: "scarce" }));
    const both = new Map(
      all.map((library) => [
        library,
        admitted.get(library).map((figure, round) => [figure.rate, refused.get(library)[round].rate]),
      ]),
    );
    const columns = [
      { title: "admitted, calls/s", pick: ([rate]) => rate, higher: true },
      { title: "refused, calls/s", pick: ([, rate]) => rate, higher: true },
      { title: "refusal / admission, time", pick: ([yes, no]) => yes / no, higher: false },
    ];
    const flexible = peerNames.find((name) => name.startsWith("rate-limiter-flexible"));
    const times = ours.map((library) => {
      const ratio = median(admitted.get(library).map(({ rate }, round) => rate / admitted.get(flexible)[round].rate));
      return `${library}: ${ratio.toFixed(1)} × rate-limiter-flexible, admitted.`;
    });
    return `### One hot key\n\n${compared(both, columns)}\n\n${times.join("\n")}`;
  },

  async spread() {
    const figures = await run(all, () => ({ scenario: "spread" }));
    const columns = [{ title: "calls/s", pick: pickRate, higher: true }];
    return `### 100 000 keys at random\n\n${compared(figures, columns)}`;
  },

  async million() {
    const figures = await run(all, () => ({ scenario: "million" }));
    const columns = [
      { title: "inserted, keys/s", pick: ({ insert }) => insert, higher: true },
      { title: "touched at random by fresh strings, calls/s", pick: ({ touch }) => touch, higher: true },
      { title: "heap and typed arrays, bytes/key", pick: ({ bytes }) => bytes, higher: false },
    ];
    return `### ${given.quick ? "200 000" : "1 000 000"} keys\n\n${compared(figures, columns)}`;
  },

  async longest() {
    const figures = await run(all, () => ({ scenario: "longest" }), Math.min(rounds, 3));
    const columns = [{ title: "longest call, ms", pick: ({ longest }) => longest, higher: false }];
    return `### The longest call while ${given.quick ? "one" : "ten"} million keys are inserted\n\n${compared(figures, columns)}`;
  },

  async log() {
    const rows = [];
    for (const [calls, keys] of [
      [10, 100_000],
      [1000, 1000],
      [10_000, 100],
      [100_000, 10],
    ]) {
      const figures = await run(ours, () => ({ scenario: "log", calls, keys }), Math.min(rounds, 3));
      rows.push([
        calls.toLocaleString("en"),
        ...ours.map((library) => spread(figures.get(library).map((f) => f.bytes))),
      ]);
    }
    return `### Exact sliding window: bytes per logged call, beyond the key\n\n${table(["calls per key", ...ours], rows)}`;
  },

  /** The whole command on a file of its own; on Linux it is held to one core. */
  async simulate() {
    const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
    const file = join(folder, "access.log");
    const lines = given.quick ? 200_000 : 2_000_000;
    const two = (value) => String(value).padStart(2, "0");
    let text = "";
    for (let line = 0; line < lines; line++) {
      const second = Math.floor(line / 20);
      const client = Math.imul(line, 2654435761) >>> 16;
      const at = `${two(1 + (Math.floor(second / 86_400) % 28))}/Jan/2026:${two(Math.floor(second / 3600) % 24)}:${two(Math.floor(second / 60) % 60)}:${two(second % 60)} +0000`;
      text += `10.${client % 4}.${(client >> 4) % 256}.${(client >> 8) % 256} - - [${at}] "GET /item/${line % 977} HTTP/1.1" 200 ${line % 5000}\n`;
    }
    writeFileSync(file, text);
    const command = new URL("../packages/cli/bin/sluice.js", import.meta.url).pathname;
    const isLinux = process.platform === "linux";
    const replay = (policies) => {
      const options = policies.flatMap((policy) => ["--policy", policy]);
      const words = [command, "simulate", file, ...options, "--json"];
      const [program, args] = isLinux
        ? ["taskset", ["-c", "0", process.execPath, ...words]]
        : [process.execPath, words];
      const from = performance.now();
      execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
      return lines / ((performance.now() - from) / 1000);
    };
    const rows = [];
    for (const policies of [["token-bucket:100/1m"], ["token-bucket:100/1m", "sliding-window:100/1m"]]) {
      rows.push([policies.join(" and "), spread(Array.from({ length: rounds }, () => replay(policies)))]);
    }
    const size = Math.round(statSync(file).size / 2 ** 20);
    rmSync(folder, { recursive: true });
    return `### \`sluice simulate\`, ${lines.toLocaleString("en")} lines of the common log format (${size} MiB), the whole command on one core\n\n${table(["policies", "requests/s"], rows)}`;
  },

  async algorithms() {
    const rows = [];
    for (const policy of policyNames) {
      const exact = policy === "sliding window";
      const admitted = await run(ours, () => ({ scenario: "hot", setting: exact ? "brief" : "plenty", policy }));
      const refused = await run(ours, () => ({ scenario: "hot", setting: "scarce", policy }));
      const cell = (figures) => ours.map((library) => spread(figures.get(library).map(pickRate)));
      rows.push([policy, ...cell(admitted), ...cell(refused)]);
    }
    const head = (verdict) => ours.map((library) => `${verdict}, calls/s${ours.length > 1 ? ` (${library})` : ""}`);
    return `### All algorithms, one hot key\n\n${table(["policy", ...head("admitted"), ...head("refused")], rows)}`;
  },
};

await tellSections("memory", sections, given, `${rounds} rounds`);
