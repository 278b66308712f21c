// One scenario of one library in a process of its own; prints one line of JSON. A library is loaded only where it is
// measured: bottleneck beside ioredis makes every promise of the process several times slower.

import { rateLimiter, semaphore, serialLimiter, tokenBucket } from "../../packages/sluice/dist/index.js";
import { median } from "../harness.mjs";

const { scenario, library, url, quick } = JSON.parse(process.argv[2]);
const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));
const empty = async () => {};
const clients = [];
const connect = async () => {
  const { Redis } = await import("ioredis");
  const client = new Redis(url);
  clients.push(client);
  return client;
};

/** `hold(task)` of a semaphore with so many permits on a server; each call may come from another process. */
const shared = {
  async sluice(permits) {
    const { redisStore } = await import("../../packages/sluice/dist/stores/redis/redis.js");
    const gate = semaphore({ permits, store: redisStore(await connect()), name: "bench", timeout: "5s" });
    return { hold: (task) => gate.run("key", task), close: () => gate.close() };
  },
  async "redis-semaphore"(permits) {
    const { Semaphore: RedisSemaphore } = await import("redis-semaphore");
    const client = await connect();
    return {
      // one object holds one permit at a time
      async hold(task) {
        const gate = new RedisSemaphore(client, "bench", permits, { acquireTimeout: 60_000 });
        await gate.acquire();
        try {
          return await task();
        } finally {
          await gate.release();
        }
      },
      close: async () => {},
    };
  },
};

/** Resolves once a permit is held, with the function that releases it. */
function occupy(gate) {
  return new Promise((resolve, reject) => {
    const held = gate.hold(
      () =>
        new Promise((end) => {
          resolve(() => {
            end();
            return held;
          });
        }),
    );
    held.catch(reject);
  });
}

/** One at a time, without a bound on the rate. */
async function serialOf() {
  if (library === "p-queue") {
    const { default: PQueue } = await import("p-queue");
    const queue = new PQueue({ concurrency: 1 });
    return (task) => queue.add(task);
  }
  const serial = serialLimiter({ rate: Number.POSITIVE_INFINITY, per: "1s" });
  return (task) => serial.run(task);
}

/** A billion jobs a second are allowed: what is measured is the queue. */
async function jobsOf() {
  if (library === "bottleneck") {
    const { default: Bottleneck } = await import("bottleneck");
    const queue = new Bottleneck({
      reservoir: 1_000_000_000,
      reservoirRefreshAmount: 1_000_000_000,
      reservoirRefreshInterval: 1000,
    });
    return (task) => queue.schedule(task);
  }
  const limiter = rateLimiter(tokenBucket({ rate: 1_000_000_000, per: "1s" }));
  return (task) => limiter.run("partner", task);
}

/** Calls one after the other, after a fifth as many to warm up: calls a second. */
async function perSecond(calls, call) {
  for (let left = Math.ceil(calls / 5); left > 0; left--) await call();
  const start = performance.now();
  for (let left = calls; left > 0; left--) await call();
  return (calls / (performance.now() - start)) * 1000;
}

async function commandsOf(client) {
  const stats = (await client.info("commandstats")).matchAll(/calls=(\d+)/g);
  return Array.from(stats, ([, calls]) => Number(calls)).reduce((sum, calls) => sum + calls, 0);
}

const scenarios = {
  /** Empty tasks one after the other: tasks a second. */
  async uncontended() {
    const gate = semaphore({ permits: 1 });
    let call = () => gate.run("key", empty);
    if (library === "p-limit") {
      const { default: pLimit } = await import("p-limit");
      const limit = pLimit(1);
      call = () => limit(empty);
    }
    return { rate: await perSecond(quick ? 100_000 : 1_000_000, call) };
  },

  /** Empty tasks one at a time, each awaited before the next is asked for: tasks a second. */
  async serialAwaited() {
    const call = await serialOf();
    return { rate: await perSecond(quick ? 100_000 : 1_000_000, () => call(empty)) };
  },

  /** A thousand empty tasks queued at once, again and again: tasks a second. */
  async serialQueued() {
    const call = await serialOf();
    const thousand = () => Promise.all(Array.from({ length: 1000 }, () => call(empty)));
    return { rate: 1000 * (await perSecond(quick ? 100 : 1000, thousand)) };
  },

  /** A thousand jobs queued at once on a rate that never holds one back, again and again: jobs a second. */
  async jobs() {
    const call = await jobsOf();
    const thousand = () => Promise.all(Array.from({ length: 1000 }, () => call(empty)));
    // bottleneck takes seconds for each thousand
    const times = library === "bottleneck" ? 2 : quick ? 100 : 500;
    return { rate: 1000 * (await perSecond(times, thousand)) };
  },

  /** The same, each job awaited before the next is asked for. */
  async jobsAwaited() {
    const call = await jobsOf();
    return { rate: await perSecond(library === "bottleneck" ? 500 : quick ? 100_000 : 500_000, () => call(empty)) };
  },

  /** Fifty contend for five permits with empty tasks: tasks a second. */
  async contended() {
    const gates = await Promise.all(Array.from({ length: 5 }, () => shared[library](5)));
    const end = performance.now() + (quick ? 1000 : 5000);
    let tasks = 0;
    const start = performance.now();
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        while (performance.now() < end) {
          await gates[index % gates.length].hold(empty);
          tasks += 1;
        }
      }),
    );
    const rate = (tasks / (performance.now() - start)) * 1000;
    await Promise.all(gates.map((gate) => gate.close()));
    return { rate };
  },

  /** Fifty come at once for five permits, each with one empty task, until all are done; again and again: tasks a second. */
  async burst() {
    const gates = await Promise.all(Array.from({ length: 5 }, () => shared[library](5)));
    const end = performance.now() + (quick ? 1000 : 5000);
    let tasks = 0;
    const start = performance.now();
    while (performance.now() < end) {
      await Promise.all(Array.from({ length: 50 }, (_, index) => gates[index % gates.length].hold(empty)));
      tasks += 50;
    }
    const rate = (tasks / (performance.now() - start)) * 1000;
    await Promise.all(gates.map((gate) => gate.close()));
    return { rate };
  },

  /** Fifty wait for what one holds: commands a second on the server. */
  async idle() {
    const gates = await Promise.all(Array.from({ length: 5 }, () => shared[library](1)));
    const admin = await connect();
    const release = await occupy(gates[0]);
    const line = Array.from({ length: 50 }, (_, index) => gates[index % gates.length].hold(empty));
    await sleep(1000);
    const before = await commandsOf(admin);
    const seconds = quick ? 4 : 12;
    await sleep(seconds * 1000);
    const commands = (await commandsOf(admin)) - before;
    await Promise.all([release(), ...line]);
    await Promise.all(gates.map((gate) => gate.close()));
    return { rate: commands / seconds };
  },

  /** From `release` on one connection to the permit on another, the round trip that takes a free permit, and that of a script that does nothing: ms. */
  async handover() {
    const times = quick ? 200 : 1000;
    const client = await connect();
    const [one, other] = await Promise.all([shared[library](1), shared[library](1)]);
    // by turns, and each after the same rest: a machine that has slept answers later
    const empties = [];
    const roundTrips = [];
    const handovers = [];
    for (let run = 0; run < times; run++) {
      await sleep(3);
      const asked = performance.now();
      await client.eval("return 1", 0);
      empties.push(performance.now() - asked);
      await sleep(3);
      const free = performance.now();
      const release = await occupy(one);
      roundTrips.push(performance.now() - free);
      let released;
      const next = other.hold(async () => {
        handovers.push(performance.now() - released);
      });
      await sleep(3);
      released = performance.now();
      await Promise.all([release(), next]);
    }
    await Promise.all([one.close(), other.close()]);
    return { handover: median(handovers), roundTrip: median(roundTrips), empty: median(empties) };
  },
};

const figures = await scenarios[scenario]();
console.log(JSON.stringify(figures));
for (const client of clients) client.disconnect();
process.exit(0);
