import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it, type TestContext } from "vitest";
import { type Server, startServer } from "../../../../scripts/servers.mjs";
import { type ClientLibrary, everyClient, type OpenClient } from "../../test/clients.js";
import { until } from "../../test/cluster.js";
import { type Call, isLease, Model, note, outcomeOf, type Step, stepArbitrary } from "../../test/semaphore-model.js";
import { soakSemaphore } from "../../test/soak/semaphore.js";
import { ClosedError, LeaseLostError, MaxWaitExceededError, StoreError } from "../core/errors.js";
import { driverOf, type ScriptHost, type Store, storeDriver } from "../core/store.js";
import { redisStore } from "../stores/redis/redis.js";
import { type Lease, type Semaphore, type SemaphoreOptions, semaphore } from "./semaphore.js";

const sleep = (time: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, time));
const elapsed = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

/** What a test does to a store. */
interface Faults {
  /** Messages are lost. */
  deaf: boolean;
  /** In place of sending a script with these verbs. */
  intercept: (verbs: readonly string[], send: () => Promise<unknown>) => Promise<unknown>;
  /** The verbs that were sent. */
  readonly sent: string[];
  /** How many ms it takes to subscribe, how many subscriptions are being opened, and how many are open. */
  slowToListen: number;
  opening: number;
  listening: number;
  /** In place of subscribing. */
  refuse: (() => Promise<never>) | undefined;
}

/** The same store, on which things can go wrong. */
function breakable(store: Store, subscribes = true): { store: Store; faults: Faults } {
  const faults: Faults = {
    deaf: false,
    intercept: (_, send) => send(),
    sent: [],
    slowToListen: 0,
    opening: 0,
    listening: 0,
    refuse: undefined,
  };
  const driver = storeDriver(store);
  const scripts = driver.scripts as ScriptHost;
  const broken: ScriptHost = {
    name: (limiter, part, key) => scripts.name(limiter, part, key),
    whenClosed: (listener) => scripts.whenClosed(listener),
    run: (script, keys, args, timeout) => {
      const verbs = ["take", "beat", "renew", "release", "inspect"].filter((verb) => args.includes(verb));
      faults.sent.push(...verbs);
      return faults.intercept(verbs, () => scripts.run(script, keys, args, timeout));
    },
    subscribe: subscribes
      ? async (channel, onMessage) => {
          const subscribe = scripts.subscribe as NonNullable<ScriptHost["subscribe"]>;
          faults.opening += 1;
          try {
            await sleep(faults.slowToListen);
            if (faults.refuse) await faults.refuse();
            const end = await subscribe(channel, (message) => {
              if (!faults.deaf) onMessage(message);
            });
            faults.listening += 1;
            return async () => {
              await end();
              faults.listening -= 1;
            };
          } finally {
            faults.opening -= 1;
          }
        }
      : undefined,
  };
  const wrapped = Object.create(driver, { scripts: { value: broken } });
  return { store: { kind: "broken", close: () => store.close(), [driverOf]: wrapped } as Store, faults };
}

const libraries = everyClient();
const [ioredis] = libraries as [ClientLibrary];
const nodes = inject("cluster");
const targets: { name: string; open: (library: ClientLibrary) => Promise<OpenClient> }[] = [
  ...inject("servers").map(({ name, url }) => ({ name, open: (library: ClientLibrary) => library.open(url) })),
  ...(nodes ? [{ name: "a cluster", open: (library: ClientLibrary) => library.openCluster(nodes) }] : []),
];

interface Fleet {
  /** Of all its semaphores. */
  readonly name: string;
  /** A store with a client of its own. */
  readonly store: () => Promise<Store>;
  /** A semaphore, on a store of its own unless one is given. */
  readonly join: (options: SemaphoreOptions) => Promise<Semaphore>;
}

/** What one test uses, as from several processes; closed when it is over. */
function fleetOf(open: () => Promise<OpenClient>, onTestFinished: (close: () => Promise<void>) => void): Fleet {
  const clients: OpenClient[] = [];
  const gates: Semaphore[] = [];
  onTestFinished(async () => {
    await Promise.all(gates.map((gate) => gate.close()));
    await Promise.all(clients.map((client) => client.close()));
  });
  const name = randomUUID();
  const store = async (): Promise<Store> => {
    const opened = await open();
    clients.push(opened);
    return redisStore(opened.client);
  };
  return {
    name,
    store,
    join: async (options) => {
      const gate = semaphore({ timeout: "5s", name, ...options, store: options.store ?? (await store()) });
      gates.push(gate);
      return gate;
    },
  };
}

const waiting = (gate: Semaphore, count: number): Promise<void> =>
  until(async () => (await gate.inspect("key")).waiting === count);

/** Time passes by itself on a server: it is left out. */
const timelessStep = stepArbitrary.filter(({ verb }) => verb !== "advance");

/** The same steps in the model and on the server, from several processes, one after another. */
async function follow(gates: readonly Semaphore[], key: string, steps: readonly Step[]): Promise<void> {
  const model = new Model();
  const known = new Set<Lease>();
  let lastToken = 0;
  const [first] = gates as [Semaphore];
  for (const step of steps) {
    if (step.verb === "ask") {
      const { wait, permits, capacity, mortal } = step;
      const controller = new AbortController();
      const deadline = Number.POSITIVE_INFINITY;
      const call: Call = { permits, mortal, deadline, expected: "waiting", expiry: 0, outcome: "waiting", controller };
      model.ask(step, call, wait);
      const gate = gates[capacity - 1] as Semaphore;
      const options = { permits, renew: !mortal, signal: controller.signal };
      void note(call, wait ? gate.acquire(key, options) : gate.tryAcquire(key, options));
    } else if (step.verb !== "advance") {
      const among = step.verb === "abort" ? model.line : model.calls.filter(({ outcome }) => isLease(outcome));
      const call = among[step.which % Math.max(among.length, 1)];
      if (call === undefined) continue;
      const { expected } = call;
      if (step.verb === "abort") {
        call.expected = "aborted";
        model.serve();
        call.controller.abort(new Error("aborted"));
      } else if (step.verb === "release") {
        if (expected === "held") call.expected = "released";
        model.serve();
        expect(await (call.outcome as Lease).release()).toBe(true);
      } else {
        expect(await (call.outcome as Lease).renew()).toBe(expected === "held");
      }
    }
    const truth = (): string => JSON.stringify(model.calls.map(outcomeOf));
    const theory = JSON.stringify(model.calls.map(({ expected }) => expected));
    await until(async () => {
      const { held, waiting: left } = await first.inspect(key);
      return held === model.out && left === model.line.length && truth() === theory;
    }).catch(() => undefined);
    expect(truth()).toBe(theory);
    expect(await first.inspect(key)).toMatchObject({ held: model.out, waiting: model.line.length });
    const fresh = model.calls.flatMap(({ outcome }) => (isLease(outcome) && !known.has(outcome) ? [outcome] : []));
    for (const lease of fresh) {
      expect(lease.token).toBeGreaterThan(lastToken);
      lastToken = lease.token;
      known.add(lease);
    }
  }
  for (const { outcome, controller } of model.calls) {
    controller.abort();
    if (isLease(outcome)) await outcome.release();
  }
}

describe.concurrent.each(targets)("on $name", ({ open }) => {
  const fleet = (context: TestContext): Fleet => fleetOf(() => open(ioredis), context.onTestFinished);

  it("acquires and releases in one round trip each, without a subscription", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const gate = await join({ permits: 1, store: watched });
    const lease = await gate.acquire("key");
    expect(await gate.inspect("key")).toEqual({ permits: 1, held: 1, waiting: 0 });
    expect(await Promise.all([lease.release(), lease.release()])).toEqual([true, true]);
    expect(await gate.inspect("key")).toEqual({ permits: 1, held: 0, waiting: 0 });
    expect(faults.sent).toEqual(["take", "inspect", "release", "inspect"]);
  });

  it("S7: serves in the order in which they came, across processes", async (context) => {
    const { join } = fleet(context);
    const gates = await Promise.all(Array.from({ length: 3 }, () => join({ permits: 1 })));
    const [first] = gates as [Semaphore];
    const held = await first.acquire("key");
    const order: number[] = [];
    const done: Promise<void>[] = [];
    for (let index = 0; index < 12; index++) {
      done.push((gates[index % 3] as Semaphore).run("key", () => void order.push(index)));
      await waiting(first, index + 1);
    }
    expect(await (gates[1] as Semaphore).tryAcquire("key")).toBeUndefined();
    await held.release();
    await Promise.all(done);
    expect(order).toEqual(Array.from({ length: 12 }, (_, index) => index));
  });

  it("S1, S5, S9: holds never more than there are, all or nothing, with increasing tokens", async (context) => {
    const { join } = fleet(context);
    const gates = await Promise.all(Array.from({ length: 3 }, () => join({ permits: 4 })));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 20, maxLength: 40 }), async (sizes) => {
        let out = 0;
        const tokens: number[] = [];
        await Promise.all(
          sizes.map((permits, index) =>
            (gates[index % 3] as Semaphore).run(
              "key",
              async (lease) => {
                out += permits;
                tokens.push(lease.token);
                expect(out).toBeLessThanOrEqual(4);
                await sleep(1);
                out -= permits;
              },
              { permits },
            ),
          ),
        );
        expect(new Set(tokens).size).toBe(sizes.length);
        expect(await (gates[0] as Semaphore).inspect("key")).toEqual({ permits: 4, held: 0, waiting: 0 });
      }),
      { numRuns: 10 },
    );
  });

  it("S6: those aborted at any moment keep nothing", async (context) => {
    const { join } = fleet(context);
    const gates = await Promise.all(Array.from({ length: 2 }, () => join({ permits: 2 })));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 8 }), { minLength: 10, maxLength: 30 }), async (times) => {
        const outcomes = times.map((time, index) => {
          const controller = new AbortController();
          setTimeout(() => controller.abort(new Error("enough")), time / 2);
          const options = { permits: 1 + (index % 2), signal: controller.signal };
          return (gates[index % 2] as Semaphore).run("key", () => sleep(1), options);
        });
        for (const outcome of await Promise.allSettled(outcomes)) {
          if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ message: "enough" });
        }
        const all = await (gates[0] as Semaphore).acquire("key", { permits: 2, maxWait: "5s" });
        expect(await all.release()).toBe(true);
        await until(async () => {
          const { held, waiting: left } = await (gates[0] as Semaphore).inspect("key");
          return held + left === 0;
        });
      }),
      { numRuns: 20 },
    );
  });

  it("regression 7: a holder that died gives its permit back within one lease, under steady traffic", async (context) => {
    const { join } = fleet(context);
    const gate = await join({ permits: 2, lease: 1000 });
    // before the question: the answer may come late, and the lease does not wait for it
    const died = performance.now();
    const dead = await gate.acquire("key", { renew: false });
    let both = 0;
    while (both === 0 && performance.now() - died < 5000) {
      const one = await gate.acquire("key");
      const other = await gate.tryAcquire("key");
      if (other !== undefined) both = performance.now() - died;
      await other?.release();
      await one.release();
    }
    expect(both).toBeGreaterThan(900);
    expect(both).toBeLessThan(2500);
    expect(dead.signal.aborted).toBe(true);
  });

  it("regression 8: after a late release there are as many permits as before, not one more", async (context) => {
    const { join } = fleet(context);
    const gate = await join({ permits: 1, lease: 300 });
    const late = await gate.acquire("key", { renew: false });
    const next = await gate.acquire("key", { maxWait: "5s" });
    expect(await late.release()).toBe(false);
    expect(await late.renew()).toBe(false);
    expect(await gate.tryAcquire("key")).toBeUndefined();
    expect(await next.release()).toBe(true);
    expect(await gate.inspect("key")).toEqual({ permits: 1, held: 0, waiting: 0 });
  });

  it("S2: one who waits gets the permit of a holder that died as soon as its lease ends", async (context) => {
    const { join } = fleet(context);
    const gate = await join({ permits: 1, lease: 500 });
    await gate.acquire("key", { renew: false });
    const time = await elapsed(() => gate.acquire("key"));
    expect(time).toBeGreaterThan(400);
    expect(time).toBeLessThan(1500);
  });

  it("S4: a lease renews itself for as long as it is held", async (context) => {
    const { join } = fleet(context);
    const gate = await join({ permits: 1, lease: 600 });
    const other = await join({ permits: 1, lease: 600 });
    const held = await gate.acquire("key");
    await expect(other.acquire("key", { maxWait: 2500 })).rejects.toThrow(MaxWaitExceededError);
    expect(held.signal.aborted).toBe(false);
    expect(await held.renew()).toBe(true);
    expect(await held.release()).toBe(true);
    await expect(other.acquire("key", { maxWait: 0 })).resolves.toBeDefined();
  });

  it("S5: tokens increase also after the key was forgotten", async (context) => {
    const { join, name } = fleet(context);
    const opened = await open(ioredis);
    try {
      const client = opened.client as Redis;
      const gate = await join({ permits: 1 });
      let last = 0;
      for (let round = 0; round < 10; round++) {
        const lease = await gate.acquire("key");
        expect(lease.token).toBeGreaterThan(last);
        last = lease.token;
        await lease.release();
        const key = `sluice:${name}:%#semaphore:{key}`;
        // a key lives on for a while, and not for ever
        const ttl = await client.pttl(key);
        expect(ttl).toBeGreaterThan(900_000);
        expect(ttl).toBeLessThan(2_000_000);
        expect(await client.del(key)).toBe(1);
      }
    } finally {
      await opened.close();
    }
  });

  it("S8: more permits reach those in line, fewer take none away", async (context) => {
    const { join, store } = fleet(context);
    const shared = await store();
    const small = await join({ permits: 1, store: shared });
    const large = await join({ permits: 3 });
    const first = await small.acquire("key");
    const later = [small.acquire("key"), small.acquire("key"), small.acquire("key")];
    await waiting(small, 3);
    expect(await large.tryAcquire("key")).toBeUndefined();
    const [second, third] = await Promise.all(later.slice(0, 2));
    expect(await large.inspect("key")).toEqual({ permits: 3, held: 3, waiting: 1 });
    expect(await small.tryAcquire("key")).toBeUndefined();
    expect(await small.inspect("key")).toEqual({ permits: 1, held: 3, waiting: 1 });
    expect(await first.release()).toBe(true);
    expect(await second?.release()).toBe(true);
    expect(await small.inspect("key")).toEqual({ permits: 1, held: 1, waiting: 1 });
    expect(await third?.release()).toBe(true);
    await later[2];
  });

  it("more than there are is refused at once; who waits for more than there are left waits for more", async (context) => {
    const { join, store } = fleet(context);
    const shared = await store();
    const large = await join({ permits: 3, store: shared });
    const small = await join({ permits: 2 });
    const never = { code: "ERR_MAX_WAIT_EXCEEDED", wait: Number.POSITIVE_INFINITY };
    await expect(large.acquire("key", { permits: 4 })).rejects.toMatchObject(never);
    const held = await large.acquire("key");
    const heavy = large.acquire("key", { permits: 3 });
    await waiting(large, 1);
    const light = small.acquire("key");
    await waiting(large, 2);
    await held.release();
    // by the small one's word there are two: the heavy one stays where it is, through its heartbeats too
    await sleep(5000);
    expect(await large.inspect("key")).toEqual({ permits: 2, held: 0, waiting: 2 });
    expect(await large.tryAcquire("key")).toBeUndefined();
    expect((await heavy).token).toBeGreaterThan(held.token);
    expect(await (await heavy).release()).toBe(true);
    expect(await (await light).release()).toBe(true);
  });

  it("gives up after maxWait, and what is granted later is given back", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const gate = await join({ permits: 1, store: watched });
    const other = await join({ permits: 1 });
    const held = await gate.acquire("key");
    await expect(gate.acquire("key", { maxWait: 0 })).rejects.toThrow(MaxWaitExceededError);
    const late = await gate.acquire("key", { maxWait: 200 }).catch((error: unknown) => error);
    expect(late).toMatchObject({ code: "ERR_MAX_WAIT_EXCEEDED", maxWait: 200 });
    await waiting(gate, 0);
    // the answer to the question is still on its way when patience ends: it says "yours"
    await held.release();
    faults.intercept = async (verbs, send) => {
      const reply = await send();
      if (verbs.includes("take")) await sleep(300);
      return reply;
    };
    await expect(gate.acquire("key", { maxWait: 50 })).rejects.toThrow(MaxWaitExceededError);
    await expect(gate.acquire("key", { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
      name: "TimeoutError",
    });
    expect((await other.acquire("key", { maxWait: "5s" })).token).toBeGreaterThan(held.token);
  });

  it("F2: a question without an answer keeps no permit", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const gate = await join({ permits: 1, store: watched });
    faults.intercept = async (verbs, send) => {
      const reply = await send();
      if (verbs.includes("take")) throw new StoreError("ERR_STORE_TIMEOUT", "The reply was lost.");
      return reply;
    };
    await expect(gate.acquire("key")).rejects.toThrow(StoreError);
    await expect(gate.tryAcquire("key")).rejects.toThrow(StoreError);
    await until(async () => (await gate.inspect("key")).held === 0);
    faults.intercept = (_, send) => send();
    expect(await gate.tryAcquire("key")).toBeDefined();
  });

  it("a lost message delays, and never hangs", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const gate = await join({ permits: 1, store: watched });
    const held = await gate.acquire("key");
    const next = gate.acquire("key");
    await until(() => faults.sent.includes("beat"));
    faults.deaf = true;
    await held.release();
    const time = await elapsed(() => next);
    expect(time).toBeLessThan(6000);
    expect(await (await next).release()).toBe(true);
  });

  it("a client that cannot subscribe looks for itself", async (context) => {
    const { join, store } = fleet(context);
    const { store: mute } = breakable(await store(), false);
    const gate = await join({ permits: 1, store: mute });
    const held = await gate.acquire("key");
    const next = gate.acquire("key");
    await sleep(500);
    await held.release();
    expect(await elapsed(() => next)).toBeLessThan(3000);
  });

  it("S7: a waiter that stopped answering is passed over within 10 s", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const dying = await join({ permits: 1, store: watched });
    const living = await join({ permits: 1 });
    const held = await living.acquire("key");
    const dead = dying.acquire("key");
    dead.catch(() => {});
    await waiting(living, 1);
    // its process is stopped: it sends nothing, and hears nothing
    faults.deaf = true;
    faults.intercept = () => new Promise(() => {});
    const next = living.acquire("key");
    await waiting(living, 2);
    const time = await elapsed(async () => {
      await held.release();
      await next;
    });
    expect(time).toBeLessThan(10_000);
    expect(await living.inspect("key")).toEqual({ permits: 1, held: 1, waiting: 0 });
    faults.intercept = () => Promise.reject(new StoreError("ERR_STORE_TIMEOUT", "Gone."));
  });

  it("a release says false when the lease was lost before, also when it failed at first", async (context) => {
    const { join, name, store } = fleet(context);
    const opened = await open(ioredis);
    try {
      const { store: watched, faults } = breakable(await store());
      const gate = await join({ permits: 1, store: watched });
      const held = await gate.acquire("key");
      await (opened.client as Redis).del(`sluice:${name}:%#semaphore:{key}`);
      let answer = (): void => {};
      const silence = new Promise<void>((resolve) => {
        answer = resolve;
      });
      faults.intercept = async (verbs, send) => {
        if (verbs.includes("release")) throw new StoreError("ERR_STORE_TIMEOUT", "Lost.");
        const reply = await send();
        await silence;
        return reply;
      };
      const renewed = held.renew();
      await until(() => faults.sent.includes("renew"));
      const released = held.release();
      answer();
      await expect(released).rejects.toThrow(StoreError);
      expect(await renewed).toBe(false);
      faults.intercept = (_, send) => send();
      expect(await held.release()).toBe(false);
    } finally {
      await opened.close();
    }
  });

  it("one who is patient gets a place again when the server has forgotten everything", async (context) => {
    const { join, name } = fleet(context);
    const opened = await open(ioredis);
    try {
      const gate = await join({ permits: 1, lease: 900 });
      const held = await gate.acquire("key");
      const { signal } = held;
      const next = gate.acquire("key");
      await waiting(gate, 1);
      await (opened.client as Redis).del(`sluice:${name}:%#semaphore:{key}`);
      // the one who holds learns that nobody knows of it, the one who waits that it must ask again
      await until(() => signal.aborted);
      expect(signal.reason).toBeInstanceOf(LeaseLostError);
      expect(await held.release()).toBe(false);
      expect(await (await next).release()).toBe(true);
    } finally {
      await opened.close();
    }
  });

  it.each([
    ["five minutes", 300],
    ["ten years", 315_576_000],
  ])("R9: a server clock that is set back by %s ends no lease early or late, and no key late", async (_, seconds) => {
    const opened = await open(ioredis);
    const closing: (() => Promise<void>)[] = [() => opened.close()];
    const { join, name } = fleetOf(
      () => open(ioredis),
      (close) => closing.push(close),
    );
    try {
      const client = opened.client as Redis;
      const gate = await join({ permits: 2, lease: 1500 });
      const renewed = await gate.acquire("key");
      const mortal = await gate.acquire("key", { renew: false });
      const next = gate.acquire("key");
      await waiting(gate, 1);
      // the same state as if the clock had been so far ahead until now
      const key = `sluice:${name}:%#semaphore:{key}`;
      const ahead = (text: string): string => String(BigInt(text) + BigInt(seconds) * 1_000_000n);
      const moved = Object.entries(await client.hgetall(key)).map(([field, text]) => {
        const moments = field === "state" ? [0, 1, 7, 8] : field.startsWith("w:") ? [] : [0];
        const words = text.split(" ").map((word, index) => (moments.includes(index) ? ahead(word) : word));
        return [field, words.join(" ")] as const;
      });
      // all at once: half of it would be a state that no clock leaves behind
      await client.hset(key, Object.fromEntries(moved));
      await client.pexpire(key, 1000 * seconds + 1_000_000);
      expect(await gate.inspect("key")).toEqual({ permits: 2, held: 2, waiting: 1 });
      const time = await elapsed(async () => expect((await next).token).toBeGreaterThan(mortal.token));
      expect(time).toBeLessThan(3000);
      expect(await mortal.release()).toBe(false);
      await sleep(1600);
      expect(renewed.signal.aborted).toBe(false);
      expect(await renewed.release()).toBe(true);
      expect(await client.pttl(key)).toBeLessThan(2_000_000);
    } finally {
      await Promise.all(closing.map((close) => close()));
    }
  });

  it("a second close resolves no sooner than the first", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const gate = await join({ permits: 1, store: watched });
    let answered = false;
    faults.intercept = async (_, send) => {
      const reply = await send();
      await sleep(200);
      answered = true;
      return reply;
    };
    const outcome = Promise.allSettled([gate.acquire("key")]);
    const closes = [gate.close(), gate.close()];
    await closes[1];
    expect(answered).toBe(true);
    await closes[0];
    expect(await outcome).toMatchObject([{ reason: expect.any(ClosedError) }]);
  });

  it("when the store is closed, those who wait learn it at once, and nothing is left that listens", async (context) => {
    const { join, store } = fleet(context);
    const opened = await open(ioredis);
    const own = redisStore(opened.client);
    const { store: watched, faults } = breakable(own);
    const gate = await join({ permits: 1, store: watched });
    const other = await join({ permits: 1, store: await store() });
    await other.acquire("key");
    const outcomes = Promise.allSettled([gate.acquire("key"), gate.acquire("key", { maxWait: "1m" })]);
    await until(() => faults.listening === 1 && faults.sent.includes("beat"));
    const time = await elapsed(async () => {
      await watched.close();
      for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: expect.any(ClosedError) });
    });
    expect(time).toBeLessThan(2000);
    expect(faults.listening).toBe(0);
    await opened.close();
  });

  it("close waits for a subscription that is being opened, and ends it", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const gate = await join({ permits: 1, store: watched });
    await gate.acquire("key");
    const outcome = Promise.allSettled([gate.acquire("key")]);
    faults.slowToListen = 300;
    await until(() => faults.opening === 1);
    await gate.close();
    expect([faults.opening, faults.listening]).toEqual([0, 0]);
    expect(await outcome).toMatchObject([{ reason: expect.any(ClosedError) }]);
  });

  it("S7: many who wait say so all at once, however long each answer takes", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const gate = await join({ permits: 1, store: watched });
    const held = await gate.acquire("key");
    const controller = new AbortController();
    const line = Array.from({ length: 1500 }, () => gate.acquire("key", { signal: controller.signal }));
    const outcomes = Promise.allSettled(line);
    await waiting(gate, 1500);
    let together = 0;
    let most = 0;
    faults.intercept = async (verbs, send) => {
      if (!verbs.includes("beat")) return send();
      together += 1;
      most = Math.max(most, together);
      await sleep(700);
      together -= 1;
      return send();
    };
    // longer than a place lasts that nobody speaks for
    await sleep(11_000);
    expect(most).toBeGreaterThanOrEqual(15);
    expect(await gate.inspect("key")).toEqual({ permits: 1, held: 1, waiting: 1500 });
    controller.abort(new Error("enough"));
    await outcomes;
    expect(await held.release()).toBe(true);
  });

  it("a grant whose answer was lost is found by those in line", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const gate = await join({ permits: 1, store: watched });
    const held = await gate.acquire("key");
    const next = gate.acquire("key");
    await waiting(gate, 1);
    await until(() => faults.sent.includes("beat"));
    faults.intercept = async (verbs, send) => {
      const reply = await send();
      if (verbs.includes("release")) throw new StoreError("ERR_STORE_TIMEOUT", "The reply was lost.");
      return reply;
    };
    await expect(held.release()).rejects.toThrow(StoreError);
    expect(await elapsed(() => next)).toBeLessThan(1500);
    faults.intercept = (_, send) => send();
    expect(await held.release()).toBe(true);
    expect(await (await next).release()).toBe(true);
  });

  it("S1 to S9: holds what the model holds, after every step", async (context) => {
    const { join } = fleet(context);
    const gates = await Promise.all([1, 2, 3, 4].map((permits) => join({ permits, lease: "1m" })));
    let round = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(timelessStep, { minLength: 10, maxLength: 30 }), (steps) =>
        follow(gates, `key ${round++}`, steps),
      ),
      { numRuns: 8, seed: 4 },
    );
  });

  it("close rejects those who wait, and leaves leases renewed and to be released", async (context) => {
    const { join } = fleet(context);
    const gate = await join({ permits: 1, lease: 600 });
    const other = await join({ permits: 1 });
    const held = await gate.acquire("key");
    const outcomes = Promise.allSettled([gate.acquire("key"), gate.acquire("key", { maxWait: "1m" })]);
    await waiting(other, 2);
    const inFlight = Promise.allSettled([gate.acquire("key")]);
    await gate.close();
    for (const outcome of [...(await outcomes), ...(await inFlight)]) {
      expect(outcome).toMatchObject({ reason: expect.any(ClosedError) });
    }
    expect(await other.inspect("key")).toEqual({ permits: 1, held: 1, waiting: 0 });
    await sleep(1200);
    expect(held.signal.aborted).toBe(false);
    expect(await other.tryAcquire("key")).toBeUndefined();
    expect(await held.release()).toBe(true);
    expect(await other.tryAcquire("key")).toBeDefined();
  });
});

const [server] = inject("servers");
describe.skipIf(server === undefined)("with every client", () => {
  describe.each(libraries.map((library) => ({ name: library.name, library })))("$name", ({ library }) => {
    const fleet = (context: TestContext): Fleet =>
      fleetOf(() => library.open((server as { url: string }).url), context.onTestFinished);

    it("hands over between processes by a message", async (context) => {
      const { join } = fleet(context);
      const [one, other] = [await join({ permits: 1 }), await join({ permits: 1 })];
      const held = await one.acquire("key");
      const next = other.acquire("key");
      await waiting(one, 1);
      await sleep(500);
      const time = await elapsed(async () => {
        expect(await held.release()).toBe(true);
        expect((await next).token).toBeGreaterThan(held.token);
      });
      // without the message it would take seconds
      expect(time).toBeLessThan(1500);
    });
  });
});

const program = inject("program");
describe.skipIf(program === undefined)("on a server of its own", () => {
  let own: Server;
  let admin: Redis;
  beforeAll(async () => {
    own = await startServer(program, ["--enable-debug-command", "yes"]);
    admin = new Redis(own.url);
    admin.on("error", () => {});
  });
  afterAll(async () => {
    admin.disconnect();
    await own.stop();
  });
  const fleet = (context: TestContext): Fleet => fleetOf(() => ioredis.open(own.url), context.onTestFinished);

  const commands = async (): Promise<number> => {
    const stats = (await admin.info("commandstats")).matchAll(/calls=(\d+)/g);
    return Array.from(stats, ([, calls]) => Number(calls)).reduce((sum, calls) => sum + calls, 0);
  };

  it("fifty who wait for ten keys cost one subscription, and fewer than 100 commands a second", async (context) => {
    const { join } = fleet(context);
    const gate = await join({ permits: 1, lease: "30s" });
    const keys = Array.from({ length: 10 }, (_, index) => `key ${index}`);
    const held = await Promise.all(keys.map((key) => gate.acquire(key)));
    const line = Array.from({ length: 50 }, (_, index) => gate.acquire(`key ${index % 10}`));
    const outcomes = Promise.allSettled(line);
    await until(async () => (await gate.inspect("key 9")).waiting === 5);
    await sleep(1000);
    const before = await commands();
    await sleep(5000);
    const each = ((await commands()) - before) / 5;
    expect(each).toBeGreaterThan(1);
    expect(each).toBeLessThan(100);
    expect(await admin.pubsub("CHANNELS")).toHaveLength(1);
    const connections = ((await admin.client("LIST")) as string).split("\n");
    expect(connections.filter((connection) => connection.includes(" sub=1 "))).toHaveLength(1);
    await gate.close();
    for (const { status } of await outcomes) expect(status).toBe("rejected");
    await until(async () => (await admin.pubsub("CHANNELS")).length === 0);
    for (const lease of held) expect(await lease.release()).toBe(true);
  });

  it.each([
    ["5 processes, ten each, for a lease of 500 ms", 5, 10, 500],
    ["50 processes, one each, for a lease of a second", 50, 1, 1000],
  ])("fifty who wait cost fewer than 100 commands a second, also in %s", async (_, processes, each, lease) => {
    const closing: (() => Promise<void>)[] = [];
    const { join } = fleetOf(
      () => ioredis.open(own.url),
      (close) => closing.push(close),
    );
    try {
      const gates = await Promise.all(Array.from({ length: processes }, () => join({ permits: 1, lease })));
      const [first] = gates as [Semaphore];
      const held = await first.acquire("key");
      const line = gates.flatMap((gate) => Array.from({ length: each }, () => gate.acquire("key")));
      const outcomes = Promise.allSettled(line);
      await waiting(first, 50);
      await sleep(1500);
      const before = await commands();
      await sleep(8000);
      const rate = ((await commands()) - before) / 8;
      expect(rate).toBeGreaterThan(1);
      expect(rate).toBeLessThan(100);
      await held.release();
      await Promise.all(closing.splice(0).map((close) => close()));
      await outcomes;
    } finally {
      await Promise.all(closing.map((close) => close()));
    }
  });

  it("a user who may not subscribe is told once, and tries less and less often", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const gate = await join({ permits: 1, store: watched });
    const held = await gate.acquire("key");
    let attempts = 0;
    faults.refuse = async () => {
      attempts += 1;
      throw new Error("NOPERM No permissions to access a channel");
    };
    const warned: string[] = [];
    const listen = (warning: Error): void => void warned.push(warning.message);
    process.on("warning", listen);
    context.onTestFinished(() => void process.off("warning", listen));
    const next = gate.acquire("key");
    await sleep(8000);
    expect(attempts).toBeGreaterThan(1);
    expect(attempts).toBeLessThanOrEqual(4);
    expect(warned.filter((message) => message.includes("may not subscribe"))).toHaveLength(1);
    await held.release();
    await (await next).release();
  });

  it("a short outage loses no lease, a long one loses it in time, and nothing needs a restart", async (context) => {
    const { join } = fleet(context);
    const gate = await join({ permits: 2, lease: 1500, timeout: 200 });
    const held = await gate.acquire("key");
    const { signal } = held;
    process.kill(own.pid as number, "SIGSTOP");
    try {
      await expect(gate.acquire("key")).rejects.toThrow(StoreError);
      await expect(gate.tryAcquire("key")).rejects.toThrow(StoreError);
      await sleep(300);
    } finally {
      process.kill(own.pid as number, "SIGCONT");
    }
    await sleep(1500);
    expect(signal.aborted).toBe(false);
    process.kill(own.pid as number, "SIGSTOP");
    try {
      const start = performance.now();
      await until(() => signal.aborted);
      expect(performance.now() - start).toBeLessThan(2500);
      expect(signal.reason).toBeInstanceOf(LeaseLostError);
    } finally {
      process.kill(own.pid as number, "SIGCONT");
    }
    await until(async () => (await gate.inspect("key").catch(() => ({ held: -1 }))).held === 0);
    expect(await held.release()).toBe(false);
    expect(await (await gate.acquire("key", { permits: 2 })).release()).toBe(true);
  });

  it("those in line are patient through an outage, and give up when their place must be gone", async (context) => {
    const { join, store } = fleet(context);
    const patient = await join({ permits: 1, timeout: 200 });
    const { store: watched, faults } = breakable(await store());
    const cut = await join({ permits: 1, store: watched });
    const held = await patient.acquire("key");
    const next = patient.acquire("key");
    const lost = cut.acquire("key");
    lost.catch(() => {});
    await waiting(patient, 2);
    process.kill(own.pid as number, "SIGSTOP");
    await sleep(2000);
    process.kill(own.pid as number, "SIGCONT");
    faults.deaf = true;
    faults.intercept = () => Promise.reject(new StoreError("ERR_STORE_UNAVAILABLE", "Cut off."));
    await until(async () => held.release().catch(() => false));
    expect(await (await next).release()).toBe(true);
    await expect(lost).rejects.toThrow(StoreError);
  });

  it("a server that is full refuses new leases, and lets those that are out be renewed and released", async (context) => {
    const { join } = fleet(context);
    const gate = await join({ permits: 2 });
    const held = await gate.acquire("key");
    await admin.config("SET", "maxmemory", "1");
    try {
      await expect(gate.acquire("other")).rejects.toThrow(StoreError);
      expect(await held.renew()).toBe(true);
      expect(await held.release()).toBe(true);
    } finally {
      await admin.config("SET", "maxmemory", "0");
    }
    expect(await gate.inspect("key")).toEqual({ permits: 2, held: 0, waiting: 0 });
  });

  it("leases that are left without a word free themselves: held, granted to nobody, and in line", async (context) => {
    const { join, store } = fleet(context);
    const { store: watched, faults } = breakable(await store());
    const dying = await join({ permits: 1, lease: 700, store: watched });
    const living = await join({ permits: 1, lease: 700 });
    const held: Lease = await dying.acquire("key");
    const line = [dying.acquire("key"), dying.acquire("key")];
    for (const each of line) each.catch(() => {});
    await waiting(living, 2);
    faults.deaf = true;
    faults.intercept = () => Promise.reject(new StoreError("ERR_STORE_UNAVAILABLE", "Cut off."));
    const time = await elapsed(() => living.acquire("key", { maxWait: "10s" }));
    expect(time).toBeLessThan(10_000);
    expect(held.signal.aborted).toBe(true);
    // that it was lost is known here: no store is needed to say so
    expect(await held.release()).toBe(false);
    await held[Symbol.asyncDispose]();
  });

  it("three processes that are killed, stopped and cut off never hold more than there is, and leave every permit free", async () => {
    const report = await soakSemaphore(own.url, 6);
    expect(report.violations).toEqual([]);
    expect(report.grants).toBeGreaterThan(40);
    expect(report.kills + report.pauses + report.cuts).toBeGreaterThan(2);
  }, 60_000);
});
