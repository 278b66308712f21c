import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { fixedWindow } from "../../algorithms/fixed-window/fixed-window.js";
import { slidingWindow } from "../../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../../algorithms/token-bucket/token-bucket.js";
import { preciseClock } from "../../core/clock.js";
import { isSluiceError } from "../../core/errors.js";
import type { RateLimiter } from "../../core/limiter.js";
import type { Policy } from "../../core/policy.js";
import { rateLimiter } from "../../rate-limiter.js";
import { Batcher } from "./batch.js";
import type { RedisGate } from "./gate.js";
import { inner, slotOf } from "./keys.js";
import { type Attempt, Link, newAttempt } from "./link.js";
import { type RedisStoreOptions, redisStore } from "./redis.js";

// The way to the server, with a server that is no more than a function.

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

const moment = 1_700_000_000_000_000;
const fixed = fixedWindow({ limit: 1_000_000, window: "1h" });

interface Command {
  readonly name: string;
  readonly keys: readonly string[];
  readonly verb: string;
}
function commandOf(args: readonly string[]): Command {
  if (!args[0]?.startsWith("EVAL")) return { name: args[0] as string, keys: args.slice(1), verb: "" };
  const keys = args.slice(3, 3 + Number(args[2]));
  return { name: args[0], keys, verb: args[3 + Number(args[2])] ?? "probe" };
}
/** The user's key in the name of a row. */
const keyIn = (name: string | undefined): string => /\{(.*)\}$/.exec(name ?? "")?.[1] ?? "";

/** A client that keeps what it was asked, and answers as if every key were new, when `meet` lets it. */
function server(
  meet: (command: Command) => Promise<unknown> | undefined,
  cluster = false,
): { client: { cluster: boolean; send(args: string[]): Promise<unknown> }; sent: Command[] } {
  const sent: Command[] = [];
  return {
    sent,
    client: {
      cluster,
      send: async (args) => {
        const command = commandOf(args);
        sent.push(command);
        await meet(command);
        // a line beside the rows is not told of
        return [moment, ...command.keys.filter((key) => !key.includes(":%#")).map(() => null)];
      },
    },
  };
}

interface Settings extends RedisStoreOptions {
  readonly timeout?: number;
  readonly policies?: Policy | readonly Policy[];
}
function limitersOn(client: unknown, ...settings: Settings[]): RateLimiter[] {
  const store = redisStore(client, { denialCache: false, ...settings[0] });
  ends.push(() => store.close());
  return settings.map(({ timeout = 100, policies = fixed }, index) => {
    const limiter = rateLimiter(policies, { store, name: `limiter-${index}`, timeout });
    ends.push(() => limiter.close());
    return limiter;
  });
}
function limiterOn(client: unknown, settings: Settings = {}): RateLimiter {
  const [limiter] = limitersOn(client, settings) as [RateLimiter];
  return limiter;
}

const hang = (): Promise<never> => new Promise(() => {});
const codeOf = (reason: unknown): string => (isSluiceError(reason) ? reason.code : String(reason));
const outcomeOf = (asked: Promise<unknown>): Promise<string> => asked.then(() => "answered", codeOf);

describe("a cluster, a third of which hangs", () => {
  const layouts: [string, (slot: number) => boolean][] = [
    ["in one piece", (slot) => slot < 5461],
    ["in many pieces", (slot) => Math.floor(slot / 512) % 3 === 0],
  ];
  it.each(layouts)("harms nobody whose keys are elsewhere: %s", async (_, isDead) => {
    const { client, sent } = server(({ keys }) => (isDead(slotOf(keyIn(keys[0]))) ? hang() : undefined), true);
    const limiter = limiterOn(client, { timeout: 40 });
    const tally = { healthy: 0, refused: 0, dead: 0, late: 0 };
    const ask = async (key: string): Promise<void> => {
      const dead = isDead(slotOf(inner(key)));
      const outcome = await outcomeOf(limiter.consume(key));
      if (dead) tally.dead += 1;
      else tally.healthy += 1;
      if (!dead && outcome !== "answered") tally.refused += 1;
      if (outcome === "ERR_STORE_TIMEOUT") tally.late += 1;
    };
    const asked: Promise<void>[] = [];
    for (let turn = 0; turn < 200; turn++) {
      for (let call = 0; call < 15; call++) asked.push(ask(`key-${turn * 15 + call}`));
      await sleep(5);
    }
    await Promise.all(asked);
    expect(tally.dead).toBeGreaterThan(500);
    // a group of slots that has both may be asked too little of the one, and take it for the other
    expect(tally.refused).toBeLessThan(tally.healthy / 100);
    // and what hangs costs nothing after a while
    expect(tally.late).toBeLessThan(tally.dead);
    const probes = sent.filter(({ verb }) => verb === "probe");
    expect(probes.length).toBeGreaterThan(0);
    expect(probes.every(({ keys }) => isDead(slotOf(keyIn(keys[0]))))).toBe(true);
  });

  it("is asked again when its keys answer, though others never failed", async () => {
    let away = true;
    const { client } = server(({ keys }) => (away && keyIn(keys[0]) === "a" ? hang() : undefined), true);
    const limiter = limiterOn(client, { timeout: 20 });
    for (let call = 0; call < 5; call++) expect(await outcomeOf(limiter.consume("a"))).toBe("ERR_STORE_TIMEOUT");
    expect(await outcomeOf(limiter.consume("a"))).toBe("ERR_STORE_UNAVAILABLE");
    expect(await outcomeOf(limiter.consume("b"))).toBe("answered");
    away = false;
    await expect.poll(() => outcomeOf(limiter.consume("a")), { timeout: 2000 }).toBe("answered");
  });
});

describe("a store that is slow", () => {
  it("is left alone, though it answers in the end", async () => {
    const { client } = server(() => sleep(150));
    const limiter = limiterOn(client, { timeout: 30 });
    let late = 0;
    for (let call = 0; call < 40; call++) {
      if ((await outcomeOf(limiter.consume("key"))) === "ERR_STORE_TIMEOUT") late += 1;
      await sleep(10);
    }
    expect(late).toBe(5);
  });

  it("is not blamed twice for one call that fails after its deadline", async () => {
    let failing = true;
    const { client } = server(async () => {
      if (!failing) return;
      await sleep(40);
      throw new Error("lost");
    });
    const limiter = limiterOn(client, { timeout: 20 });
    for (let call = 0; call < 4; call++) await outcomeOf(limiter.charge("key"));
    failing = false;
    await sleep(60);
    expect(await outcomeOf(limiter.charge("key"))).toBe("answered");
  });

  it("is given back what it granted too late, though it is left alone by then", async () => {
    const { client, sent } = server(({ verb }) => (verb === "decide" ? sleep(60) : undefined));
    const limiter = limiterOn(client, { timeout: 20 });
    const waits = Array.from({ length: 7 }, (_, index) => outcomeOf(limiter.wait(`key-${index}`)));
    expect(new Set(await Promise.all(waits))).toEqual(new Set(["ERR_STORE_TIMEOUT"]));
    expect(await outcomeOf(limiter.wait("key-8"))).toBe("ERR_STORE_UNAVAILABLE");
    await expect.poll(() => sent.filter(({ verb }) => verb !== "decide" && verb !== "probe").length).toBe(7);
  });

  it("is not sent what had to queue and nobody waits for any more", async () => {
    let open = (): void => {};
    let gate: Promise<void> | undefined = new Promise((resolve) => {
      open = resolve;
    });
    const { client, sent } = server(() => gate);
    const [patient, hasty] = limitersOn(client, { timeout: 5000 }, { timeout: 30 }) as [RateLimiter, RateLimiter];
    // as many as may be under way
    const first = Array.from({ length: 256 }, (_, index) => patient.consume(`filler-${index}`));
    await new Promise(setImmediate);
    const [late, last] = [outcomeOf(hasty.consume("late")), outcomeOf(patient.consume("last"))];
    expect(await late).toBe("ERR_STORE_TIMEOUT");
    gate = undefined;
    open();
    await Promise.all(first);
    expect(await last).toBe("answered");
    const keys = sent.flatMap((command) => command.keys.map(keyIn));
    expect(keys).toContain("last");
    expect(keys).not.toContain("late");
  });

  it("is not sent the whole script after NOSCRIPT when nobody waits any more", async () => {
    const { client, sent } = server(async () => {
      await sleep(60);
      throw new Error("NOSCRIPT No matching script.");
    });
    const limiter = limiterOn(client, { timeout: 20 });
    const outcomes = await Promise.all([limiter.consume("a"), limiter.charge("b"), limiter.peek("c")].map(outcomeOf));
    expect(new Set(outcomes)).toEqual(new Set(["ERR_STORE_TIMEOUT"]));
    await sleep(120);
    expect(sent.map(({ name }) => name)).toEqual(["EVALSHA", "EVALSHA", "EVALSHA"]);
  });
});

describe("calls that end in another order than they were sent", () => {
  it("are each answered, late, or given up as if they were alone", async () => {
    const { client } = server(({ keys }) => {
      const key = keyIn(keys[0]);
      return key === "soon" ? sleep(10) : key === "late" ? sleep(150) : key === "never" ? hang() : undefined;
    });
    const limiter = limiterOn(client, { batch: false, timeout: 60 });
    const first = ["soon", "late", "never"].map((key) => outcomeOf(limiter.consume(key)));
    expect(await Promise.all(first)).toEqual(["answered", "ERR_STORE_TIMEOUT", "ERR_STORE_TIMEOUT"]);
    await sleep(200);
    const then = ["soon", "never", "other"].map((key) => outcomeOf(limiter.consume(key)));
    expect(await Promise.all(then)).toEqual(["answered", "ERR_STORE_TIMEOUT", "answered"]);
    await limiter.close();
  });

  it("are waited for by those who came after them, and no others", async () => {
    const answers: (() => void)[] = [];
    const send = (): Promise<unknown> => new Promise((resolve) => answers.push(() => resolve("OK")));
    const link = new Link({ send, cluster: false, subscribe: undefined });
    ends.push(() => link.close());
    const attempts: Attempt[] = [];
    const ask = (): void => {
      const attempt = newAttempt(link.breaker(0), 1000);
      attempts.push(attempt);
      link.send(["PING"], "key", attempt).catch(() => {});
    };
    const done: string[] = [];
    const settled = (name: string): void => void link.settled().then(() => done.push(name));
    ask();
    ask();
    settled("first two");
    ask();
    settled("all three");
    link.late([attempts[0] as Attempt]);
    answers[0]?.();
    await sleep(1);
    // an answer that comes after its deadline is not counted again
    expect(done).toEqual([]);
    answers[1]?.();
    await sleep(1);
    expect(done).toEqual(["first two"]);
    answers[2]?.();
    await sleep(1);
    expect(done).toEqual(["first two", "all three"]);
    settled("none");
    await sleep(1);
    expect(done.at(-1)).toBe("none");
  });
});

describe("what a server that is well says", () => {
  it.each([
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "WRONGTYPE: Operation against a key holding the wrong kind of value",
    "ERR user_script:7: attempt to compare nil with number",
    "ERR value is not an integer or out of range",
    "An error was signalled by the server: - ResponseError: user_script:7: attempt to compare nil with number",
  ])("does not stand against it: %s", async (message) => {
    const { client } = server(({ keys }) =>
      keyIn(keys[0]) === "bad" ? Promise.reject(new Error(message)) : undefined,
    );
    const limiter = limiterOn(client);
    for (let call = 0; call < 10; call++) {
      expect(await outcomeOf(limiter.consume("bad"))).toBe("ERR_STORE_UNAVAILABLE");
    }
    expect(await outcomeOf(limiter.consume("good"))).toBe("answered");
  });

  it.each([
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "READONLY You can't write against a read only replica.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "CLUSTERDOWN Hash slot not served",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "OOM: command not allowed when used memory > 'maxmemory'.",
    "ERR max number of clients reached",
    "An error was signalled by the server: - ResponseError: max number of clients reached",
    "Connection is closed.",
  ])("that it cannot, does: %s", async (message) => {
    const { client, sent } = server(() => Promise.reject(new Error(message)));
    const limiter = limiterOn(client);
    for (let call = 0; call < 8; call++) await outcomeOf(limiter.consume("key"));
    expect(sent).toHaveLength(5);
  });

  it("TRYAGAIN is asked again, as nothing ran; a look and a reset too", async () => {
    let times = 0;
    const { client, sent } = server(() => {
      times += 1;
      const message = "TRYAGAIN Multiple keys request during rehashing of slot";
      return times % 3 === 0 ? undefined : Promise.reject(new Error(message));
    }, true);
    const limiter = limiterOn(client, { timeout: 2000 });
    for (const verb of ["consume", "charge", "peek", "reset"] as const) {
      expect(await outcomeOf(limiter[verb]("key")), verb).toBe("answered");
    }
    expect(sent).toHaveLength(12);
  });
});

describe("one call", () => {
  it("holds fewer logs than rows, for they take the server longer", async () => {
    const { client, sent } = server(() => undefined);
    const log = slidingWindow({ limit: 10, window: "1h" });
    const [rows, logs] = limitersOn(client, {}, { policies: log }) as [RateLimiter, RateLimiter];
    const keys = Array.from({ length: 192 }, (_, index) => `key-${index}`);
    await Promise.allSettled(keys.map((key) => rows.consume(key)));
    expect(sent.map((command) => command.keys.length)).toEqual([64, 64, 64]);
    sent.splice(0);
    await Promise.allSettled(keys.map((key) => logs.consume(key)));
    expect(Math.max(...sent.map((command) => command.keys.length))).toBeLessThanOrEqual(32);
  });

  it("holds the looks of one turn, whoever asks them", async () => {
    const { client, sent } = server(() => undefined);
    const [one, two] = limitersOn(client, {}, {}) as [RateLimiter, RateLimiter];
    const looks = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        (index % 2 === 0 ? one : two).peek(`key-${index}`, { cost: index + 1 }),
      ),
    );
    expect(looks.every(({ allowed, remaining }) => allowed && remaining === 1_000_000)).toBe(true);
    expect(sent.map((command) => command.keys.length)).toEqual([64, 36]);
  });

  it("of looks that one key spoils is asked again for each", async () => {
    const { client } = server(({ keys }) =>
      keys.some((key) => keyIn(key) === "bad")
        ? Promise.reject(new Error("WRONGTYPE Operation against a key"))
        : undefined,
    );
    const limiter = limiterOn(client);
    const outcomes = await Promise.all(["a", "bad", "b"].map((key) => outcomeOf(limiter.peek(key))));
    expect(outcomes).toEqual(["answered", "ERR_STORE_UNAVAILABLE", "answered"]);
  });
});

describe("closing", () => {
  it("waits for what is under way, and for what those who were answered give back", async () => {
    const under = new Set<Command>();
    const { client } = server(async (command) => {
      under.add(command);
      await sleep(30);
      under.delete(command);
    });
    const settings = { timeout: 1000 };
    const [one, two] = limitersOn(client, settings, settings) as [RateLimiter, RateLimiter];
    const controller = new AbortController();
    const asked = [one.consume("a"), one.charge("b"), one.peek("c"), one.reserve("d", { signal: controller.signal })];
    const outcomes = Promise.allSettled(asked);
    controller.abort();
    await one.close();
    expect(under.size).toBe(0);
    await outcomes;

    void two.consume("a").catch(() => {});
    void two.charge("b").catch(() => {});
    const store = ends[0] as () => Promise<void>;
    await store();
    expect(under.size).toBe(0);
  });

  it("waits no longer than a call may take", async () => {
    const { client } = server(hang);
    const limiter = limiterOn(client, { timeout: 50 });
    const asked = outcomeOf(limiter.consume("a"));
    const began = performance.now();
    await limiter.close();
    expect(performance.now() - began).toBeLessThan(1000);
    expect(await asked).toBe("ERR_STORE_TIMEOUT");
  });
});

it("what one turn of the event loop brings travels together, in however many callbacks it comes", async () => {
  const { client, sent } = server(() => sleep(30));
  const limiter = limiterOn(client, { timeout: 2000 });
  const first = limiter.consume("first");
  // as the requests of an HTTP server do: each in a callback of its own
  const others = Array.from(
    { length: 20 },
    (_, index) =>
      new Promise((resolve) => {
        setTimeout(() => resolve(limiter.consume(`key-${index}`)), 5);
      }),
  );
  await Promise.all([first, ...others]);
  // the first at once, and the others in one call, or in a few if their timers ring in several turns
  expect(sent.length).toBeLessThan(8);
});

describe("answers that come all at once", () => {
  it("are heard a call first, and what is asked then is under way before the others are", async () => {
    let held = 4;
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const log: string[] = [];
    const { client, sent } = server(({ keys }) => {
      log.push(`sent ${keyIn(keys[0])}`);
      return held-- > 0 ? gate : undefined;
    });
    const limiter = limiterOn(client, { timeout: 10_000 });
    const rounds = Array.from({ length: 256 }, async (_, index) => {
      await limiter.consume(`first ${index}`);
      log.push(`heard ${index}`);
      await limiter.consume(`next ${index}`);
    });
    await new Promise(setImmediate);
    expect(sent).toHaveLength(4);
    release();
    await Promise.all(rounds);
    const askedNext = log.indexOf("sent next 0");
    expect(askedNext).toBeGreaterThan(log.indexOf("heard 63"));
    expect(askedNext).toBeLessThan(log.indexOf("heard 64"));
    const heard = log.filter((line) => line.startsWith("heard"));
    expect(heard).toEqual(Array.from({ length: 256 }, (_, index) => `heard ${index}`));
  });

  /** In how many turns of the event loop 250 answers are heard that come at once. */
  async function turnsFor(options: Settings, busy: number): Promise<number> {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const limiter = limiterOn(server(() => gate).client, { timeout: 10_000, ...options });
    let turns = 0;
    let counting = true;
    const heard: number[] = [];
    const count = (): void => {
      turns += 1;
      const until = performance.now() + busy;
      while (performance.now() < until);
      if (counting) setImmediate(count);
    };
    for (let round = 0; round < 3; round++) {
      const asked = Array.from({ length: 250 }, (_, index) => limiter.consume(`key ${index}`).then(() => turns));
      await new Promise(setImmediate);
      release();
      if (round === 0) count();
      const from = turns;
      heard.push(Math.max(...(await Promise.all(asked))) - from);
    }
    counting = false;
    return Math.max(...heard.slice(1));
  }

  it.each([{ batch: false }, { batch: { max: 8 } }, {}])("are all heard within a few turns: %o", async (options) => {
    expect(await turnsFor(options, 0)).toBeLessThan(8);
  });

  it("are put off no more while turns are long", async () => {
    expect(await turnsFor({}, 20)).toBeLessThan(4);
  });

  it("are all heard before the store has closed", async () => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const store = redisStore(server(() => gate).client);
    const limiter = rateLimiter(fixed, { store, timeout: 10_000 });
    let heard = 0;
    for (let index = 0; index < 256; index++) void limiter.consume(`key ${index}`).then(() => (heard += 1));
    await new Promise(setImmediate);
    const closed = store.close();
    release();
    await closed;
    expect(heard).toBe(256);
  });

  it("in time are none of them late, though the process was busy until the deadline", async () => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const limiter = limiterOn(server(() => gate).client, { timeout: 50 });
    const outcomes = Array.from({ length: 256 }, (_, index) => outcomeOf(limiter.consume(`key ${index}`)));
    await new Promise(setImmediate);
    const until = performance.now() + 60;
    while (performance.now() < until);
    release();
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(["answered"]));
  });

  it("are heard together where they are small", async () => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { client, sent } = server(() => gate);
    const limiter = limiterOn(client, { timeout: 10_000 });
    let turn = 0;
    const asked: Promise<number>[] = [];
    for (let call = 0; call < 8; call++) {
      asked.push(limiter.consume(`key ${call}`).then(() => turn));
      await new Promise(setImmediate);
    }
    expect(sent).toHaveLength(8);
    release();
    const counting = setImmediate(() => {
      turn += 1;
    });
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 8 }, () => 0));
    clearImmediate(counting);
  });
});

describe("what is sent", () => {
  const script = { text: "return 1", sha: "0".repeat(40) };

  it("fails alone where the client throws instead of rejecting", async () => {
    const thrown = new Error("a wrapper's mistake");
    const send = (): never => {
      throw thrown;
    };
    const link = new Link({ send, cluster: false, subscribe: undefined });
    await expect(link.run(script, ["key"], [], newAttempt(link.breaker(0), 1000))).rejects.toMatchObject({
      code: "ERR_STORE_UNAVAILABLE",
      cause: thrown,
    });
    await link.settled();
  });

  it("late blames the server for as long as its callers would wait, not for what was left when it was sent", async () => {
    const send = async (): Promise<unknown> => {
      await sleep(30);
      return 1;
    };
    const link = new Link({ send, cluster: false, subscribe: undefined });
    const breaker = link.breaker(0);
    for (let call = 0; call < 5; call++)
      link.late([{ ...newAttempt(breaker, 3), patience: 1000 }, newAttempt(breaker, 3)]);
    expect(() => breaker.check()).toThrow("several times in a row");
    // a probe that takes longer than what was left, and not as long as anybody would wait
    await expect.poll(() => breaker.doubtful, { timeout: 2000 }).toBe(false);
    link.close();
  });

  it.each([
    ["texts", (text: string) => text],
    ["numbers, where a text is one", (text: string) => (/^\d+$/.test(text) ? Number(text) : text)],
  ])("alone is understood from a client that gives %s", async (_, give) => {
    const replies = [String(moment), `${moment} ${moment}`];
    const limiter = limiterOn(
      { send: async () => give(replies.shift() as string) },
      { policies: tokenBucket({ rate: 1, per: "1s", burst: 5 }) },
    );
    expect(await limiter.consume("key")).toMatchObject({ allowed: true, remaining: 4 });
    expect(await limiter.consume("key")).toMatchObject({ allowed: true, remaining: 4 });
  });

  it("after it was held back is wanted for no longer than its callers have left", async () => {
    const within: number[] = [];
    const send = async (_args: unknown, _key: string, timeout = 0): Promise<unknown> => {
      within.push(timeout);
      if (within.length === 1) throw new Error("the connection broke");
      return hang();
    };
    const link = new Link({ send, cluster: false, subscribe: undefined });
    const batcher = new Batcher(link, script, preciseClock, preciseClock, 1, () => 0);
    const gate = { slot: () => 0, weight: 1, figures: 1, encodedPolicy: "[]", namesOf: (tag: string) => [tag] };
    const ask = (key: string) => outcomeOf(batcher.consume(gate as unknown as RedisGate, key, 1, 400));
    // from a failure on, one call at a time
    expect(await ask("first")).toBe("ERR_STORE_UNAVAILABLE");
    const hangs = ask("second");
    await sleep(250);
    const held = ask("third");
    expect(within).toHaveLength(2);
    expect(await Promise.all([hangs, held])).toEqual(["ERR_STORE_TIMEOUT", "ERR_STORE_TIMEOUT"]);
    expect(within).toHaveLength(3);
    expect(within[2]).toBeLessThan(390);
    link.close();
  });
});
