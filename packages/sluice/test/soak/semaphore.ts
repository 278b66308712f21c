import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { Redis } from "ioredis";
import { semaphore } from "../../src/semaphore/semaphore.js";
import { redisStore } from "../../src/stores/redis/redis.js";

/** What a soak found. */
export interface SoakReport {
  readonly grants: number;
  readonly lost: number;
  readonly kills: number;
  readonly pauses: number;
  readonly cuts: number;
  /** The most permits of each key that were held at once, by those who could know that they held them. */
  readonly most: Readonly<Record<string, number>>;
  /** What must not be; empty when all is well. */
  readonly violations: readonly string[];
}

/** One time that permits were held, in ns of the machine's monotonic clock. */
interface Holding {
  readonly key: string;
  readonly token: number;
  readonly permits: number;
  readonly from: bigint;
  to: bigint | undefined;
  lost: boolean;
  releasing: bigint | undefined;
}

interface Worker {
  readonly process: ChildProcess;
  readonly holdings: Map<string, Holding>;
  /** It has said something, or has ended: it hears signals. */
  readonly ready: Promise<void>;
  readonly exit: Promise<number | null>;
  readonly pauses: bigint[];
  killed: bigint | undefined;
  words: string;
}

const lease = 500;
const capacities: Readonly<Record<string, number>> = { one: 1, three: 3, ten: 10 };
const processes = 3;

const random = (most: number): number => Math.floor(Math.random() * most);
const sleep = (time: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, time);
  });
const now = (): bigint => process.hrtime.bigint();

/**
 * Three processes contend for permits on a real server for `seconds`, while they are killed, stopped for longer than
 * their lease, and cut from the server at random. Finds out whether ever more was held than there is, by the holders'
 * own records and by the server's, and whether every permit is free in the end.
 */
export async function soakSemaphore(url: string, seconds: number): Promise<SoakReport> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-soak-"));
  const program = join(folder, "worker.mjs");
  const admin = new Redis(url);
  admin.on("error", () => {});
  const violations: string[] = [];
  const workers: Worker[] = [];
  const counts = { kills: 0, pauses: 0, cuts: 0 };
  const end = performance.now() + seconds * 1000;
  const gates = Object.entries(capacities).map(([key, permits]) => ({
    key,
    permits,
    gate: semaphore({ permits, lease, store: redisStore(admin), name: "soak", timeout: 2000 }),
  }));
  try {
    await build({
      entryPoints: [join(import.meta.dirname, "semaphore-worker.ts")],
      outfile: program,
      bundle: true,
      platform: "node",
      target: "node20",
      format: "esm",
      banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
      logLevel: "error",
    });
    const living = Array.from({ length: processes }, () => start(program, url, workers));
    const disturb = async (index: number): Promise<void> => {
      while (performance.now() < end) {
        await sleep(500 + random(4000));
        if (performance.now() >= end) return;
        const worker = living[index] as Worker;
        if (random(2) === 0) {
          counts.kills += 1;
          worker.killed = now();
          worker.process.kill("SIGKILL");
          await worker.exit;
          living[index] = start(program, url, workers);
        } else {
          counts.pauses += 1;
          worker.pauses.push(now());
          worker.process.kill("SIGSTOP");
          await sleep(random(3) === 0 ? random(lease) : lease + random(lease));
          worker.process.kill("SIGCONT");
        }
      }
    };
    const cut = async (): Promise<void> => {
      while (performance.now() < end) {
        await sleep(500 + random(2000));
        counts.cuts += 1;
        await admin.call("CLIENT", "KILL", "TYPE", random(2) === 0 ? "normal" : "pubsub", "SKIPME", "yes");
      }
    };
    const watch = async (): Promise<void> => {
      while (performance.now() < end) {
        for (const { key, permits, gate } of gates) {
          const { held } = await gate.inspect(key);
          if (held > permits) violations.push(`the server counted ${held} of ${permits} permits of "${key}" out`);
        }
        await sleep(20);
      }
    };
    await Promise.all([...living.map((_, index) => disturb(index)), cut(), watch()]);
    for (const worker of living) {
      await worker.ready;
      worker.process.kill("SIGTERM");
    }
    for (const worker of living) {
      const code = await worker.exit;
      if (code !== 0 && worker.killed === undefined) violations.push(`a process ended with ${code}`);
    }
    for (const { key, permits, gate } of gates) {
      // the leases and the places in line of those who were killed run out
      const all = await gate.acquire(key, { permits, maxWait: 10_000 + lease }).catch(() => undefined);
      if (!(await all?.release())) violations.push(`not every permit of "${key}" came back`);
      const { held, waiting } = await gate.inspect(key);
      if (held + waiting > 0) violations.push(`"${key}" ends with ${held} held and ${waiting} waiting`);
    }
  } finally {
    for (const worker of workers) worker.process.kill("SIGKILL");
    await Promise.all(workers.map((worker) => worker.exit));
    await Promise.all(gates.map(({ gate }) => gate.close()));
    admin.disconnect();
    rmSync(folder, { recursive: true, force: true });
  }
  const holdings = workers.flatMap((worker) =>
    Array.from(worker.holdings.values(), (holding) => ended(holding, worker)),
  );
  const most: Record<string, number> = {};
  for (const [key, capacity] of Object.entries(capacities)) {
    const own = holdings.filter((holding) => holding.key === key);
    most[key] = mostAtOnce(own);
    if (most[key] > capacity) violations.push(`${most[key]} of ${capacity} permits of "${key}" were held at once`);
    if (new Set(own.map(({ token }) => token)).size < own.length)
      violations.push(`a token of "${key}" was given twice`);
  }
  const alone = holdings.filter(({ key }) => key === "one").toSorted((one, other) => (one.from < other.from ? -1 : 1));
  alone.forEach(({ token }, index) => {
    if (token <= (alone[index - 1]?.token ?? 0)) violations.push(`token ${token} came after a greater one`);
  });
  return { grants: holdings.length, lost: holdings.filter(({ lost }) => lost).length, ...counts, most, violations };
}

function start(program: string, url: string, workers: Worker[]): Worker {
  const child = spawn(process.execPath, [program, url, `${lease}ms`, JSON.stringify(capacities)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exit = new Promise<number | null>((resolve) => {
    child.once("close", resolve);
  });
  const ready = new Promise<void>((resolve) => {
    child.stdout.once("data", () => resolve()).once("close", () => resolve());
  });
  const worker: Worker = { process: child, holdings: new Map(), ready, exit, pauses: [], killed: undefined, words: "" };
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (worker.words + chunk).split("\n");
    worker.words = lines.pop() as string;
    for (const line of lines) read(line, worker);
  });
  workers.push(worker);
  return worker;
}

function read(line: string, { holdings, pauses }: Worker): void {
  const [time, what, key, token, permits] = line.split(" ") as [string, string, string, string, string];
  const at = BigInt(time);
  if (what === "slept") pauses.push(BigInt(key));
  const name = `${key} ${token}`;
  const holding = holdings.get(name);
  if (what === "granted") {
    const times = { from: at, to: undefined, lost: false, releasing: undefined };
    holdings.set(name, { key, token: Number(token), permits: Number(permits), ...times });
  } else if (holding !== undefined) {
    if (what === "releasing") holding.releasing = at;
    if (what === "released") holding.to = holding.releasing;
    if (what === "lost") {
      holding.to ??= at;
      holding.lost = true;
    }
  }
}

/** How late a holder may learn that its lease is over while its process runs, ns. */
const lateness = 50_000_000n;

/**
 * When the holder ceased to hold for certain. One that released held until it asked to. One that lost its lease held until
 * it asked, or was told: no later than a moment after the end, or the signal aborts too late. One that was killed or
 * stopped meanwhile, or never came to know what became of it, held until then, or until its lease ended: asleep it knows nothing.
 */
function ended(holding: Holding, { pauses, killed }: Worker): Holding {
  const { from, to: told, lost, releasing } = holding;
  if (told !== undefined && !lost) return holding;
  const stopped = [...pauses, killed].filter((stop) => stop !== undefined && stop >= from && stop <= (told ?? stop));
  const awake = told !== undefined && stopped.length === 0;
  const ends = [releasing, awake ? told - lateness : from + BigInt(lease) * 1_000_000n, ...stopped].filter(
    (end) => end !== undefined,
  );
  const to = ends.reduce((one, other) => (one < other ? one : other));
  return { ...holding, to: to < from ? from : to };
}

function mostAtOnce(holdings: readonly Holding[]): number {
  const changes = holdings.flatMap(({ from, to, permits }) => [
    { at: from, by: permits },
    { at: to as bigint, by: -permits },
  ]);
  // what ends at a moment ends before what begins at it
  changes.sort((one, other) => (one.at === other.at ? one.by - other.by : one.at < other.at ? -1 : 1));
  let held = 0;
  let most = 0;
  for (const { by } of changes) {
    held += by;
    most = Math.max(most, held);
  }
  return most;
}
