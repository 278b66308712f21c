import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  type Decision,
  fixedWindow,
  MaxWaitExceededError,
  memoryStore,
  type Policy,
  rateLimiter,
  type SyncRateLimiter,
  slidingCounter,
  slidingWindow,
  tokenBucket,
} from "../index.js";
import { manualClock } from "../testing/manual-clock.js";

/** The tables of worked numbers in the READMEs of the algorithms, run row by row. */

const factories: Readonly<Record<string, (options: never) => Policy>> = {
  fixedWindow,
  slidingWindow,
  slidingCounter,
  tokenBucket,
};
const columns = ["at", "verb", "cost", "allowed", "remaining", "retryAfter", "resetAfter"] as const;
type Row = Readonly<Record<(typeof columns)[number], string>>;

interface Table {
  readonly policy: string;
  readonly rows: readonly Row[];
}

/** A policy stands alone on a line, in backquotes; its table follows. */
function tablesIn(text: string): readonly Table[] {
  const tables: { policy: string; rows: Row[] }[] = [];
  for (const line of text.split("\n")) {
    const [, policy] = /^`(\w+\(\{.*\}\))`$/.exec(line) ?? [];
    if (policy !== undefined) tables.push({ policy, rows: [] });
    if (!line.startsWith("|") || line.startsWith("| -")) continue;
    const cells = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    expect(cells, line).toHaveLength(columns.length);
    if (cells[0] === "at") expect(cells).toEqual(columns);
    else tables.at(-1)?.rows.push(Object.fromEntries(columns.map((column, index) => [column, cells[index]])) as Row);
  }
  return tables;
}

function policyOf(text: string): Policy {
  const [, factory, options] = /^(\w+)\((.*)\)$/.exec(text) ?? [];
  const json = (options as string).replace(/(\w+):/g, '"$1":');
  return (factories[factory as string] as (options: unknown) => Policy)(JSON.parse(json));
}

async function answer(limiter: SyncRateLimiter, { verb, cost: text }: Row): Promise<Partial<Row>> {
  const cost = Number(text);
  if (verb === "refund") {
    await limiter.refund("key", { cost });
    return {};
  }
  if (verb === "wait") {
    const probe = await limiter.wait("key", { cost, maxWait: 0 }).catch((error: unknown) => error);
    expect(probe).toBeInstanceOf(MaxWaitExceededError);
    void limiter.wait("key", { cost }).catch(() => {});
    return { allowed: "yes", retryAfter: String((probe as MaxWaitExceededError).wait) };
  }
  const decision = await (limiter as unknown as Record<string, (key: string, options: object) => Promise<Decision>>)[
    verb
  ]?.("key", { cost });
  const { allowed, remaining, retryAfter, resetAfter } = decision as Decision;
  return {
    allowed: allowed ? "yes" : "no",
    remaining: String(remaining),
    retryAfter: String(retryAfter),
    resetAfter: String(resetAfter),
  };
}

/** Every folder is an algorithm's, but that of the snapshots. */
const rooms = readdirSync(import.meta.dirname, { withFileTypes: true }).filter(
  (entry) => entry.isDirectory() && entry.name !== "__snapshots__",
);

describe.each(rooms.map(({ name }) => name))("the README of %s", (room) => {
  const text = readFileSync(join(import.meta.dirname, room, "README.md"), "utf8");
  const tables = tablesIn(text);

  it("states its bound, when to choose it, and has worked numbers", () => {
    expect(text).toContain("**Bound");
    expect(text).toContain("**Choose it**");
    expect(tables.length).toBeGreaterThan(0);
    for (const { rows } of tables) expect(rows.length).toBeGreaterThan(4);
  });

  it.each(tables)("$policy", async ({ policy, rows }) => {
    expect(await differences(policy, rows)).toEqual([]);
  });

  it.each(tables)("a wrong number anywhere would fail: $policy", async ({ policy, rows }) => {
    for (const [index, row] of rows.entries()) {
      for (const column of columns.slice(3)) {
        if (row[column] === "") continue;
        const wrong = { yes: "no", no: "yes", Infinity: "1" }[row[column]] ?? String(Number(row[column]) + 0.001);
        expect(await differences(policy, rows.with(index, { ...row, [column]: wrong }))).not.toEqual([]);
      }
    }
  });
});

/** Runs the rows in order; says where an answer is not what the table says. */
async function differences(policy: string, rows: readonly Row[]): Promise<readonly string[]> {
  const start = 864_000_000_000_000;
  const clock = manualClock(start);
  const limiter = rateLimiter(policyOf(policy), { store: memoryStore({ clock }) });
  const found: string[] = [];
  for (const row of rows) {
    clock.set(start + Math.round(Number(row.at) * 1000));
    const got = await answer(limiter, row);
    for (const column of columns.slice(3)) {
      if (row[column] !== "" && row[column] !== got[column]) {
        found.push(`at ${row.at}, ${row.verb} ${row.cost}: ${column} is ${got[column]}, not ${row[column]}`);
      }
    }
  }
  await limiter.close();
  return found;
}
