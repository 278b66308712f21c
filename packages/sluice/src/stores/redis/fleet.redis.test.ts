import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Found } from "../../../../../scripts/servers.mjs";
import { type PrivateServer, startPrivateServer } from "../../../test/faults/server.js";
import { type Member, type Program, programOf, startMember } from "../../../test/fleet/fleet.js";
import { endless, kindNames, kinds, type Order } from "../../../test/fleet/orders.js";
import { commandsDuring } from "../../../test/observe.js";
import { rateLimiter } from "../../rate-limiter.js";
import { redisStore } from "./redis.js";

const program = inject("program") as Found;
const minute = 60_000;

let server: PrivateServer;
let observer: Redis;
let member: Program;
let fleet: readonly [Member, Member, Member];

beforeAll(async () => {
  [server, member] = await Promise.all([
    startPrivateServer(program),
    programOf(resolve(import.meta.dirname, "../../../test/fleet/member.ts")),
  ]);
  observer = new Redis(server.url);
  // the clocks of the second are a minute ahead, those of the third a minute behind
  fleet = await Promise.all([
    startMember(member, server.url, "ioredis 6"),
    startMember(member, server.url, "node-redis 6", minute),
    startMember(member, server.url, "valkey-glide 2", -minute),
  ]);
});
afterAll(async () => {
  for (const { process } of fleet ?? []) process.kill();
  observer?.disconnect();
  await Promise.all([member?.remove(), server?.stop()]);
});

/** A limiter of this process that promises the same, to look at what the fleet has left. */
async function left({ kind, name, limit, window, key }: Omit<Order, "verb">): Promise<number> {
  const store = redisStore(observer);
  const limiter = rateLimiter(kinds[kind]({ limit, window }), { store, name, timeout: "10s" });
  const { remaining } = await limiter.peek(key);
  await store.close();
  return remaining;
}

let waits = 0;
/** So many waits, each with a number of its own, and the members they fall to in turn. */
function line(count: number): { readonly id: number; readonly who: Member }[] {
  return Array.from({ length: count }, () => {
    waits += 1;
    return { id: waits, who: fleet[(waits % 3) as 0 | 1 | 2] };
  });
}

/** ms on the clock that all processes of a machine share. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

describe("three processes, the clocks of two a minute off,", () => {
  it.each(kindNames)("with a thousand callers each at once admit exactly the limit: %s", async (kind) => {
    const order = { kind, name: randomUUID(), key: "hot", limit: 700, window: endless };
    const tallies = await Promise.all(fleet.map((each) => each.tell({ ...order, verb: "consume", count: 1000 })));
    expect(sum(tallies.map(({ allowed }) => allowed))).toBe(700);
    expect(sum(tallies.map(({ refused }) => refused))).toBe(2300);
    expect(await left(order)).toBe(0);
  });

  it.each(kindNames)("count nothing twice while scripts are forgotten every 10 ms: %s", async (kind) => {
    const limit = 1_000_000;
    const order = { kind, name: randomUUID(), key: "hot", limit, window: endless };
    let flushes = 0;
    let flushing = Promise.resolve<unknown>(undefined);
    const flusher = setInterval(() => {
      flushing = observer.script("FLUSH");
      flushes += 1;
    }, 10);
    const tallies = await Promise.all(
      fleet.map((each) => each.tell({ ...order, verb: "load", count: 20, lasting: 400 })),
    );
    clearInterval(flusher);
    await flushing;
    const { length } = tallies.filter(({ failed, refused }) => failed + refused > 0);
    expect(length).toBe(0);
    const counted = sum(tallies.map(({ allowed }) => allowed));
    expect(flushes).toBeGreaterThan(5);
    expect(counted).toBeGreaterThan(flushes);
    expect(await left(order)).toBe(limit - counted);
  });

  it("are told the same times as anybody else", async () => {
    const limit = 3;
    const order = { kind: "token bucket", name: randomUUID(), key: "hot", limit, window: 3000 } as const;
    const tallies = await Promise.all(
      fleet.map((each) => each.tell({ ...order, verb: "load", count: 2, lasting: 2500 })),
    );
    // a bucket of 3 that gains one a second: 5 in 2.5 seconds, and a little time for the orders to arrive
    const allowed = sum(tallies.map((tally) => tally.allowed));
    expect(allowed).toBeGreaterThanOrEqual(5);
    expect(allowed).toBeLessThanOrEqual(6);
  });
});

describe("waiting over processes", () => {
  const turnOf = (kind: Order["kind"]) => ({ kind, name: randomUUID(), key: "line", limit: 1, window: 120 }) as const;

  it.each(["token bucket", "sliding window", "fixed window"] as const)(
    "is first come, first served, and takes one round trip each: %s",
    async (kind) => {
      const order = turnOf(kind);
      const places = line(9);
      const began = now();
      const counts = await commandsDuring(observer, async () => {
        for (const { id, who } of places) await who.tell({ ...order, verb: "wait", id });
      });
      // each place was asked for once, and looked at once
      expect(counts["evalsha"]).toBe(2 * places.length);
      const ends = await Promise.all(places.map(({ id, who }) => who.ended(id)));
      expect(ends.map(({ outcome }) => outcome)).toEqual(places.map(() => "granted"));
      // a timer may be late, never early: had anybody been overtaken, somebody would have started before this
      for (const [place, { at }] of ends.entries()) expect(at).toBeGreaterThan(began + place * order.window - 1);
    },
  );

  it("asks the server once for each wait, however long it lasts", async () => {
    const store = redisStore(observer);
    const limiter = rateLimiter(kinds["token bucket"]({ limit: 1, window: 100 }), { store, timeout: "5s" });
    await limiter.consume("key");
    const counts = await commandsDuring(observer, async () => {
      await Promise.all(Array.from({ length: 5 }, () => limiter.wait("key")));
      await (await limiter.reserve("key", { maxWait: "5s" })).settle(1);
    });
    expect(counts["evalsha"]).toBe(6);
    await limiter.close();
    await store.close();
  });

  it.each(kindNames)("gives the place back on abort, exactly when it is the newest: %s", async (kind) => {
    const order = { kind, name: randomUUID(), key: "line", limit: 1, window: endless / 1000 } as const;
    const store = redisStore(observer);
    const limiter = rateLimiter(kinds[kind](order), { store, name: order.name, timeout: "10s" });
    await limiter.consume("line");
    // one clock for all: what is left to wait shrinks while we look
    const state = async (): Promise<number> => (await limiter.peek("line")).retryAfter + performance.now();
    const before = await state();
    const places = line(3);
    for (const { id, who } of places) await who.tell({ ...order, verb: "wait", id });
    const behind = await state();
    expect(behind).toBeGreaterThan(before + order.window);
    for (const { id, who } of places.toReversed()) {
      await who.tell({ ...order, verb: "abort", id });
      expect((await who.ended(id)).outcome).toBe("AbortError");
    }
    expect(Math.abs((await state()) - before)).toBeLessThan(1000);
    await store.close();
  });

  it.each(["token bucket", "sliding window", "fixed window"] as const)(
    "leaves later turns where they are when one in the middle is given back: %s",
    async (kind) => {
      const order = { ...turnOf(kind), window: 400 };
      const places = line(4);
      const began = now();
      for (const { id, who } of places) await who.tell({ ...order, verb: "wait", id });
      const [gone] = places.splice(1, 1) as [(typeof places)[0]];
      await gone.who.tell({ ...order, verb: "abort", id: gone.id });
      const [newcomer] = line(1) as [(typeof places)[0]];
      await newcomer.who.tell({ ...order, verb: "wait", id: newcomer.id });
      const ends = await Promise.all([...places, newcomer].map(({ id, who }) => who.ended(id)));
      const [, second, third] = ends;
      // those behind keep their turns, and the newcomer starts where no turn is taken; a timer may be late, never early
      expect(second?.at).toBeGreaterThan(began + 2 * order.window - 1);
      expect(third?.at).toBeGreaterThan(began + 3 * order.window - 1);
      const starts = ends.map(({ at }) => at).toSorted((one, other) => one - other);
      for (const [place, at] of starts.entries()) expect(at).toBeGreaterThan(began + place * order.window - 1);
    },
  );
});

describe("regression 5: a thousand callers who gave up leave the next caller's wait unchanged", () => {
  it.each(kindNames)("over processes: %s", async (kind) => {
    const order = { kind, name: randomUUID(), key: "line", limit: 1, window: endless / 1000 } as const;
    const [store, other] = [redisStore(observer), redisStore(observer)];
    const [limiter, next] = [store, other].map((each) =>
      rateLimiter(kinds[kind](order), { store: each, name: order.name, timeout: "10s" }),
    ) as [ReturnType<typeof rateLimiter>, ReturnType<typeof rateLimiter>];
    await limiter.consume("line");
    const before = (await next.peek("line")).retryAfter + performance.now();
    const impatient = await Promise.allSettled(
      Array.from({ length: 1000 }, () => limiter.wait("line", { maxWait: 1000 })),
    );
    expect(impatient.every(({ status }) => status === "rejected")).toBe(true);
    const controller = new AbortController();
    const aborted = Promise.allSettled(
      Array.from({ length: 1000 }, () => limiter.wait("line", { signal: controller.signal })),
    );
    await limiter.peek("line");
    controller.abort();
    expect((await aborted).every(({ status }) => status === "rejected")).toBe(true);
    await limiter.peek("line");
    const after = (await next.peek("line")).retryAfter + performance.now();
    expect(Math.abs(after - before)).toBeLessThan(1000);
    await Promise.all([store.close(), other.close()]);
  });
});

describe("regression 6: one process whose clock is a minute ahead does not shift the others", () => {
  it.each(kindNames)("%s", async (kind) => {
    const order = { kind, name: randomUUID(), key: "hot", limit: 8, window: endless } as const;
    const tally = await fleet[1].tell({ ...order, verb: "consume", count: 3 });
    const others = await Promise.all(
      [fleet[0], fleet[2]].map((each) => each.tell({ ...order, verb: "consume", count: 8 })),
    );
    expect(tally.allowed).toBe(3);
    expect(sum(others.map(({ allowed }) => allowed))).toBe(5);
  });
});

it("ends when it is told to: no timer and no connection of ours keeps a process alive", async () => {
  const ended = fleet.map(
    ({ process }) =>
      new Promise((done) => {
        process.once("exit", done);
      }),
  );
  const order = { kind: "token bucket", name: randomUUID(), key: "line", limit: 1, window: 60_000 } as const;
  for (const { id, who } of line(3)) await who.tell({ ...order, verb: "wait", id });
  await Promise.all(fleet.map((each) => each.tell({ ...order, verb: "close" })));
  expect(await Promise.all(ended)).toEqual([0, 0, 0]);
});
