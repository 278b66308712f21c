#!/usr/bin/env node
// Semaphores against their peers: `npm run bench:flow -- [--quick] [--rounds 5]`. Each figure is one fresh process, and the
// server is one of our own. Needs a build.
import { parseArgs } from "node:util";
import { startServer } from "../scripts/servers.mjs";
import { interleave, machine, measure, median, spread, table } from "./harness.mjs";

const { values: given } = parseArgs({
  options: { quick: { type: "boolean", default: false }, rounds: { type: "string", default: "5" } },
});
const rounds = given.quick ? 1 : Number(given.rounds);
const child = new URL("./flow/semaphore.mjs", import.meta.url).pathname;
const server = await startServer();

const ask = (scenario, libraries) =>
  interleave(libraries, rounds, (library) =>
    measure(child, { scenario, library, url: server.url, quick: given.quick }),
  );

/** A table of rates, and how the first library compares with the second, round by round. */
async function rates(title, unit, scenario, libraries) {
  const figures = await ask(scenario, libraries);
  const rows = libraries.map((library) => [library, spread(figures.get(library).map(({ rate }) => rate))]);
  const [ours, theirs] = libraries.map((library) => figures.get(library));
  const ratio = median(ours.map(({ rate }, round) => rate / theirs[round].rate));
  rows.push([`**${libraries.join(" / ")}**`, `**${ratio.toPrecision(3)} ×**`]);
  return `### ${title}\n\n${table(["library", unit], rows)}`;
}

async function handover() {
  const figures = (await ask("handover", ["sluice"])).get("sluice");
  const rows = [
    ["release to grant, ms", spread(figures.map((figure) => figure.handover))],
    ["an empty script, ms", spread(figures.map((figure) => figure.roundTrip))],
    ["**round trips**", `**${median(figures.map((figure) => figure.handover / figure.roundTrip)).toFixed(2)}**`],
  ];
  return `### Semaphore: hand-over from one connection to another\n\n${table(["sluice", "median of a run"], rows)}`;
}

try {
  const parts = [
    `Machine: ${machine()}. ${rounds} rounds${given.quick ? ", quick: not to be quoted" : ""}.`,
    await rates("Semaphore in memory, empty tasks", "tasks/s", "uncontended", ["sluice", "p-limit"]),
    await rates("Semaphore on Redis: 50 come back at once for 5 permits", "tasks/s", "contended", [
      "sluice",
      "redis-semaphore",
    ]),
    await rates("Semaphore on Redis: 50 come at once for 5 permits", "tasks/s", "burst", ["sluice", "redis-semaphore"]),
    await rates("Semaphore on Redis: 50 wait", "commands/s", "idle", ["sluice", "redis-semaphore"]),
    await handover(),
  ];
  process.stdout.write(`${parts.join("\n\n")}\n`);
} finally {
  await server.stop();
}
