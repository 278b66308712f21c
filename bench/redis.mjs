#!/usr/bin/env node
// The Redis store against its peers, on one server that this starts (or REDIS_URL): `npm run bench:redis -- [--quick]
// [--rounds 5] [--patience 3] [--only spread,open] [--write] [--also path/to/another/build/]`. Each figure is one fresh process; see
// README.md for the method. What other programs do on the machine is measured along: a disturbed run is done again.
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { startServer } from "../scripts/servers.mjs";
import { interleave, measure, median, short, spread, table, tellSections } from "./harness.mjs";

const { values: given } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    patience: { type: "string", default: "3" },
    only: { type: "string" },
    also: { type: "string", multiple: true, default: [] },
    write: { type: "boolean", default: false },
  },
});
const rounds = given.quick ? 1 : Number(given.rounds);
const ours = ["sluice", ...given.also.map((path) => `sluice=${new URL(path, `file://${process.cwd()}/`).pathname}`)];
const child = new URL("./redis/child.mjs", import.meta.url).pathname;
const server = await startServer();

/** A copy, where the build's own dependencies are found: the build may be made anew while this runs. */
const cache = new URL("../.cache", import.meta.url).pathname;
mkdirSync(cache, { recursive: true });
const copy = mkdtempSync(join(cache, "bench-"));
cpSync(new URL("../packages/sluice/dist", import.meta.url), copy, { recursive: true });
const build = pathToFileURL(`${copy}/`).href;

/** Cores that other programs may keep busy before a run is done again, and how often it is. */
const mostNoise = 0.25;
const mostTries = given.quick ? 1 : Number(given.patience);
const noises = [];

/** The least disturbed of a few runs. */
async function ask(task) {
  let best;
  let least = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < mostTries && least > mostNoise; attempt++) {
    const figures = await measure(child, { ...task, build, url: server.url, quick: given.quick });
    const noise = Math.max(0, ...Object.values(figures).map(({ others = 0 }) => others));
    if (noise < least) [best, least] = [figures, noise];
  }
  noises.push(least);
  return best;
}

/** A contender is a library on a client, in a setting: `{ library, client, setting }`. */
const on = (client, setting) => (library) => ({ library, client, setting });
const titleOf = ({ library, client, setting }) =>
  `${library}${setting === "lasting" ? ", keys in debt for minutes" : ""} on ${client}`;
const isOurs = ({ library }) => library.startsWith("sluice");

async function play(scenario, contenders, levels, times = rounds) {
  return interleave(contenders, times, (contender) => ask({ scenario, levels, ...contender }));
}

const milliseconds = (value) => (value < 10 ? value.toFixed(2) : value.toFixed(1));
const middle = (runs, level, name) => {
  const values = runs.flatMap((run) => (run[level] === undefined ? [] : [run[level][name]]));
  return values.length === 0 ? undefined : median(values);
};

/** How ours compares with the best peer, round by round. `pick` takes a level's figures. */
function against(figures, contender, level, pick, best) {
  const peers = [...figures.keys()].filter((peer) => !isOurs(peer));
  const ratios = figures.get(contender).map((run, round) => {
    const others = peers.map((peer) => pick(figures.get(peer)[round][level]));
    return pick(run[level]) / best(...others);
  });
  return median(ratios);
}

/** The CPU of the fastest peer of a round, and its p99, are what ours is compared with. */
function ofFastest(figures, contender, level, pick) {
  const peers = [...figures.keys()].filter((peer) => !isOurs(peer));
  const ratios = figures.get(contender).map((run, round) => {
    const [fastest] = peers
      .map((peer) => figures.get(peer)[round][level])
      .toSorted((one, other) => other.rate - one.rate);
    return pick(run[level]) / pick(fastest);
  });
  return median(ratios);
}

/** Decisions a second by calls in flight; and what a decision costs, and how long it takes, at two of these levels. */
async function closed(contenders, levels, detailed) {
  const figures = await play("closed", contenders, levels);
  const rates = [...figures].map(([contender, runs]) => [
    titleOf(contender),
    ...levels.map((level) => spread(runs.map((run) => run[level].rate))),
  ]);
  const own = contenders.filter(isOurs);
  const ratios = own.map((contender) => [
    `**${titleOf(contender)} / fastest peer of the round**`,
    ...levels.map((level) => `**${against(figures, contender, level, ({ rate }) => rate, Math.max).toFixed(2)} ×**`),
  ]);
  const inFlight = (level) => `${level} in flight`;
  const parts = [table(["decisions/s", ...levels.map(inFlight)], [...rates, ...ratios])];
  const columns = detailed.flatMap((level) => [
    { level, title: `Redis CPU µs, ${inFlight(level)}`, name: "serverMicros", text: (value) => value.toFixed(2) },
    { level, title: "Node CPU µs", name: "nodeMicros", text: (value) => value.toFixed(2) },
    { level, title: "p50 ms", name: "p50", text: milliseconds },
    { level, title: "p99 ms", name: "p99", text: milliseconds },
  ]);
  if (columns.length > 0) {
    const costs = [...figures].map(([contender, runs]) => [
      titleOf(contender),
      ...columns.map(({ level, name, text }) => text(middle(runs, level, name))),
    ]);
    const shares = own.map((contender) => [
      `**${titleOf(contender)} / fastest peer of the round**`,
      ...columns.map(
        ({ level, name }) => `**${ofFastest(figures, contender, level, (run) => run[name]).toFixed(2)} ×**`,
      ),
    ]);
    parts.push(table(["per decision", ...columns.map(({ title }) => title)], [...costs, ...shares]));
  }
  return parts.join("\n\n");
}

const plainPeers = ["hono-rate-limiter", "rate-limit-redis", "@fastify/rate-limit", "rate-limiter-flexible"];

const sections = {
  async spread() {
    const contenders = [
      ...ours.map(on("ioredis", "spread")),
      ...ours.map(on("ioredis", "lasting")),
      ...[...plainPeers, "@upstash/ratelimit fixed window"].map(on("ioredis", "spread")),
      on("iovalkey", "spread")("@fastify/rate-limit"),
    ];
    return `### 100 000 keys at random\n\n${await closed(contenders, [50, 250, 1000], [250, 1000])}`;
  },

  /**
   * How long a lone call takes depends on whether the other core sleeps, and differs by a fifth from process to process for
   * as long as they live: in each process all libraries take turns, and are compared turn by turn.
   */
  async lone() {
    const contenders = [
      ...ours.map(on("ioredis", "spread")),
      ...ours.map(on("ioredis", "lasting")),
      ...plainPeers.map(on("ioredis", "spread")),
    ];
    const turns = contenders.map(() => []);
    for (let process = 0; process < rounds; process++) {
      const figures = await measure(child, {
        scenario: "turns",
        contenders,
        turns: 24,
        build,
        url: server.url,
        quick: given.quick,
      });
      for (const [at, all] of turns.entries()) all.push(...figures[at]);
    }
    noises.push(median(turns.flat().map(({ others }) => others)));
    const middles = turns.map((all) => median(all.map(({ rate }) => rate)));
    const fastest = turns[middles.indexOf(Math.max(...middles.filter((_, at) => !isOurs(contenders[at]))))];
    const rows = contenders.map((contender, at) => {
      const ratios = turns[at].map(({ rate }, turn) => rate / fastest[turn].rate);
      return [
        titleOf(contender),
        spread(turns[at].map(({ rate }) => rate)),
        median(turns[at].map(({ serverMicros }) => serverMicros)).toFixed(1),
        median(turns[at].map(({ nodeMicros }) => nodeMicros)).toFixed(1),
        milliseconds(median(turns[at].map(({ p99 }) => p99))),
        `${median(ratios).toFixed(2)} ×`,
      ];
    });
    const head = [
      "one call at a time",
      "decisions/s",
      "Redis CPU µs",
      "Node CPU µs",
      "p99 ms",
      "/ fastest peer, turn by turn",
    ];
    return `### 100 000 keys at random, one call at a time\n\n${table(head, rows)}`;
  },

  async hot() {
    const contenders = [
      ...ours.map(on("ioredis", "hot")),
      ...ours.map((library) => on("ioredis", "hot")(`${library}, prefetch`)),
      ...plainPeers.map(on("ioredis", "hot")),
      on("iovalkey", "hot")("@fastify/rate-limit"),
    ];
    return `### One hot key\n\n${await closed(contenders, [50, 250, 1000], [1000])}`;
  },

  async spent() {
    const contenders = [
      ...ours,
      "rate-limiter-flexible, inMemoryBlockOnConsumed",
      "@upstash/ratelimit fixed window, ephemeralCache",
      "@upstash/ratelimit sliding window, ephemeralCache",
    ].map(on("ioredis", "spent"));
    return `### One hot key that is spent (1000 calls a second are allowed)\n\n${await closed(contenders, [50, 1000], [1000])}`;
  },

  async open() {
    const rates = [50_000, 100_000, 150_000, 200_000];
    const contenders = [...ours, ...plainPeers].map(on("ioredis", "spread"));
    const figures = await play("open", contenders, rates);
    const cell = (runs, rate) => {
      const kept = runs.filter((run) => run[rate] !== undefined && !run[rate].lost);
      if (kept.length * 2 <= runs.length) return "falls behind";
      const failed = median(kept.map((run) => run[rate].failed));
      const latency = `${milliseconds(middle(kept, rate, "p50"))} / ${milliseconds(middle(kept, rate, "p99"))}`;
      return failed > 0 ? `${latency}, ${short(failed)} late` : latency;
    };
    const rows = [...figures].map(([contender, runs]) => [
      titleOf(contender),
      ...rates.map((rate) => cell(runs, rate)),
    ]);
    const head = ["p50 / p99 ms", ...rates.map((rate) => `${short(rate)}/s`)];
    return `### Open loop: 100 000 keys, arrivals at a fixed rate, latency from the scheduled arrival\n\n${table(head, rows)}`;
  },

  async clients() {
    const parts = [];
    for (const [client, peers] of [
      ["node-redis", ["rate-limit-redis", "hono-rate-limiter", "rate-limiter-flexible"]],
      ["valkey-glide", ["rate-limit-redis", "hono-rate-limiter"]],
    ]) {
      parts.push(await closed(ours.concat(peers).map(on(client, "spread")), [50, 250, 1000], [250]));
    }
    return `### Other clients: 100 000 keys at random\n\n${parts.join("\n\n")}`;
  },

  async memory() {
    const few = await ask({ scenario: "memory", calls: 5 });
    const many = await ask({ scenario: "memory", calls: 10_000 });
    const rows = Object.keys(few).map((title) => [
      title,
      few[title].whole,
      few[title].state,
      title === "sliding window"
        ? `${many[title].whole} (${(many[title].whole / 10_000).toFixed(2)} a call)`
        : many[title].whole,
    ]);
    const head = ["policy", "whole key, bytes", "of which state", "whole after 10 000 calls"];
    return `### Bytes on the server (\`MEMORY USAGE\`; the user's key has 10 characters, the whole ${few["fixed window"].key} or so)\n\n${table(head, rows)}`;
  },
};

/** How much the rest of the machine did during a section. */
function othersDid() {
  const text = `Others kept ${median(noises).toFixed(2)} cores busy (median; at most ${Math.max(...noises).toFixed(2)}).`;
  noises.length = 0;
  return `\n\n${text}`;
}

try {
  const kind = server.label.split("/").at(-1);
  await tellSections("redis", sections, given, `${kind}. ${rounds} rounds`, othersDid);
} finally {
  rmSync(copy, { recursive: true });
  await server.stop();
}
