import { describe, expect, it, vi } from "vitest";
import type { Store } from "../index.js";
import { all, ClosedError, fixedWindow, memoryStore, rateLimiter, StoreError, slidingWindow } from "../index.js";
import { manualClock } from "../testing/manual-clock.js";
import { type Driver, driverOf, type Gate, storeDriver, type Ticket, type Verdict } from "./store.js";

/** Lets everything that can go on go on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A memory store that answers when it is told to, as one across a network does. */
function remote(clock = manualClock(1_000_000_000)) {
  const inner = storeDriver(memoryStore({ clock }));
  const asked: ((error?: Error) => void)[] = [];
  const cancelled: string[] = [];
  const consumed: string[] = [];
  let corrections: Promise<void> | undefined;
  const answer = <T>(make: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      asked.push((error) => {
        if (error === undefined) resolve(make());
        else reject(error);
      });
    });
  const tell = (ticket: Ticket | undefined, key: string): Ticket | undefined =>
    ticket && {
      cancel: async () => {
        cancelled.push(key);
        await corrections;
        await ticket.cancel();
      },
      settle: async (deltas) => {
        await corrections;
        await ticket.settle(deltas);
      },
    };
  const driver: Driver = {
    ...pick(inner),
    remote: true,
    open: (limiter, policies) => {
      const gate = inner.open(limiter, policies);
      const outer: Gate = {
        driver,
        policies,
        consume: (key, cost, timeout) => {
          consumed.push(key);
          return answer(() => gate.consume(key, cost, timeout) as Awaited<ReturnType<Gate["consume"]>>);
        },
        amend: (key, delta, timeout) => gate.amend(key, delta, timeout),
        reset: (key, timeout) => gate.reset(key, timeout),
      };
      gates.set(outer, gate);
      return outer;
    },
    leave: (limiter) => inner.leave(limiter),
    decide: async (asks, ...rest) => {
      const own = asks.map((ask) => ({ ...ask, gate: gates.get(ask.gate) as Gate }));
      const verdict = await answer(() => inner.decide(own, ...rest) as Verdict);
      return { ...verdict, ticket: tell(verdict.ticket, own.map(({ key }) => key).join()) };
    },
  };
  const gates = new Map<Gate, Gate>();
  return {
    clock,
    store: { kind: "remote", close: async () => {}, [driverOf]: driver } as Store,
    alarms: inner.alarms,
    cancelled,
    consumed,
    /** Answers what has been asked, and what is asked then. */
    async answer(error?: Error): Promise<void> {
      for (let round = 0; round < 4; round++) {
        for (const each of asked.splice(0)) each(error);
        await turn();
      }
    },
    /** Corrections fail from now on. */
    breakDown(): void {
      corrections = Promise.reject(new StoreError("ERR_STORE_UNAVAILABLE", "gone"));
      corrections.catch(() => {});
    },
    get asked(): number {
      return asked.length;
    },
  };
}

/** What is the driver's own, without its prototype. */
function pick({ clock, alarms }: Driver): Pick<Driver, "clock" | "alarms"> {
  return { clock, alarms };
}

const policy = slidingWindow({ limit: 1, window: "10s" });

describe("closing while the store has not answered", () => {
  it.each(["a grant that starts at once", "a grant that lies ahead"])(
    "rejects what waits; %s is given back",
    async (what) => {
      const far = remote();
      const limiter = rateLimiter(policy, { store: far.store, name: "shared" });
      const other = rateLimiter(policy, { store: far.store, name: "shared" });
      if (what.endsWith("ahead")) {
        const spent = other.consume("key");
        await far.answer();
        await spent;
      }
      const calls = [limiter.wait("key"), limiter.reserve("key", { maxWait: "1h" }), limiter.run("key", () => "ran")];
      if (what.endsWith("once")) calls.push(limiter.reserve("other"));
      const outcomes = Promise.allSettled(calls);
      const closing = limiter.close();
      // before the store has said a word
      for (const outcome of await outcomes) {
        expect(outcome.status === "rejected" && outcome.reason).toBeInstanceOf(ClosedError);
      }
      let closed = false;
      void closing.finally(() => {
        closed = true;
      });
      await turn();
      expect(closed).toBe(false);
      await far.answer();
      await closing;
      expect(far.cancelled.filter((key) => key === "key")).toHaveLength(3);
      expect(far.alarms.size).toBe(0);
      const looked = other.peek("key");
      await far.answer();
      expect((await looked).retryAfter).toBe(what.endsWith("ahead") ? 10_000 : 0);
    },
  );

  it("a consume under way is finished", async () => {
    const far = remote();
    const limiter = rateLimiter(policy, { store: far.store });
    const call = limiter.consume("key");
    const closing = limiter.close();
    await far.answer();
    await closing;
    expect((await call).allowed).toBe(true);
  });

  it("waits in another limiter's stead end with the limiter that was asked", async () => {
    const far = remote();
    const stead = rateLimiter(policy, { store: memoryStore({ clock: far.clock }) });
    stead.consumeSync("key");
    const limiter = rateLimiter(policy, { store: far.store, whenStoreFails: stead });
    const call = limiter.wait("key").catch((error: unknown) => error);
    await far.answer(new StoreError("ERR_STORE_UNAVAILABLE", "gone"));
    expect(stead.peekSync("key").retryAfter).toBe(20_000);
    await limiter.close();
    expect(await call).toBeInstanceOf(ClosedError);
    expect(stead.peekSync("key").retryAfter).toBe(10_000);
  });
});

describe("aborting while the store has not answered", () => {
  it("rejects at once with the signal's reason, and takes the grant back when it comes", async () => {
    const far = remote();
    const limiter = rateLimiter(policy, { store: far.store });
    const controller = new AbortController();
    const { signal } = controller;
    const task = vi.fn();
    const calls = [
      limiter.wait("a", { signal }),
      limiter.reserve("b", { signal }),
      limiter.reserve("c", { signal, maxWait: "1s" }),
      limiter.run("d", task, { signal }),
      limiter.wrap({ key: "e", signal })(task)(),
      limiter.wrap({ key: "f", signal, whenLimited: "throw" })(task)(),
      all(limiter.for("g"), limiter.for("h")).wait({ signal }),
    ];
    await turn();
    expect(far.asked).toBe(calls.length);
    const reason = { why: "no longer wanted" };
    controller.abort(reason);
    for (const outcome of await Promise.allSettled(calls)) expect(outcome).toEqual({ status: "rejected", reason });
    expect(far.cancelled).toEqual([]);
    await far.answer();
    expect(far.cancelled.toSorted()).toEqual(["a", "b", "c", "d", "e", "f", "g,h"]);
    expect(task).not.toHaveBeenCalled();
  });

  it.each(["throw", "allow", "deny"] as const)(
    "whatever stands in for the store ('%s'), the task never runs",
    async (whenStoreFails) => {
      for (const late of [false, true]) {
        const far = remote();
        const limiter = rateLimiter(policy, { store: far.store, whenStoreFails });
        const controller = new AbortController();
        const task = vi.fn();
        const call = limiter.run("key", task, { signal: controller.signal });
        const outcome = expect(call).rejects.toBe("enough");
        if (!late) controller.abort("enough");
        const failing = far.answer(new StoreError("ERR_STORE_UNAVAILABLE", "gone"));
        // the store has failed, and nobody has been told
        if (late) controller.abort("enough");
        await failing;
        await outcome;
        expect(task).not.toHaveBeenCalled();
      }
    },
  );

  it("after the turn has come and before the task runs: it does not, and the turn is given back", async () => {
    const clock = manualClock(1_000_000_000);
    const limiter = rateLimiter(policy, { store: memoryStore({ clock }) });
    limiter.consumeSync("key");
    const controller = new AbortController();
    const task = vi.fn();
    const call = limiter.run("key", task, { signal: controller.signal });
    const outcome = expect(call).rejects.toBe("enough");
    clock.advance(10_000);
    controller.abort("enough");
    await outcome;
    expect(task).not.toHaveBeenCalled();
    expect(limiter.consumeSync("key").allowed).toBe(true);
  });
});

describe("one key of one limiter", () => {
  it("has the same way to the store as the limiter's own consume, whatever it costs", async () => {
    const far = remote();
    const limiter = rateLimiter(slidingWindow({ limit: 10, window: "1h" }), { store: far.store });
    const calls = [
      limiter.for("a").consume(),
      limiter.for("b", { cost: 4 }).consume({ cost: 2 }),
      all(limiter.for("c")).consume(),
    ];
    await turn();
    expect(far.consumed).toEqual(["a", "b", "c"]);
    await far.answer();
    expect((await Promise.all(calls)).map(({ remaining }) => remaining)).toEqual([9, 6, 9]);
  });

  it("is checked, and what stands in for it too", async () => {
    const far = remote();
    const stead = rateLimiter(policy, { store: memoryStore(), shadow: true });
    stead.consumeSync("key");
    const limiter = rateLimiter(policy, { store: far.store, whenStoreFails: stead });
    const call = limiter.consume("key");
    await far.answer(new StoreError("ERR_STORE_UNAVAILABLE", "gone"));
    expect(await call).toMatchObject({ allowed: true, degraded: true, parts: [{ allowed: false }] });
    await stead.close();
    const next = limiter
      .for("key")
      .consume()
      .catch((error: unknown) => error);
    await far.answer(new StoreError("ERR_STORE_UNAVAILABLE", "gone"));
    expect(await next).toBeInstanceOf(ClosedError);
    await limiter.close();
    await expect(limiter.for("key").consume()).rejects.toBeInstanceOf(ClosedError);
  });
});

describe("all() over several stores", () => {
  const kinds = ["cancel", "settle"] as const;
  it.each(kinds)("%s reaches every store that can be reached, then reports the one that cannot", async (verb) => {
    const stores = [remote(), remote(), remote()];
    const limiters = stores.map(({ store }) => rateLimiter(slidingWindow({ limit: 5, window: "1h" }), { store }));
    const reserving = all(...limiters.map((limiter) => limiter.for("key"))).reserve({ cost: 3 });
    for (let round = 0; round < 4; round++) await Promise.all(stores.map((each) => each.answer()));
    const reservation = await reserving;
    stores[2]?.breakDown();
    const correcting = verb === "cancel" ? reservation.cancel() : reservation.settle(0);
    await expect(correcting).rejects.toBeInstanceOf(StoreError);
    const looks = limiters.map((limiter) => limiter.peek("key"));
    for (const each of stores) await each.answer();
    expect((await Promise.all(looks)).map(({ remaining }) => remaining)).toEqual([5, 5, 2]);
  });

  it("charges each as of the start that they have in common", async () => {
    const clock = manualClock(1_000_000_000);
    const [near, far] = [1, 10].map((seconds) =>
      rateLimiter(slidingWindow({ limit: 1, window: seconds * 1000 }), { store: memoryStore({ clock }) }),
    );
    if (near === undefined || far === undefined) throw new Error("two limiters");
    far.consumeSync("key");
    const waiting = all(near.for("key"), far.for("key")).wait();
    await turn();
    clock.advance(10_000);
    await waiting;
    expect(near.peekSync("key")).toMatchObject({ allowed: false, retryAfter: 1000 });
    expect(far.peekSync("key")).toMatchObject({ allowed: false, retryAfter: 10_000 });
  });

  it("waits by the clock of the one that starts last", async () => {
    const [here, there] = [manualClock(1_000_000_000), manualClock(5_000_000_000)];
    const one = rateLimiter(policy, { store: memoryStore({ clock: here }) });
    const other = rateLimiter(slidingWindow({ limit: 1, window: "20s" }), { store: memoryStore({ clock: there }) });
    one.consumeSync("key");
    other.consumeSync("key");
    let started = false;
    const waiting = all(one.for("key"), other.for("key"))
      .wait()
      .finally(() => {
        started = true;
      });
    await turn();
    here.advance(30_000);
    await turn();
    expect(started).toBe(false);
    there.advance(20_000);
    await waiting;
  });
});

describe("shadow", () => {
  it("a store that fails a shadow limiter spoils nothing that others have granted", async () => {
    const far = remote();
    const clock = manualClock(1_000_000_000);
    const limiter = rateLimiter(slidingWindow({ limit: 5, window: "1h", name: "in force" }), {
      store: memoryStore({ clock }),
    });
    const trial = rateLimiter(fixedWindow({ limit: 7, window: "1h", name: "trial" }), {
      store: far.store,
      shadow: true,
    });
    const call = all(trial.for("key"), limiter.for("key")).consume();
    await far.answer(new StoreError("ERR_STORE_UNAVAILABLE", "gone"));
    expect(await call).toMatchObject({
      allowed: true,
      policy: "in force",
      degraded: false,
      parts: [
        { policy: "trial", remaining: 7 },
        { policy: "in force", remaining: 4 },
      ],
    });
    expect(limiter.peekSync("key").remaining).toBe(4);
  });

  it("has its part where it was named", async () => {
    const store = memoryStore({ clock: manualClock(1_000_000_000) });
    const [one, two, three] = [1, 2, 3].map((limit) =>
      rateLimiter(slidingWindow({ limit, window: "1h", name: `of ${limit}` }), { store, shadow: limit === 2 }),
    );
    if (one === undefined || two === undefined || three === undefined) throw new Error("three limiters");
    const both = all(two.for("key"), one.for("key"), three.for("key"));
    const reservation = await both.reserve();
    expect(reservation.decision.parts.map(({ policy: name, remaining }) => [name, remaining])).toEqual([
      ["of 2", 1],
      ["of 1", 0],
      ["of 3", 2],
    ]);
    await reservation.cancel();
    expect((await both.peek()).parts.map(({ remaining }) => remaining)).toEqual([2, 1, 3]);
  });
});
