import { writeSync } from "node:fs";
import { Redis } from "ioredis";
import { LeaseLostError, MaxWaitExceededError, StoreError } from "../../src/core/errors.js";
import { type Semaphore, semaphore } from "../../src/semaphore/semaphore.js";
import { redisStore } from "../../src/stores/redis/redis.js";

// One process of the soak: takes permits, holds them, and writes down when it believed that it held them. Lines are
// written before the next step is taken, so that they survive kill -9.

const [url, lease, keys] = process.argv.slice(2) as [string, `${number}ms`, string];
const capacities = Object.entries(JSON.parse(keys) as Record<string, number>);

const client = new Redis(url, { maxRetriesPerRequest: null });
client.on("error", () => {});
const store = redisStore(client);
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());

/** Nanoseconds of the machine's monotonic clock, which all processes share. */
function note(...words: (string | number)[]): void {
  writeSync(1, `${process.hrtime.bigint()} ${words.join(" ")}\n`);
}

note("begin");

// A process that was not run for a while knows of nothing meanwhile, as one that was stopped.
let awake = process.hrtime.bigint();
setInterval(() => {
  const now = process.hrtime.bigint();
  if (now - awake > 40_000_000n) note("slept", String(awake));
  awake = now;
}, 10);

const random = (most: number): number => Math.floor(Math.random() * most);
const sleep = (time: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, time);
  });

async function hold(gate: Semaphore, key: string, capacity: number): Promise<void> {
  const permits = 1 + random(Math.min(capacity, 3));
  const signal = random(4) === 0 ? AbortSignal.timeout(random(400)) : undefined;
  const renew = random(4) > 0;
  const options = { permits, renew, maxWait: 50 + random(3000), ...(signal === undefined ? {} : { signal }) };
  const held = await gate.acquire(key, options).catch((error: unknown) => {
    if (error instanceof MaxWaitExceededError || error instanceof StoreError) return undefined;
    if (error instanceof DOMException && error.name === "TimeoutError") return undefined;
    throw error;
  });
  // a process that was stopped hears of its grant when it is over
  if (held === undefined || held.signal.aborted) return;
  const { token } = held;
  let lost = false;
  const lose = (): void => {
    if (!lost) note("lost", key, token);
    lost = true;
  };
  note("granted", key, token, permits);
  held.signal.addEventListener("abort", () => {
    if (!(held.signal.reason instanceof LeaseLostError)) throw new Error("a lease was lost without saying so");
    lose();
  });
  await sleep(random(8) === 0 ? random(3 * Number.parseInt(lease, 10)) : random(60));
  // one that does not renew may as well be left for its lease to end it
  if (lost || (!renew && random(4) === 0)) return;
  note("releasing", key, token);
  const released = await held.release().catch(() => undefined);
  if (released === false) lose();
  else if (released === true) note("released", key, token);
}

async function contend(key: string, capacity: number): Promise<void> {
  const gate = semaphore({ permits: capacity, lease, store, name: "soak", timeout: "500ms" });
  while (!stop.signal.aborted) {
    await hold(gate, key, capacity);
    await sleep(random(20));
  }
  await gate.close();
}

await Promise.all(capacities.flatMap(([key, capacity]) => Array.from({ length: 4 }, () => contend(key, capacity))));
note("end");
client.disconnect();
process.exit(0);
