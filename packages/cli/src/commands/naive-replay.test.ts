/**
 * The command against a second opinion: each algorithm once more, straight from its definition, slow and without a line of
 * the library, over a log that a regular expression reads.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { run } from "../../test/run.js";

const log = fileURLToPath(new URL("../../test/bursts.clf", import.meta.url));
const second = 1_000_000;
const minute = 60 * second;

interface Call {
  readonly at: number;
  readonly host: string;
  readonly bytes: number;
}

/** Every line with a host and a date that exists, in order of time; lines of one second in order of the file. */
const calls: readonly Call[] = readFileSync(log, "utf8")
  .split("\n")
  .flatMap((line) => {
    const [, host, date, time, zone, bytes] =
      /^(\S+) \S+ \S+ \[(\d\d\/\w{3}\/\d{4}):(\S+) (\S{5})\] "[^"]*" \d{3} (\d+|-)$/.exec(line) ?? [];
    if (host === undefined || date?.startsWith("31/Nov")) return [];
    const at = Date.parse(`${date?.replaceAll("/", " ")} ${time} GMT${zone}`) * 1000;
    return [{ at, host, bytes: bytes === "-" ? 0 : Number(bytes) }];
  })
  .toSorted((one, other) => one.at - other.at);

type Ask = (at: number, cost: number) => boolean;

/** Allowed while what was allowed in (at - window, at] and this fit the limit. */
function slidingWindow(limit: number, window: number): Ask {
  const allowed: { at: number; cost: number }[] = [];
  return (at, cost) => {
    const used = allowed.filter((call) => call.at > at - window).reduce((sum, call) => sum + call.cost, 0);
    if (used + cost > limit) return false;
    allowed.push({ at, cost });
    return true;
  };
}

/** Windows that begin at the first allowed call outside of the last one. */
function fixedWindow(limit: number, window: number): Ask {
  let opened = Number.NEGATIVE_INFINITY;
  let used = 0;
  return (at, cost) => {
    const fresh = at >= opened + window;
    if ((fresh ? 0 : used) + cost > limit) return false;
    if (fresh) {
      opened = at;
      used = 0;
    }
    used += cost;
    return true;
  };
}

/** Windows by the clock. */
function alignedWindow(limit: number, window: number): Ask {
  const used = new Map<number, number>();
  return (at, cost) => {
    const number = Math.floor(at / window);
    const sum = (used.get(number) ?? 0) + cost;
    if (sum > limit) return false;
    used.set(number, sum);
    return true;
  };
}

/** The window before, by the share of it that a window ending now would still cover, and this one. */
function slidingCounter(limit: number, window: number): Ask {
  const used = new Map<number, number>();
  return (at, cost) => {
    const number = Math.floor(at / window);
    const before = BigInt(used.get(number - 1) ?? 0) * BigInt(window - (at % window));
    const now = BigInt((used.get(number) ?? 0) + cost) * BigInt(window);
    if (before + now > BigInt(limit) * BigInt(window)) return false;
    used.set(number, (used.get(number) ?? 0) + cost);
    return true;
  };
}

/** A level in units of 1/per token, which is a whole number at every microsecond. */
function tokenBucket(rate: number, per: number, burst: number): Ask {
  const full = BigInt(burst) * BigInt(per);
  let level = full;
  let last = 0;
  return (at, cost) => {
    level += BigInt(at - last) * BigInt(rate);
    if (level > full) level = full;
    last = at;
    const price = BigInt(cost) * BigInt(per);
    if (price > level) return false;
    level -= price;
    return true;
  };
}

/** `rate` tokens at once, every `per` since the call that found the bucket full. */
function steppedBucket(rate: number, per: number, burst: number): Ask {
  let level = burst;
  let since = 0;
  return (at, cost) => {
    for (; level < burst && since + per <= at; since += per) level = Math.min(burst, level + rate);
    if (cost > level) return false;
    if (level === burst) since = at;
    level -= cost;
    return true;
  };
}

interface Expected {
  readonly allowed: number;
  readonly refused: number;
  readonly topRefusedKeys: readonly { key: string; refused: number; overestimate: number }[];
}

function naively(make: () => Ask, keyOf: (call: Call) => string, costOf: (call: Call) => number): Expected {
  const asks = new Map<string, Ask>();
  const refused = new Map<string, number>();
  let allowed = 0;
  for (const call of calls) {
    const key = keyOf(call);
    const ask = asks.get(key) ?? make();
    asks.set(key, ask);
    const cost = costOf(call);
    // what costs nothing asks nobody
    if (cost === 0 || ask(call.at, cost)) allowed += 1;
    else refused.set(key, (refused.get(key) ?? 0) + 1);
  }
  const top = [...refused].toSorted(([one, ones], [other, others]) => others - ones || (one < other ? -1 : 1));
  return {
    allowed,
    refused: calls.length - allowed,
    topRefusedKeys: top.map(([key, count]) => ({ key, refused: count, overestimate: 0 })),
  };
}

const cases: readonly (readonly [string, () => Ask])[] = [
  ["sliding-window:8/1m", () => slidingWindow(8, minute)],
  ["sliding-window:3/7s", () => slidingWindow(3, 7 * second)],
  ["fixed-window:8/1m", () => fixedWindow(8, minute)],
  ["fixed-window:8/1m,anchor=epoch", () => alignedWindow(8, minute)],
  ["fixed-window:4/13s,anchor=first", () => fixedWindow(4, 13 * second)],
  ["sliding-counter:8/1m", () => slidingCounter(8, minute)],
  ["sliding-counter:4/13s", () => slidingCounter(4, 13 * second)],
  ["token-bucket:8/1m", () => tokenBucket(8, minute, 8)],
  ["token-bucket:7/1m,burst=3", () => tokenBucket(7, minute, 3)],
  ["token-bucket:59/7m,burst=1", () => tokenBucket(59, 7 * minute, 1)],
  ["token-bucket:3/20s,burst=5,refill=interval", () => steppedBucket(3, 20 * second, 5)],
];

const weighted: readonly (readonly [string, () => Ask])[] = [
  ["sliding-window:20000/1m", () => slidingWindow(20_000, minute)],
  ["fixed-window:20000/1m", () => fixedWindow(20_000, minute)],
  ["fixed-window:20000/1m,anchor=epoch", () => alignedWindow(20_000, minute)],
  ["sliding-counter:20000/1m", () => slidingCounter(20_000, minute)],
  ["token-bucket:9973/1m,burst=16000", () => tokenBucket(9973, minute, 16_000)],
  ["token-bucket:9973/30s,burst=16000,refill=interval", () => steppedBucket(9973, 30 * second, 16_000)],
];

async function simulated(specifications: readonly string[], ...options: string[]): Promise<Record<string, unknown>> {
  const policies = specifications.flatMap((specification) => ["--policy", specification]);
  const { status, stdout, stderr } = await run([
    "simulate",
    log,
    "--json",
    "--top",
    "100",
    "--raw-keys",
    ...options,
    ...policies,
  ]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe("sluice simulate and the naive replay agree", () => {
  it("on what the log holds", async () => {
    const report = await simulated(["sliding-window:8/1m"]);
    expect(calls.length).toBeGreaterThan(180);
    expect(report).toMatchObject({
      requests: calls.length,
      distinctKeys: new Set(calls.map(({ host }) => host)).size,
      malformed: 4,
      withoutKey: 0,
      from: new Date((calls[0] as Call).at / 1000).toISOString(),
      to: new Date((calls.at(-1) as Call).at / 1000).toISOString(),
    });
  });

  it.each([
    ["requests by host", cases, [], ({ host }: Call) => host, () => 1],
    ["requests of all together", cases, ["--no-key"], () => "everyone", () => 1],
    ["bytes by host", weighted, ["--cost", "bytes"], ({ host }: Call) => host, ({ bytes }: Call) => bytes],
  ])("on %s", async (_what, tried, options, keyOf, costOf) => {
    const { policies } = await simulated(
      tried.map(([specification]) => specification),
      ...options,
    );
    const found = policies as readonly (Expected & { policy: string })[];
    const compared = found.map(({ policy, allowed, refused, topRefusedKeys }) => ({
      policy,
      allowed,
      refused,
      topRefusedKeys,
    }));
    const expected = tried.map(([policy, make]) => ({ policy, ...naively(make, keyOf, costOf) }));
    expect(compared).toEqual(expected);
    // a log that no policy refuses anything of would prove nothing
    for (const { refused, allowed } of expected) expect(Math.min(refused, allowed)).toBeGreaterThan(5);
  });
});
