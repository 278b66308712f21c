// One library in one scenario, in a process of its own; prints one line of JSON.
import { readFileSync } from "node:fs";
import { makeLibrary, openClient, policies, settings, sluiceFrom } from "./libraries.mjs";

const task = JSON.parse(process.argv[2]);
const control = await openClient("ioredis", task.url);
await control.send(["FLUSHALL"]);
await control.send(["CONFIG", "RESETSTAT"]);

const keys = Array.from({ length: 100_000 }, (_, index) => `key${1_000_000 + index}`);

/** The same sequence for every library (Mulberry32). */
let state = 0x9e3779b9;
function random(below) {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
}
const order = Uint32Array.from({ length: 1 << 18 }, () => random(keys.length));
let turn = 0;
const anyKey = () => keys[order[turn++ & (order.length - 1)]];
const oneKey = () => keys[0];

/** µs of CPU so far: the server's main thread, this process, and the whole machine. */
async function spent() {
  const info = await control.send(["INFO", "cpu"]);
  const part = (name) => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)[1]) * 1e6;
  const { user, system } = process.cpuUsage();
  const [, u, nice, s, , , irq, softIrq] = readFileSync("/proc/stat", "utf8").split("\n")[0].split(/\s+/).map(Number);
  return {
    server: part("used_cpu_user_main_thread") + part("used_cpu_sys_main_thread"),
    node: user + system,
    machine: (u + nice + s + irq + softIrq) * 10_000,
    at: performance.now() * 1000,
  };
}

/** What a stretch of work cost a call, and how many cores others kept busy meanwhile. */
async function metered(work) {
  const before = await spent();
  const { calls, ...figures } = await work();
  const after = await spent();
  const delta = (name) => after[name] - before[name];
  const others = (delta("machine") - delta("node") - delta("server")) / delta("at");
  return {
    ...figures,
    serverMicros: delta("server") / calls,
    nodeMicros: delta("node") / calls,
    others: Math.max(0, others),
  };
}

function percentiles(samples, count) {
  const sorted = samples.subarray(0, count).toSorted();
  const at = (share) => sorted[Math.min(count - 1, Math.floor(count * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99) };
}

const samples = new Float64Array(1 << 21);

/** `inFlight` callers, each of which waits for its answer before it asks again; every 16th call of each is clocked. */
async function closedLoop(call, nextKey, inFlight, milliseconds) {
  let calls = 0;
  let failed = 0;
  let taken = 0;
  const from = performance.now();
  const until = from + milliseconds;
  let over = false;
  const caller = async (own) => {
    for (let asked = own; !over; asked++) {
      const clocked = (asked & 15) === 0;
      const start = clocked ? performance.now() : 0;
      try {
        await call(nextKey());
      } catch {
        failed += 1;
      }
      calls += 1;
      if (clocked) {
        const now = performance.now();
        samples[taken++ & (samples.length - 1)] = now - start;
        if (now >= until) over = true;
        // answers that come at once must not keep the event loop from turning
        if ((asked & 4095) === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, own) => caller(own)));
  const seconds = (performance.now() - from) / 1000;
  return { calls, failed, rate: calls / seconds, ...percentiles(samples, Math.min(taken, samples.length)) };
}

/** Calls that arrive at a fixed rate, whatever becomes of those before; latency counts from the moment each was due. */
async function openLoop(call, nextKey, rate, milliseconds) {
  const total = Math.floor((rate * milliseconds) / 1000);
  const mostWaiting = rate / 4;
  let due = 0;
  let answered = 0;
  let failed = 0;
  let taken = 0;
  const from = performance.now();
  const count = () => {
    answered += 1;
  };
  await new Promise((resolve) => {
    const arrive = () => {
      const now = performance.now();
      const arrived = Math.min(total, Math.floor(((now - from) * rate) / 1000));
      for (; due < arrived; due++) {
        const scheduled = from + (due * 1000) / rate;
        call(nextKey()).then(
          () => {
            samples[taken++ & (samples.length - 1)] = performance.now() - scheduled;
            count();
          },
          () => {
            failed += 1;
            count();
          },
        );
      }
      if (due - answered > mostWaiting || due === total) resolve();
      else setImmediate(arrive);
    };
    arrive();
  });
  const lost = due < total;
  while (answered < due) await new Promise((resolve) => setTimeout(resolve, 1));
  const seconds = (performance.now() - from) / 1000;
  return { calls: due, failed, lost, rate: due / seconds, ...percentiles(samples, Math.min(taken, samples.length)) };
}

/**
 * What is measured is a service that has run for a while. V8 compiles what was called often enough: with one call in flight,
 * the first 20 000 calls were up to a third slower than what came after, for some libraries more than for others.
 */
async function warmUp(call, nextKey, inFlight) {
  const until = performance.now() + 4000 * shorter;
  let done = 0;
  do {
    const { calls } = await closedLoop(call, nextKey, inFlight, 150 * shorter);
    done += calls;
  } while (done < 25_000 && performance.now() < until);
}

/** Every key exists, and the path is compiled. */
async function touchAll(call) {
  for (let at = 0; at < keys.length; at += 500) await Promise.allSettled(keys.slice(at, at + 500).map(call));
}

const shorter = task.quick ? 0.4 : 1;

const scenarios = {
  async closed() {
    const client = await openClient(task.client, task.url);
    const call = await makeLibrary(task.library, task.client, client, settings[task.setting], task.build);
    const spread = task.setting !== "hot" && task.setting !== "spent";
    const nextKey = spread ? anyKey : oneKey;
    if (spread) {
      await touchAll(call);
    }
    await closedLoop(call, nextKey, 250, 400 * shorter);
    const levels = {};
    for (const inFlight of task.levels) {
      await warmUp(call, nextKey, inFlight);
      levels[inFlight] = await metered(() => closedLoop(call, nextKey, inFlight, 500 * shorter));
    }
    client.close();
    return levels;
  },

  /** One call at a time, each contender for a fifth of a second, by turns: what the process is like, it is for all of them. */
  async turns() {
    const contenders = [];
    for (const { library, client: name, setting } of task.contenders) {
      const client = await openClient(name, task.url);
      const call = await makeLibrary(library, name, client, settings[setting], task.build);
      contenders.push({ client, call, turns: [] });
    }
    for (const { call } of contenders) await touchAll(call);
    for (const { call } of contenders) await warmUp(call, anyKey, 1);
    for (let round = 0; round < task.turns; round++) {
      for (const { call, turns } of round % 2 === 0 ? contenders : contenders.toReversed()) {
        await closedLoop(call, anyKey, 1, 30);
        turns.push(await metered(() => closedLoop(call, anyKey, 1, 200)));
      }
    }
    for (const { client } of contenders) client.close();
    return Object.fromEntries(contenders.map(({ turns }, at) => [at, turns]));
  },

  async open() {
    const client = await openClient(task.client, task.url);
    const call = await makeLibrary(task.library, task.client, client, settings[task.setting], task.build);
    await touchAll(call);
    await closedLoop(call, anyKey, 250, 400 * shorter);
    const levels = {};
    for (const rate of task.levels) {
      await openLoop(call, anyKey, Math.min(rate, 50_000), 200 * shorter);
      levels[rate] = await metered(() => openLoop(call, anyKey, rate, 800 * shorter));
      if (levels[rate].lost) break;
    }
    client.close();
    return levels;
  },

  /** Bytes of a key of ten characters by MEMORY USAGE, and of its state, after so many calls one after the other. */
  async memory() {
    const { rateLimiter, redisStore, ...algorithms } = await sluiceFrom(task.build);
    const client = await openClient("ioredis", task.url);
    const figures = {};
    for (const [title, policy] of Object.entries(policies)) {
      await control.send(["FLUSHALL"]);
      const limiter = rateLimiter(policy(algorithms), { store: redisStore(client.client), name: "api" });
      for (let call = 0; call < task.calls; call++) await limiter.consume("user:12345");
      const [key] = await control.send(["KEYS", "*"]);
      const whole = await control.send(["MEMORY", "USAGE", key, "SAMPLES", "0"]);
      const text = await control.send(["STRLEN", key]);
      const integer = (await control.send(["OBJECT", "ENCODING", key])) === "int";
      figures[title] = { whole, state: integer ? 8 : text, key: key.length };
    }
    client.close();
    return figures;
  },
};

const figures = await scenarios[task.scenario]();
control.close();
process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit(0));
