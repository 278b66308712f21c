import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Found } from "../../../../../scripts/servers.mjs";
import { type PrivateServer, startPrivateServer } from "../../../test/faults/server.js";
import { timesToLive } from "../../../test/observe.js";
import {
  MaxWaitExceededError,
  memoryStore,
  type RateLimiter,
  type Reservation,
  rateLimiter,
  slidingWindow,
} from "../../index.js";
import { redisStore, scriptClock } from "../../stores/redis/redis.js";
import { outcomeOf } from "../../testing/check.js";
import { type ManualClock, manualClock } from "../../testing/manual-clock.js";

// The log on the server against the log in memory, and what it costs the server.

let server: PrivateServer;
let client: Redis;
beforeAll(async () => {
  server = await startPrivateServer(inject("program") as Found);
  client = new Redis(server.url);
});
afterAll(async () => {
  client?.disconnect();
  await server?.stop();
});

function onRedis(clock: ManualClock, limit: number, window: number, name: string = randomUUID()): RateLimiter {
  const store = redisStore(client, { denialCache: false, [scriptClock]: clock } as object);
  return rateLimiter(slidingWindow({ limit, window }), { store, name, timeout: "10s" });
}

/** What is done to a key; `which` picks among the grants that can still be corrected. */
type Move =
  | { readonly verb: "consume" | "peek" | "charge" | "refund" | "reserve" | "wait"; readonly cost: number }
  | { readonly verb: "settle"; readonly which: number; readonly cost: number }
  | { readonly verb: "cancel"; readonly which: number }
  | { readonly verb: "abort"; readonly which: number }
  | { readonly verb: "advance"; readonly micros: number }
  | { readonly verb: "reset" };

/** One limiter on each store, both by one clock, and everything that they answer. */
class Twins {
  readonly #clock = manualClock(1_700_000_000_000_000);
  readonly #limiters: readonly RateLimiter[];
  readonly #reserved: (readonly Reservation[])[] = [];
  #waiting: { readonly abort: AbortController; readonly outcomes: readonly Promise<unknown>[] }[] = [];

  constructor(limit: number, window: number) {
    const store = memoryStore({ clock: this.#clock });
    this.#limiters = [rateLimiter(slidingWindow({ limit, window }), { store }), onRedis(this.#clock, limit, window)];
  }

  async play(moves: readonly Move[]): Promise<void> {
    for (const move of moves) {
      await this.#move(move);
      await this.#both((limiter) => limiter.peek("key"));
    }
  }

  async close(): Promise<void> {
    for (const { abort } of this.#waiting) abort.abort();
    await Promise.all(this.#waiting.flatMap(({ outcomes }) => outcomes));
    await Promise.all(this.#limiters.map((limiter) => limiter.close()));
  }

  async #move(move: Move): Promise<void> {
    switch (move.verb) {
      case "advance":
        this.#clock.set(Math.max(0, this.#clock.now() + move.micros));
        break;
      case "reset":
        // what waits would have been forgotten with its key
        await this.#abort(this.#waiting.splice(0));
        await this.#both((limiter) => limiter.reset("key"));
        break;
      case "wait":
        this.#wait(move.cost);
        break;
      case "abort":
        await this.#abort(this.#waiting.splice(move.which % (this.#waiting.length + 1), 1));
        break;
      case "reserve": {
        const [one, other] = await this.#both((limiter) => limiter.reserve("key", move));
        if (one && "value" in one && other && "value" in other) this.#reserved.push([one.value, other.value]);
        break;
      }
      case "settle":
      case "cancel": {
        const [pair = []] = this.#reserved.splice(move.which % (this.#reserved.length + 1), 1);
        await Promise.all(pair.map((each) => (move.verb === "cancel" ? each.cancel() : each.settle(move.cost))));
        break;
      }
      case "consume":
      case "peek":
      case "charge":
      case "refund":
        await this.#both<unknown>((limiter) => limiter[move.verb]("key", move));
        break;
    }
  }

  #wait(cost: number): void {
    const abort = new AbortController();
    const outcomes = this.#limiters.map((limiter) =>
      outcomeOf(limiter.wait("key", { cost, maxWait: "1h", signal: abort.signal })),
    );
    this.#waiting.push({ abort, outcomes });
  }

  async #abort(waiting: readonly { abort: AbortController; outcomes: readonly Promise<unknown>[] }[]): Promise<void> {
    for (const { abort, outcomes } of waiting) {
      abort.abort();
      await Promise.all(outcomes);
    }
  }

  async #both<T>(ask: (limiter: RateLimiter) => Promise<T>) {
    const outcomes = await Promise.all(this.#limiters.map((limiter) => outcomeOf(ask(limiter))));
    const [memory, redis] = outcomes.map(told);
    expect(redis).toEqual(memory);
    return outcomes;
  }
}

/** What can be compared: of a reservation its decision, of an error its name and how long it would take. */
function told(outcome: { readonly value: unknown } | { readonly error: unknown }): unknown {
  if ("error" in outcome) {
    const { name } = outcome.error as Error;
    return outcome.error instanceof MaxWaitExceededError ? [name, outcome.error.wait] : name;
  }
  const { value } = outcome;
  const { decision = value } = (value ?? {}) as { decision?: unknown };
  return decision === undefined ? undefined : JSON.parse(JSON.stringify(decision, (_, each) => each ?? null));
}

const figures: fc.Arbitrary<{ limit: number; window: number }> = fc.record({
  limit: fc.constantFrom(1, 3, 10, 1000, 0x7fff, 0x8000, 70_000),
  window: fc.constantFrom(0.003, 1, 10, 1000),
});

function movesOf(limit: number, window: number, back: boolean): fc.Arbitrary<Move> {
  const cost = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 3 }) },
    fc.integer({ min: 1, max: limit }),
    fc.constantFrom(limit, Math.ceil(limit / 2), limit + 1),
  );
  const large = fc.oneof(cost, fc.constantFrom(5 * limit, 65_534, 65_535, 65_536, 70_000, 200_000, 2 ** 47));
  const which = fc.nat(20);
  const span = window * 1000;
  const gap = fc.oneof(
    fc.constantFrom(0, 1, Math.ceil(span / 2), span - 1, span, span + 1),
    fc.nat(Math.ceil(span / 3)),
    fc.nat(3 * span),
  );
  const record = (verb: Move["verb"], others: object, weight: number) => ({
    weight,
    arbitrary: fc.record({ verb: fc.constant(verb), ...others }) as unknown as fc.Arbitrary<Move>,
  });
  const always = [
    record("consume", { cost }, 5),
    record("charge", { cost: large }, 3),
    record("refund", { cost: large }, 3),
    record("advance", { micros: gap }, 6),
    record("reset", {}, 1),
  ];
  // a grant by a clock that stands still is known to the log by another moment than to whoever has it
  return back
    ? fc.oneof(...always, record("advance", { micros: gap.map((each) => -each) }, 2))
    : fc.oneof(
        ...always,
        record("reserve", { cost }, 6),
        record("wait", { cost }, 3),
        record("settle", { which, cost: fc.oneof(fc.constant(0), large) }, 6),
        record("cancel", { which }, 2),
        record("abort", { which }, 2),
      );
}

type Case = readonly [{ readonly limit: number; readonly window: number }, readonly Move[]];

/** Kept: each has failed once. */
const examples: Case[] = [
  // nothing was left of the call in the middle, and of those behind it
  [
    { limit: 10, window: 1000 },
    [
      { verb: "consume", cost: 1 },
      { verb: "advance", micros: 10_000 },
      { verb: "consume", cost: 1 },
      { verb: "advance", micros: 10_000 },
      { verb: "reserve", cost: 1 },
      { verb: "advance", micros: 10_000 },
      { verb: "consume", cost: 1 },
      { verb: "settle", which: 0, cost: 0 },
      { verb: "refund", cost: 1 },
    ],
  ],
  // a charge of which nothing is logged any more
  [
    { limit: 10, window: 1000 },
    [
      { verb: "charge", cost: 70_000 },
      { verb: "advance", micros: 10_000 },
      { verb: "charge", cost: 1 },
    ],
  ],
  [
    { limit: 10, window: 1000 },
    [
      { verb: "reserve", cost: 1 },
      { verb: "charge", cost: 70_000 },
      { verb: "advance", micros: 20_000 },
      { verb: "settle", which: 0, cost: 9 },
      { verb: "charge", cost: 1 },
    ],
  ],
  // behind a line, the window of a call that is corrected upwards is not the last one
  [
    { limit: 10, window: 1000 },
    [
      { verb: "reserve", cost: 1 },
      { verb: "charge", cost: 60_000 },
      { verb: "wait", cost: 1 },
      { verb: "wait", cost: 10 },
      { verb: "settle", which: 0, cost: 60_001 },
      { verb: "abort", which: 1 },
      { verb: "abort", which: 0 },
      { verb: "refund", cost: 55_000 },
    ],
  ],
  // who is given back what a reset has taken already
  [
    { limit: 32_768, window: 0.003 },
    [
      { verb: "reserve", cost: 1 },
      { verb: "reset" },
      { verb: "wait", cost: 1 },
      { verb: "cancel", which: 0 },
      { verb: "reserve", cost: 1 },
    ],
  ],
  // what the server's two bytes do not hold
  [
    { limit: 30_000, window: 1000 },
    [
      { verb: "consume", cost: 7 },
      { verb: "charge", cost: 40_000 },
      { verb: "charge", cost: 40_000 },
      { verb: "refund", cost: 60_000 },
      { verb: "advance", micros: 1_000_000 },
      { verb: "consume", cost: 30_000 },
    ],
  ],
  // the clock goes back before a call that has left the window
  [
    { limit: 10, window: 1000 },
    [
      { verb: "consume", cost: 1 },
      { verb: "advance", micros: 1_000_000 },
      { verb: "refund", cost: 1 },
      { verb: "advance", micros: -1_000_001 },
      { verb: "charge", cost: 1 },
    ],
  ],
];

async function same([{ limit, window }, moves]: Case): Promise<void> {
  const twins = new Twins(limit, window);
  try {
    await twins.play(moves);
  } finally {
    await twins.close();
  }
}

describe("memory and Redis", () => {
  it.each(examples)("answer alike, field for field: example %#", async (...example) => {
    await same(example);
  });

  it.each([
    ["whatever is charged, settled, refunded and given up", false],
    ["though the clock goes back", true],
  ])(
    "answer alike, field for field, %s",
    async (_, back) => {
      const cases = figures.chain((chosen) =>
        fc.tuple(
          fc.constant(chosen),
          fc.array(movesOf(chosen.limit, chosen.window, back), { minLength: 1, maxLength: 40, size: "max" }),
        ),
      );
      await fc.assert(fc.asyncProperty(cases, same), { numRuns: 150 });
    },
    120_000,
  );
});

describe("the log on the server", () => {
  const [limit, window] = [10_000, 3_600_000];
  const held = 5000;

  /** What the server reads of strings during `action`: how often, and how many bytes. What it writes, it has read. */
  async function touched(action: () => Promise<unknown>): Promise<{ reads: number; bytes: number; writes: number }> {
    const monitor = await new Redis(server.url).monitor();
    const seen = { reads: 0, bytes: 0, writes: 0 };
    const end = randomUUID();
    const ended = new Promise<void>((resolve) => {
      monitor.on("monitor", (_time: string, [command = "", ...args]: string[]) => {
        if (/^getrange$/i.test(command)) {
          seen.reads += 1;
          const last = Number(args[2]);
          // up to the end, when it is negative
          seen.bytes += (last < 0 ? 8 * held : last) - Number(args[1]) + 1;
        }
        if (/^set/i.test(command)) seen.writes += 1;
        if (args[0] === end) resolve();
      });
    });
    await action();
    await client.echo(end);
    await ended;
    monitor.disconnect();
    return seen;
  }

  /** A key with so many calls, each at a moment of its own, and the means to correct them. */
  async function full() {
    const clock = manualClock(1_700_000_000_000_000);
    const name = randomUUID();
    const limiter = onRedis(clock, limit, window, name);
    const reserved: Reservation[] = [];
    for (let call = 0; call < held; call += 100) {
      const batch: Promise<Reservation>[] = [];
      for (let each = 0; each < 100; each++) {
        clock.advance(0.001);
        batch.push(limiter.reserve("key"));
      }
      reserved.push(...(await Promise.all(batch)));
    }
    expect((await limiter.peek("key")).remaining).toBe(limit - held);
    return { clock, limiter, reserved, key: `sluice:${name}:default:{key}` };
  }

  it("is read and written in a few places when a call is corrected, given back or given up, at both ends", async () => {
    const { clock, limiter, reserved } = await full();
    const place = (index: number): Reservation => reserved.at(index) as Reservation;
    const abort = new AbortController();
    const turns = Promise.allSettled(
      Array.from({ length: 3 }, () => limiter.wait("key", { cost: limit, signal: abort.signal })),
    );
    await limiter.peek("key");
    const deeds: Readonly<Record<string, () => Promise<unknown>>> = {
      "giving up": () => {
        abort.abort();
        return turns;
      },
      "the newest costs more": () => place(-1).settle(3),
      "the oldest costs more": () => place(0).settle(3),
      "the newest costs nothing": () => place(-2).cancel(),
      "the oldest costs nothing": () => place(1).cancel(),
      "half of it is given back": () => limiter.refund("key", { cost: held / 2 }),
      "a call more": () => limiter.consume("key", { cost: 2 }),
      "all of it has left the window": () => {
        clock.advance(2 * window);
        return limiter.consume("key");
      },
    };
    for (const [about, deed] of Object.entries(deeds)) {
      const { reads, bytes, writes } = await touched(deed);
      expect(bytes, about).toBeLessThan(3000);
      expect(reads, about).toBeLessThan(300);
      expect(writes, about).toBeLessThan(20);
    }
  });

  it("is rewritten on the shorter side of a call in the middle, in a few pieces", async () => {
    const { limiter, reserved } = await full();
    for (const share of [0.25, 0.5, 0.75]) {
      const { reads, bytes, writes } = await touched(() => (reserved.at(share * held) as Reservation).settle(3));
      expect(bytes, `at ${share}`).toBeLessThan(Math.min(share, 1 - share) * held * 8 + 1000);
      expect(reads, `at ${share}`).toBeLessThan(80);
      expect(writes, `at ${share}`).toBeLessThan(10);
    }
    expect((await limiter.peek("key")).remaining).toBe(limit - held - 6);
  });

  it("is as small as what it holds, again", async () => {
    const { clock, limiter, key } = await full();
    expect(await client.strlen(key)).toBeGreaterThan(held * 8);
    clock.advance(2 * window);
    await limiter.consume("key");
    expect(await client.strlen(key)).toBeLessThan(200);
  });

  it("takes what another algorithm has left for nothing", async () => {
    const name = randomUUID();
    const clock = manualClock(1_700_000_000_000_000);
    const limiter = onRedis(clock, limit, window, name);
    const row = Array.from({ length: 5 }, () => clock.now()).join(" ");
    await client.set(`sluice:${name}:default:{key}`, row, "PX", 60_000);
    expect((await limiter.peek("key")).remaining).toBe(limit);
    await limiter.refund("key");
    expect((await limiter.consume("key", { cost: 3 })).remaining).toBe(limit - 3);
    expect((await limiter.charge("key")).remaining).toBe(limit - 4);
    for (const [key, life] of await timesToLive(client, `sluice:${name}`)) expect(life, key).toBeGreaterThan(60_000);
  });
});
