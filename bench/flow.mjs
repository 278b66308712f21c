#!/usr/bin/env node
// Semaphores, the serial limiter and rate-limited jobs against their peers: `npm run bench:flow -- [--quick] [--rounds 5]
// [--only serial,jobs] [--write]`. Each figure is one fresh process, and the server is one of our own. Needs a build.
import { parseArgs } from "node:util";
import { startServer } from "../scripts/servers.mjs";
import { interleave, measure, median, spread, table, tellSections } from "./harness.mjs";

const { values: given } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    only: { type: "string" },
    write: { type: "boolean", default: false },
  },
});
const rounds = given.quick ? 1 : Number(given.rounds);
const child = new URL("./flow/child.mjs", import.meta.url).pathname;
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
    ["one round trip: a free permit is taken, ms", spread(figures.map((figure) => figure.roundTrip))],
    ["an empty script, ms", spread(figures.map((figure) => figure.empty))],
    ["**round trips**", `**${median(figures.map((figure) => figure.handover / figure.roundTrip)).toFixed(2)}**`],
    ["**empty scripts**", `**${median(figures.map((figure) => figure.handover / figure.empty)).toFixed(2)}**`],
  ];
  return `### Semaphore on Redis: hand-over from one connection to another\n\n${table(["sluice", "median of a run"], rows)}`;
}

const shared = ["sluice", "redis-semaphore"];
const sections = {
  uncontended: () => rates("Semaphore in memory, empty tasks", "tasks/s", "uncontended", ["sluice", "p-limit"]),
  serial: async () =>
    [
      await rates("Serial limiter, empty tasks, one awaited after the other", "tasks/s", "serialAwaited", [
        "sluice",
        "p-queue",
      ]),
      await rates("Serial limiter, a thousand empty tasks queued at once", "tasks/s", "serialQueued", [
        "sluice",
        "p-queue",
      ]),
    ].join("\n\n"),
  jobs: async () =>
    [
      await rates("Rate-limited jobs, a thousand queued at once", "jobs/s", "jobs", ["sluice", "bottleneck"]),
      await rates("Rate-limited jobs, one awaited after the other", "jobs/s", "jobsAwaited", ["sluice", "bottleneck"]),
    ].join("\n\n"),
  contended: () => rates("Semaphore on Redis: 50 come back at once for 5 permits", "tasks/s", "contended", shared),
  burst: () => rates("Semaphore on Redis: 50 come at once for 5 permits", "tasks/s", "burst", shared),
  idle: () => rates("Semaphore on Redis: 50 wait", "commands/s", "idle", shared),
  handover,
};

try {
  await tellSections("flow", sections, given, `${rounds} rounds`);
} finally {
  await server.stop();
}
