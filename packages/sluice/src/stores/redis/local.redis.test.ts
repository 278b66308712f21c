import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import type { Found } from "../../../../../scripts/servers.mjs";
import { until } from "../../../test/cluster.js";
import { type PrivateServer, startPrivateServer } from "../../../test/faults/server.js";
import { endless, type Kind, kindNames, kinds } from "../../../test/fleet/orders.js";
import { commandsDuring } from "../../../test/observe.js";
import { fixedWindow } from "../../algorithms/fixed-window/fixed-window.js";
import { slidingWindow } from "../../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../../algorithms/token-bucket/token-bucket.js";
import type { RateLimiter } from "../../core/limiter.js";
import type { Policy } from "../../core/policy.js";
import { rateLimiter } from "../../rate-limiter.js";
import { manualClock } from "../../testing/manual-clock.js";
import { Random } from "../../testing/random.js";
import { anySubject } from "../../testing/subjects.js";
import { type RedisStoreOptions, redisStore, scriptClock } from "./redis.js";

// What a process decides by itself: refusals that still hold, and calls taken ahead.

const program = inject("program") as Found;
let server: PrivateServer;
let client: Redis;
beforeAll(async () => {
  server = await startPrivateServer(program);
  client = new Redis(server.url);
});
afterAll(async () => {
  client?.disconnect();
  await server?.stop();
});

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});
function cleanup<T>(thing: T, end: (thing: T) => unknown): T {
  ends.push(() => end(thing));
  return thing;
}

interface Options extends RedisStoreOptions {
  readonly name?: string;
  readonly [scriptClock]?: ReturnType<typeof manualClock>;
}
function limiterOn(policies: Policy | readonly Policy[], options: Options = {}, redis: unknown = client): RateLimiter {
  const { name = randomUUID(), ...others } = options;
  const store = cleanup(redisStore(redis, others), (each) => each.close());
  return cleanup(rateLimiter(policies, { store, name, timeout: "10s" }), (limiter) => limiter.close());
}

interface Held {
  readonly client: { send(args: string[]): Promise<unknown> };
  /** From now on requests wait before they are sent, or their replies before they arrive: all, or those of one verb. */
  readonly hold: (what: "requests" | "replies", verb?: string) => void;
  readonly release: () => void;
}
/** A connection that is as slow as the test says. */
function held(): Held {
  let holding = { what: "", verb: "" };
  let gate = Promise.resolve();
  let open = (): void => {};
  const pass = async (what: string, verb: string): Promise<void> => {
    if (holding.what === what && verb.startsWith(holding.verb)) await gate;
  };
  return {
    client: {
      send: async (args) => {
        const [name = "", ...rest] = args;
        // EVALSHA <sha> <number of keys> <keys> <verb> …
        const verb = name.startsWith("EVAL") ? (args[3 + Number(args[2])] as string) : name;
        await pass("requests", verb);
        const reply = await client.call(name, ...rest).then(
          (value) => ({ value }),
          (error: unknown) => ({ error }),
        );
        await pass("replies", verb);
        if ("error" in reply) throw reply.error;
        return reply.value;
      },
    },
    hold: (what, verb = "") => {
      holding = { what, verb };
      gate = new Promise((resolve) => {
        open = resolve;
      });
    },
    release: () => {
      holding = { what: "", verb: "" };
      open();
    },
  };
}

describe("the denial cache", () => {
  it("never refuses what the store would allow, and answers as the store does, whoever else asks and gives back", async () => {
    const random = new Random(11);
    for (let round = 0; round < 60; round++) {
      const clock = manualClock(1_700_000_000_000_000);
      const several = random.chance(0.2);
      const subject = anySubject(random, "one");
      const policies = several ? [subject.policy, anySubject(random, "two").policy] : [subject.policy];
      const { limit } = subject.policy;
      const name = randomUUID();
      const options = { name, [scriptClock]: clock };
      // two processes with caches, and one without, which says what the store says
      const [here, there] = [limiterOn(policies, options), limiterOn(policies, options)];
      const truth = limiterOn(policies, { ...options, denialCache: false });
      const trace: string[] = [];
      for (let step = 0; step < 40; step++) {
        const dice = random.next();
        const cost = random.pick([1, 1, 1, 2, random.whole(1, limit)]);
        trace.push(`${dice.toFixed(2)} ${cost}`);
        if (dice < 0.5) {
          const told = await truth.peek("key", { cost });
          const decision = await here.consume("key", { cost });
          const about = `round ${round}, ${subject.about}: ${trace.join("; ")}`;
          expect(decision.allowed, about).toBe(told.allowed);
          // others may have spent since; alone, it says what the store says
          if (!decision.allowed) expect(decision.retryAfter, about).toBeLessThanOrEqual(told.retryAfter);
        } else if (dice < 0.65) await there.consume("key", { cost });
        else if (dice < 0.7) await here.refund("key", { cost });
        else if (dice < 0.74) await here.reset("key");
        else if (dice < 0.78) await (await here.reserve("key", { cost }).catch(() => undefined))?.cancel();
        else if (dice < 0.82) await there.charge("key", { cost });
        else clock.advance(random.pick([0, 0.001, subject.tick / 1000, random.whole(0, subject.window) / 1000]));
      }
    }
  });

  it.each(kindNames)("asks the server once for a spent key, and again when it may have changed: %s", async (kind) => {
    const limiter = limiterOn(kinds[kind]({ limit: 3, window: endless }));
    await limiter.consume("key", { cost: 3 });
    const first = await limiter.consume("key");
    const counts = await commandsDuring(client, async () => {
      for (let call = 0; call < 100; call++) {
        const decision = await limiter.consume("key");
        expect(decision).toMatchObject({ allowed: false, remaining: 0, limit: 3, degraded: false });
        expect(decision.retryAfter).toBeLessThanOrEqual(first.retryAfter);
        expect(decision.parts[0]).toMatchObject({ allowed: false, limit: 3, remaining: 0 });
      }
    });
    expect(counts["evalsha"]).toBeUndefined();
    await limiter.refund("key");
    expect((await limiter.consume("key")).allowed).toBe(true);
    expect((await limiter.consume("key")).allowed).toBe(false);
    await limiter.reset("key");
    expect((await limiter.consume("key")).allowed).toBe(true);
  });

  const loosenings: [string, string, (limiter: RateLimiter) => Promise<void>][] = [
    ["a refund", "amend", (limiter) => limiter.refund("key")],
    ["a reset", "DEL", (limiter) => limiter.reset("key")],
  ];

  it.each(loosenings)(
    "does not believe a refusal from before %s, whose answer it overtook",
    async (_, _verb, loosen) => {
      const { client: slow, hold, release } = held();
      const limiter = limiterOn(fixedWindow({ limit: 1, window: endless }), {}, slow);
      await limiter.consume("key");
      hold("replies", "consume");
      const refused = limiter.consume("key");
      // once it is on its way
      await new Promise(setImmediate);
      await loosen(limiter);
      release();
      expect((await refused).allowed).toBe(false);
      expect((await limiter.consume("key")).allowed).toBe(true);
    },
  );

  it.each(loosenings)(
    "does not believe a refusal that was asked after %s, and overtook it",
    async (_, verb, loosen) => {
      const { client: slow, hold, release } = held();
      const limiter = limiterOn(fixedWindow({ limit: 1, window: endless }), {}, slow);
      await limiter.consume("key");
      hold("requests", verb);
      const loosened = loosen(limiter);
      await new Promise(setImmediate);
      expect((await limiter.consume("key")).allowed).toBe(false);
      release();
      await loosened;
      expect((await limiter.consume("key")).allowed).toBe(true);
    },
  );

  it("does not believe a refusal that was answered before a refund which was asked after it, when both are late", async () => {
    const { client: slow, hold, release } = held();
    const store = cleanup(redisStore(slow), (each) => each.close());
    const limiter = rateLimiter(fixedWindow({ limit: 1, window: endless }), { store, name: randomUUID(), timeout: 40 });
    await limiter.consume("key");
    hold("replies");
    const refused = limiter.consume("key").catch(() => "late");
    await new Promise(setImmediate);
    const loosened = limiter.refund("key").catch(() => "late");
    expect([await refused, await loosened]).toEqual(["late", "late"]);
    release();
    await new Promise(setImmediate);
    expect((await limiter.consume("key")).allowed).toBe(true);
  });

  it("keeps so many keys and no more", async () => {
    const limiter = limiterOn(fixedWindow({ limit: 1, window: endless }), { denialCache: { maxKeys: 10 } });
    const keys = Array.from({ length: 50 }, (_, index) => `key-${index}`);
    await Promise.all(keys.map((key) => limiter.consume(key)));
    await Promise.all(keys.map((key) => limiter.consume(key)));
    const counts = await commandsDuring(client, async () => {
      for (const key of keys.toReversed()) expect((await limiter.consume(key)).allowed).toBe(false);
    });
    expect(counts["evalsha"]).toBe(40);
  });

  it("minds the cost: what is refused to the dear is not refused to the cheap", async () => {
    const limiter = limiterOn(tokenBucket({ rate: 10, per: endless }));
    await limiter.consume("key", { cost: 7 });
    expect((await limiter.consume("key", { cost: 4 })).allowed).toBe(false);
    expect((await limiter.consume("key", { cost: 4 })).allowed).toBe(false);
    expect((await limiter.consume("key", { cost: 3 })).allowed).toBe(true);
    expect((await limiter.consume("key", { cost: 1 })).allowed).toBe(false);
  });

  it("can be switched off", async () => {
    const limiter = limiterOn(fixedWindow({ limit: 1, window: endless }), { denialCache: false });
    await limiter.consume("key");
    const counts = await commandsDuring(client, async () => {
      for (let call = 0; call < 10; call++) await limiter.consume("key");
    });
    expect(counts["evalsha"]).toBe(10);
  });

  it("tells no time that is too short, though the process was busy when the answer was made", async () => {
    const { limiter, busyWhile } = await busy(tokenBucket({ rate: 1, per: 5000 }));
    const before = performance.now();
    await limiter.consume("key");
    expect((await busyWhile(() => limiter.consume("key"))).allowed).toBe(false);
    await new Promise(setImmediate);
    const { allowed, retryAfter } = await limiter.consume("key");
    expect(allowed).toBe(false);
    expect(retryAfter).toBeGreaterThan(before + 5000 - performance.now() - 1);
  });
});

describe("calls taken ahead", () => {
  // a lot holds what flows in while it lasts: these last as long as their windows
  const prefetch = { max: 10, maxAge: endless } as const;

  it("are counted before they are spent: several processes, some of which crash, never admit more than the limit", async () => {
    const random = new Random(5);
    for (const kind of kindNames) {
      const name = randomUUID();
      const limit = 300;
      const policy = kinds[kind]({ limit, window: endless });
      let stores = Array.from({ length: 3 }, () => limiterOn(policy, { name, prefetch }));
      let admitted = 0;
      for (let round = 0; round < 60; round++) {
        const limiter = random.pick(stores);
        const calls = Array.from({ length: random.whole(1, 12) }, () => limiter.consume("key"));
        admitted += (await Promise.all(calls)).filter(({ allowed }) => allowed).length;
        // a crash: what it had is lost, never doubled
        if (random.chance(0.1)) stores = [...stores.slice(1), limiterOn(policy, { name, prefetch })];
      }
      expect(admitted, kind).toBeLessThanOrEqual(limit);
      expect(admitted, kind).toBeGreaterThan(limit / 2);
    }
  });

  /** What a policy of each kind admits at most in a span; all in µs. */
  const bounds: Readonly<Record<Kind, (limit: number, window: number, span: number) => number>> = {
    "fixed window": (limit, window, span) => (Math.ceil(span / window) + 1) * limit - 1,
    "fixed window on the clock": (limit, window, span) => (Math.ceil(span / window) + 1) * limit,
    "sliding window": (limit, window, span) => Math.ceil(span / window) * limit,
    "sliding counter": (limit, window, span) => (Math.ceil(span / window) + 1) * limit - 1,
    "token bucket": (limit, window, span) => limit + Math.ceil((span * limit) / window),
    "token bucket by intervals": (limit, window, span) => limit + limit * Math.ceil(span / window),
  };

  it.each(kindNames)(
    "exceed the bound of any span by rate × maxAge for each process, and a bucket's by that much in all: %s",
    async (kind) => {
      const random = new Random(23);
      const [limit, window, maxAge] = [200, 1000, 100];
      const flow = (limit * maxAge) / window;
      for (let round = 0; round < 12; round++) {
        const clock = manualClock(1_700_000_000_000_000);
        const options = { name: randomUUID(), prefetch: { max: 1000, maxAge }, [scriptClock]: clock };
        const members = Array.from({ length: 1 + (round % 3) }, () =>
          limiterOn(kinds[kind]({ limit, window }), options),
        );
        const admitted: number[] = [];
        for (let step = 0; step < 120; step++) {
          const limiter = random.pick(members);
          if (random.chance(0.6)) {
            // a burst, in which lots grow
            for (let left = random.pick([1, 5, 60]); left > 0; left--) {
              if ((await limiter.consume("key")).allowed) admitted.push(clock.now());
            }
          } else clock.advance(random.pick([0.001, 1, maxAge - 0.001, maxAge, random.whole(0, 150), window - maxAge]));
        }
        const extra = flow * (kind === "token bucket" ? 1 : members.length);
        for (const start of new Set(admitted)) {
          for (const span of [1, 100_000, 400_000, window * 1000]) {
            const inside = admitted.filter((moment) => moment >= start && moment < start + span).length;
            const most = bounds[kind](limit, window * 1000, span) + extra;
            expect(inside, `round ${round}, ${span} µs`).toBeLessThanOrEqual(most);
          }
        }
      }
    },
  );

  it("exceed a window by no more than that, though a lot is spent just after what it was counted with has left", async () => {
    const clock = manualClock(1_700_000_000_000_000);
    const [limit, window, maxAge] = [1000, 10_000, 500];
    const options = { name: randomUUID(), [scriptClock]: clock };
    const policy = slidingWindow({ limit, window });
    const [ahead, other] = [
      limiterOn(policy, { ...options, prefetch: { max: 1000, maxAge } }),
      limiterOn(policy, options),
    ];
    const lot = (limit * maxAge) / window;
    let admitted = 0;
    const spend = async (limiter: RateLimiter, calls: number): Promise<void> => {
      for (let call = 0; call < calls; call++) admitted += (await limiter.consume("key")).allowed ? 1 : 0;
    };
    // calls until a lot is whole
    for (let calls = 0; limit - (await other.peek("key")).remaining - calls < lot; calls++) await spend(ahead, 1);
    clock.advance(maxAge - 1);
    admitted = 0;
    await spend(ahead, lot);
    await spend(other, limit);
    clock.advance(window - maxAge + 1);
    await spend(other, limit);
    // from the first of those until now is less than a window
    expect(admitted).toBe(limit + lot);
  });

  it("are none where less than two calls flow in while they last", async () => {
    const limiter = limiterOn(slidingWindow({ limit: 1000, window: 10_000 }), { prefetch: { max: 100, maxAge: 10 } });
    const counts = await commandsDuring(client, async () => {
      for (let call = 0; call < 50; call++) await limiter.consume("key");
    });
    expect(counts["evalsha"]).toBe(50);
  });

  it("save most round trips on a hot key, and are exact near its limit", async () => {
    const limit = 1000;
    const name = randomUUID();
    const limiter = limiterOn(fixedWindow({ limit, window: endless }), {
      name,
      prefetch: { max: 50, maxAge: endless },
    });
    let allowed = 0;
    const counts = await commandsDuring(client, async () => {
      for (let call = 0; call < 800; call++) allowed += (await limiter.consume("key")).allowed ? 1 : 0;
    });
    expect(allowed).toBe(800);
    expect(counts["evalsha"]).toBeLessThan(120);
    for (let call = 0; call < 400; call++) allowed += (await limiter.consume("key")).allowed ? 1 : 0;
    // alone, it can spend everything that it took
    expect(allowed).toBe(limit);
  });

  it("are asked for one lot at a time, however many call at once: nothing is lost between them", async () => {
    const limit = 1000;
    const limiter = limiterOn(fixedWindow({ limit, window: endless }), { prefetch: { max: 50, maxAge: endless } });
    let allowed = 0;
    for (let turn = 0; turn < 20; turn++) {
      const decisions = await Promise.all(Array.from({ length: 100 }, () => limiter.consume("key")));
      allowed += decisions.filter((decision) => decision.allowed).length;
    }
    expect(allowed).toBe(limit);
  });

  it.each(kindNames)("come back when the limiter closes, also those on their way: %s", async (kind) => {
    const name = randomUUID();
    const policy = kinds[kind]({ limit: 1000, window: endless });
    const limiter = limiterOn(policy, { name, prefetch });
    const look = limiterOn(policy, { name });
    for (let call = 0; call < 40; call++) await limiter.consume("key");
    const spent = 1000 - (await look.peek("key")).remaining;
    expect(spent).toBeGreaterThanOrEqual(40);
    const last = limiter.consume("fresh");
    await last;
    await limiter.close();
    expect((await look.peek("key")).remaining).toBe(960);
    expect((await look.peek("fresh")).remaining).toBe(999);
  });

  it("are not taken any more by a call that is under way when the limiter closes", async () => {
    const { client: slow, hold, release } = held();
    const name = randomUUID();
    const policy = fixedWindow({ limit: 1000, window: endless });
    const limiter = limiterOn(policy, { name, prefetch }, slow);
    for (let call = 0; call < 20; call++) await limiter.consume("key");
    hold("replies", "consume");
    const under = Promise.all([limiter.consume("key", { cost: 100 }), limiter.consume("other")]);
    await new Promise(setImmediate);
    const closed = limiter.close();
    release();
    await Promise.all([under, closed]);
    await new Promise(setImmediate);
    const look = limiterOn(policy, { name });
    expect((await look.peek("key")).remaining).toBe(880);
    expect((await look.peek("other")).remaining).toBe(999);
    // and whoever opens it again takes its own
    const again = limiterOn(policy, { name, prefetch });
    for (let call = 0; call < 10; call++) expect((await again.consume("key")).allowed).toBe(true);
    await again.close();
    expect((await look.peek("key")).remaining).toBe(870);
  });

  it("are counted alike here and there, of several policies too, however many are taken", async () => {
    const policies = [
      fixedWindow({ limit: 1_000_000_000, window: endless, name: "one" }),
      tokenBucket({ rate: 900_000_000, per: endless, name: "two" }),
      slidingWindow({ limit: 800_000_000, window: "10d", name: "three" }),
    ];
    const options = { name: randomUUID(), [scriptClock]: manualClock(1_700_000_000_000_000) };
    const limiter = limiterOn(policies, { ...options, prefetch: { max: 1_000_000, maxAge: "10d" } });
    const look = limiterOn(policies, options);
    let told = await limiter.consume("key");
    // each lot is twice as large as the one before
    for (let lot = 1; lot < 5000; lot++) told = await limiter.consume("key");
    const { parts } = await look.peek("key");
    const left = 1_000_000_000 - 5000 - (parts[0]?.remaining as number);
    expect(left).toBeGreaterThanOrEqual(0);
    expect(told.parts.map(({ remaining }) => remaining)).toEqual(parts.map(({ remaining }) => remaining + left));
    await limiter.close();
    expect((await look.peek("key")).parts.map(({ remaining }) => remaining)).toEqual([
      999_995_000, 899_995_000, 799_995_000,
    ]);
  });

  it("run out after maxAge, and are not spent then", async () => {
    const clock = manualClock(1_700_000_000_000_000);
    const name = randomUUID();
    const policy = fixedWindow({ limit: 1_000_000_000, window: "1d" });
    const limiter = limiterOn(policy, { name, prefetch: { max: 10, maxAge: 100 }, [scriptClock]: clock });
    for (let call = 0; call < 30; call++) await limiter.consume("key");
    await until(async () => (await commandsDuring(client, () => limiter.consume("key")))["evalsha"] === undefined);
    clock.advance(100);
    const counts = await commandsDuring(client, () => limiter.consume("key"));
    expect(counts["evalsha"]).toBeGreaterThanOrEqual(1);
  });

  it.each(kindNames)("come back when they are too old: bursts far apart use up the whole limit: %s", async (kind) => {
    const clock = manualClock(1_700_000_000_000_000);
    const [limit, maxAge] = [1000, 100_000];
    const policy = kinds[kind]({ limit, window: 1_000_000 });
    const options = { name: randomUUID(), [scriptClock]: clock };
    const [limiter, other] = [
      limiterOn(policy, { ...options, prefetch: { max: 50, maxAge } }),
      limiterOn(policy, options),
    ];
    for (let call = 0; call < 40; call++) expect((await limiter.consume("key")).allowed).toBe(true);
    await expect.poll(async () => (await other.peek("key")).remaining).toBeLessThan(limit - 40);
    clock.advance(maxAge);
    await limiter.consume("key");
    // the call has taken one ahead again
    await expect.poll(async () => (await other.peek("key")).remaining).toBeGreaterThanOrEqual(limit - 42);
  });

  it("come back when they are too old also if nobody asks for the key any more", async () => {
    const name = randomUUID();
    const policy = slidingWindow({ limit: 1000, window: 10_000 });
    const limiter = limiterOn(policy, { name, prefetch: { max: 50, maxAge: 200 } });
    const other = limiterOn(policy, { name });
    for (let call = 0; call < 40; call++) await limiter.consume("key");
    await expect.poll(async () => (await other.peek("key")).remaining, { timeout: 5000 }).toBe(960);
  });

  it.each(kindNames)("are given back before the key is looked at, charged or waited for: %s", async (kind) => {
    const name = randomUUID();
    const policy = kinds[kind]({ limit: 1000, window: endless });
    const [limiter, other] = [limiterOn(policy, { name, prefetch }), limiterOn(policy, { name })];
    const fill = async (): Promise<void> => {
      await limiter.reset("key");
      for (let call = 0; call < 40; call++) await limiter.consume("key");
      // a lot is on its way, or there
      expect((await other.peek("key")).remaining).toBeLessThan(960);
    };
    await fill();
    expect((await limiter.peek("key")).remaining).toBe(960);
    expect((await other.peek("key")).remaining).toBe(960);
    await fill();
    expect((await limiter.peek("key", { cost: 960 })).allowed).toBe(true);
    await fill();
    expect((await limiter.charge("key", { cost: 960 })).remaining).toBe(0);
    expect((await limiter.consume("key")).allowed).toBe(false);
    await fill();
    await limiter.wait("key", { cost: 960, maxWait: 0 });
    expect((await limiter.consume("key")).allowed).toBe(false);
  });

  it("one at a time is the exact mode", async () => {
    const clock = manualClock(1_700_000_000_000_000);
    const random = new Random(3);
    for (const kind of kindNames) {
      const policy = kinds[kind]({ limit: 20, window: 60_000 });
      const [ahead, exact] = [
        limiterOn(policy, { prefetch: { max: 1, maxAge: "10s" }, [scriptClock]: clock }),
        limiterOn(policy, { [scriptClock]: clock }),
      ];
      for (let call = 0; call < 60; call++) {
        const verb = random.pick(["consume", "consume", "consume", "peek"] as const);
        const cost = random.whole(1, 3);
        expect(await ahead[verb]("key", { cost }), kind).toEqual(await exact[verb]("key", { cost }));
        clock.advance(random.whole(0, 5000));
      }
    }
  });

  it("say of each policy what it says", async () => {
    const policies = [
      fixedWindow({ limit: 1000, window: endless, name: "one" }),
      slidingWindow({ limit: 400, window: "1d", name: "two" }),
    ];
    const limiter = limiterOn(policies, { prefetch });
    for (let call = 1; call <= 50; call++) {
      const decision = await limiter.consume("key");
      expect(decision).toMatchObject({ allowed: true, policy: "two", limit: 400 });
      expect(decision.parts.map(({ policy, limit }) => [policy, limit])).toEqual([
        ["one", 1000],
        ["two", 400],
      ]);
      const [one, two] = decision.parts;
      expect((one?.remaining ?? 0) - (two?.remaining ?? 0)).toBe(600);
      expect(decision.remaining).toBeLessThanOrEqual(400 - call);
      expect(decision.remaining).toBeGreaterThanOrEqual(400 - call - 2 * 10);
    }
  });

  it("stand behind no denial: who has some is not refused", async () => {
    const { client: slow, hold, release } = held();
    const policy = fixedWindow({ limit: 80, window: endless });
    const name = randomUUID();
    const limiter = limiterOn(policy, { name, prefetch }, slow);
    const other = limiterOn(policy, { name });
    await limiter.consume("key");
    await limiter.consume("key");
    hold("replies");
    const asked = Promise.all([limiter.consume("key", { cost: 70 }), limiter.consume("key", { cost: 70 })]);
    await new Promise(setImmediate);
    release();
    await asked;
    await other.charge("key", { cost: 80 });
    expect((await limiter.consume("key", { cost: 9 })).allowed).toBe(false);
    expect((await other.consume("key")).allowed).toBe(false);
  });
});

describe("a turn that was granted", () => {
  it("does not come early, though the process was busy when the answer was made", async () => {
    const { limiter, other, busyWhile } = await busy(tokenBucket({ rate: 1, per: 500 }));
    const before = performance.now();
    await limiter.consume("key");
    // another turn that comes before: after it, the next alarm is set anew
    const earlier = other.wait("other", { cost: 3 });
    await other.peek("other");
    await busyWhile(() => limiter.wait("key"));
    expect(performance.now() - before).toBeGreaterThan(499);
    await earlier;
  });
});

/**
 * A limiter, and how to ask it something that the server answers late, while this process reads its clock and is then busy,
 * in one turn of the event loop with the answer.
 */
async function busy(
  policy: Policy,
): Promise<{ limiter: RateLimiter; other: RateLimiter; busyWhile: <T>(ask: () => Promise<T>) => Promise<T> }> {
  const sleeper = cleanup(new Redis(server.url), (redis) => redis.disconnect());
  await sleeper.ping();
  const store = cleanup(redisStore(client), (each) => each.close());
  const [limiter, other] = [policy, tokenBucket({ rate: 1, per: 110, burst: 3 })].map((each) =>
    cleanup(rateLimiter(each, { store, name: randomUUID(), timeout: "5s" }), (opened) => opened.close()),
  ) as [RateLimiter, RateLimiter];
  await other.consume("other", { cost: 3 });
  return {
    limiter,
    other,
    busyWhile: async (ask) => {
      const slept = sleeper.call("DEBUG", "SLEEP", "0.15");
      await new Promise((resolve) => setTimeout(resolve, 10));
      const asked = ask();
      await new Promise(setImmediate);
      // timers come before input: what is read here is read in the turn of the answer
      await new Promise<void>((resolve) => {
        setTimeout(() => {
          void other.consume("warm").catch(() => {});
          const end = performance.now() + 250;
          while (performance.now() < end);
          resolve();
        }, 1);
      });
      await slept;
      return asked;
    },
  };
}
