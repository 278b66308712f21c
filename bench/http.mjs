#!/usr/bin/env node
// What a limiter costs an HTTP service: each framework bare, with sluice, and with its usual limiter, in the same
// interleaved rounds. Ratios are paired: each round's figure against the bare server of the same round. Needs a build, and
// wrk.
//
//   node bench/http.mjs [--only express,fastify,hono,node,koa,redis] [--rounds 30] [--starts 6] [--seconds 1] [--quick] [--write]
import { parseArgs } from "node:util";
import { startServer } from "../scripts/servers.mjs";
import { measure, median, short, spread, table, tellSections } from "./harness.mjs";
import { usualNames } from "./http/variants.mjs";

const { values: given } = parseArgs({
  options: {
    only: { type: "string" },
    rounds: { type: "string" },
    starts: { type: "string" },
    seconds: { type: "string" },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const rounds = Number(given.rounds ?? (given.quick ? 4 : 30));
const starts = Number(given.starts ?? (given.quick ? 1 : 6));
const seconds = Number(given.seconds ?? 1);
const child = new URL("./http/child.mjs", import.meta.url).pathname;

/** What is compared, and how it is called. */
const variants = {
  express: [
    "bare",
    "the address and two fields, no limiter",
    "sluice",
    "sluice, all headers",
    "usual",
    "usual, all headers",
  ],
  fastify: ["bare", "sluice", "sluice, all headers", "usual"],
  hono: [
    "bare",
    "middleware that does nothing",
    "the same five fields, no limiter",
    "sluice",
    "sluice, all headers",
    "usual",
    "usual, all headers",
  ],
  node: ["bare", "sluice", "sluice, all headers"],
  koa: ["bare", "sluice", "sluice, all headers"],
};

const onRedis = ["bare", "middleware that does nothing", "sluice", "usual"];

const rate = ({ rate: perSecond }) => perSecond;
const nameOf = (framework, variant) => variant.replace("usual", usualNames[framework] ?? "usual");
const paired = (figures, of, to, pick) =>
  figures.get(of).map((figure, round) => pick(figure) / pick(figures.get(to)[round]));

/** One table: a row for each variant, against the bare server and against the usual limiter. */
function compared(framework, figures) {
  const names = [...figures.keys()];
  const rows = names.map((variant) => {
    const own = figures.get(variant);
    const usual = names.includes("usual") ? median(paired(figures, variant, "usual", rate)).toFixed(2) : "–";
    const added = own.map(({ cpu }, round) => cpu - figures.get("bare")[round].cpu);
    return [
      nameOf(framework, variant),
      spread(own.map(rate)),
      median(paired(figures, variant, "bare", rate)).toFixed(2),
      usual,
      short(median(own.map(({ cpu }) => cpu))),
      median(added).toFixed(1),
      `${median(own.map(({ p50 }) => p50)).toFixed(1)} / ${median(own.map(({ p99 }) => p99)).toFixed(1)}`,
    ];
  });
  const head = ["server", "requests/s", "× bare", "× usual", "CPU µs/request", "added µs", "p50 / p99, ms"];
  return table(head, rows);
}

async function compareOn(name, extra = {}) {
  const names = extra.redisUrl === undefined ? variants[name] : variants[name].filter((each) => onRedis.includes(each));
  process.stderr.write(`${name}\n`);
  const figures = await measure(child, {
    framework: name,
    variants: names,
    rounds,
    starts,
    connections: 50,
    seconds,
    ...extra,
  });
  return compared(name, new Map(Object.entries(figures)));
}

const sections = {
  ...Object.fromEntries(
    Object.keys(variants).map((name) => [name, async () => `### ${name}\n\n${await compareOn(name)}`]),
  ),
  async redis() {
    const server = await startServer();
    try {
      const parts = [];
      for (const name of Object.keys(usualNames)) {
        const extra = { redisUrl: server.url, connections: 250 };
        parts.push(`#### ${name}\n\n${await compareOn(name, extra)}`);
      }
      return `### On Redis, one hot address, 250 connections\n\n${parts.join("\n\n")}`;
    } finally {
      await server.stop();
    }
  },
};

await tellSections("http", sections, given, `${rounds} rounds of ${seconds} s, the servers started ${starts} times`);
