// One scenario of one library in a process of its own; prints one line of JSON. Needs --expose-gc.
import { makeLibrary, settings } from "./libraries.mjs";

const task = JSON.parse(process.argv[2]);

/** Where the results go, so that no call can be optimised away. */
let sink = 0;

/** Twelve characters, as an address has. The string is fresh: nobody has computed its hash. */
const keyOf = (number) => `key:${10_000_000 + number}`;

/** The same sequence for every library (Mulberry32). */
let state = 0x9e3779b9;
function random(below) {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
}

/** Calls for all keys; the seconds that took. */
function passSync({ call, read }, keys) {
  let sum = 0;
  const from = performance.now();
  for (let at = 0; at < keys.length; at++) sum += read(call(keys[at]));
  sink += sum;
  return (performance.now() - from) / 1000;
}

async function passAsync({ call, read }, keys) {
  let sum = 0;
  const from = performance.now();
  for (let at = 0; at < keys.length; at++) sum += read(await call(keys[at]));
  sink += sum;
  return (performance.now() - from) / 1000;
}

const pass = (library, keys) => (library.isAsync ? passAsync(library, keys) : passSync(library, keys));

/** Repeats passes for so many seconds of their own time; calls per second. A turn of the event loop lies between passes. */
async function rate(library, keysOf, seconds) {
  let spent = 0;
  let calls = 0;
  while (spent < seconds) {
    const keys = keysOf();
    spent += await pass(library, keys);
    calls += keys.length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return calls / spent;
}

async function warmAndRate(library, keysOf) {
  await rate(library, keysOf, task.quick ? 0.1 : 0.3);
  return rate(library, keysOf, task.quick ? 0.1 : 0.4);
}

/** Adds keys in batches made outside the measured time; the seconds that took. */
async function insert(library, count) {
  let spent = 0;
  for (let from = 0; from < count; from += 4096) {
    const batch = Array.from({ length: Math.min(4096, count - from) }, (_, index) => keyOf(from + index));
    spent += await pass(library, batch);
  }
  return spent;
}

/** Touches random ones of `count` keys by fresh strings, likewise. */
async function touch(library, count, calls) {
  let spent = 0;
  for (let done = 0; done < calls; done += 4096) {
    const batch = Array.from({ length: 4096 }, () => keyOf(random(count)));
    spent += await pass(library, batch);
  }
  return calls / spent;
}

function held() {
  for (let times = 0; times < 4; times++) globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Compiles the paths that inserting takes, on a limiter of its own. */
async function warmInsert(setting) {
  await insert(await makeLibrary(task.library, setting), 50_000);
}

const scenarios = {
  /** One key, admitted or refused by the setting. */
  async hot() {
    const library = await makeLibrary(task.library, { ...settings[task.setting], policy: task.policy });
    const keys = new Array(8192).fill(keyOf(1));
    return { rate: await warmAndRate(library, () => keys) };
  },

  /** 100 000 keys in random order. */
  async spread() {
    const library = await makeLibrary(task.library, settings.lasting);
    const keys = Array.from({ length: 100_000 }, (_, index) => keyOf(index));
    await pass(library, keys);
    const batch = new Array(8192);
    const keysOf = () => {
      for (let at = 0; at < batch.length; at++) batch[at] = keys[random(keys.length)];
      return batch;
    };
    return { rate: await warmAndRate(library, keysOf) };
  },

  /** A million keys inserted, what they weigh, and touched at random. */
  async million() {
    const count = task.quick ? 200_000 : 1_000_000;
    await warmInsert(settings.lasting);
    const before = held();
    const library = await makeLibrary(task.library, settings.lasting);
    const seconds = await insert(library, count);
    const bytes = (held() - before) / count;
    await touch(library, count, count / 10);
    const touched = await touch(library, count, count);
    sink += library.read(await library.call(keyOf(0)));
    return { insert: count / seconds, touch: touched, bytes };
  },

  /** The longest time from one insert to the next, each clocked alone. */
  async longest() {
    const count = task.quick ? 1_000_000 : 10_000_000;
    const library = await makeLibrary(task.library, { ...settings.lasting, maxKeys: 2 * count });
    let longest = 0;
    let before = performance.now();
    for (let at = 0; at < count; at++) {
      const result = library.call(keyOf(at));
      sink += library.read(library.isAsync ? await result : result);
      const after = performance.now();
      if (after - before > longest) longest = after - before;
      before = after;
    }
    return { longest };
  },

  /** What each logged call of the exact sliding window weighs, beyond a key in a token bucket. Calls are 10 µs apart. */
  async log() {
    const keys = Array.from({ length: task.keys }, (_, index) => keyOf(index));
    const weigh = async (policy, calls) => {
      const before = held();
      let now = 1_000_000;
      const clock = { now: () => now };
      const { call, read } = await makeLibrary(task.library, { ...settings.logged, policy, clock });
      for (let round = 0; round < calls; round++) {
        for (const key of keys) {
          now += 10;
          sink += read(call(key));
        }
      }
      const bytes = held() - before;
      sink += read(call(keys[0]));
      return bytes;
    };
    await weigh("sliding window", 10);
    const bare = await weigh("token bucket", 1);
    const logged = await weigh("sliding window", task.calls);
    return { bytes: (logged - bare) / (task.calls * keys.length) };
  },
};

const figures = await scenarios[task.scenario]();
if (!Number.isFinite(sink)) throw new Error("a library answered something that is no number");
process.stdout.write(`${JSON.stringify(figures)}\n`);
process.exit(0);
