import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  type Call,
  isLease,
  leaseTime,
  Model,
  note,
  outcomeOf,
  type Step,
  stepArbitrary,
} from "../../test/semaphore-model.js";
import { ClosedError, LeaseLostError, MaxWaitExceededError } from "../core/errors.js";
import { memoryStore } from "../stores/memory/memory.js";
import { type ManualClock, manualClock } from "../testing/manual-clock.js";
import { type AcquireOptions, type Lease, type Semaphore, type SemaphoreOptions, semaphore } from "./semaphore.js";

/** A semaphore on a clock that stands still. */
function stopped(options: SemaphoreOptions): { gate: Semaphore; clock: ManualClock } {
  const clock = manualClock();
  return { gate: semaphore({ store: memoryStore({ clock }), ...options }), clock };
}

/** Everything that can happen without time passing has happened. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What has become of a promise. */
async function stateOf(promise: Promise<unknown>): Promise<string> {
  const pending = Symbol("pending");
  await settled();
  try {
    return (await Promise.race([promise, Promise.resolve(pending)])) === pending ? "pending" : "resolved";
  } catch {
    return "rejected";
  }
}

const codeOf = (code: string): unknown => expect.objectContaining({ code });

describe("options", () => {
  it.each([
    [undefined, "ERR_INVALID_ARGUMENT"],
    [{}, "ERR_INVALID_LIMIT"],
    [{ permits: 0 }, "ERR_INVALID_LIMIT"],
    [{ permits: 1.5 }, "ERR_INVALID_LIMIT"],
    [{ permits: Number.NaN }, "ERR_INVALID_LIMIT"],
    [{ permits: "5" }, "ERR_INVALID_LIMIT"],
    [{ permits: Number.POSITIVE_INFINITY }, "ERR_INVALID_LIMIT"],
    [{ permits: 1, lease: 0 }, "ERR_INVALID_DURATION"],
    [{ permits: 1, lease: "soon" }, "ERR_INVALID_DURATION"],
    [{ permits: 1, lease: Number.POSITIVE_INFINITY }, "ERR_INVALID_DURATION"],
    [{ permits: 1, timeout: -1 }, "ERR_INVALID_DURATION"],
    [{ permits: 1, name: "" }, "ERR_INVALID_NAME"],
    [{ permits: 1, store: {} }, "ERR_INVALID_ARGUMENT"],
  ])("refuses %o", (options, code) => {
    expect(() => semaphore(options as never)).toThrow(codeOf(code));
  });

  it.each([
    ["", undefined, "ERR_INVALID_KEY"],
    [7, undefined, "ERR_INVALID_KEY"],
    ["key", 7, "ERR_INVALID_ARGUMENT"],
    ["key", { permits: 0 }, "ERR_INVALID_COST"],
    ["key", { permits: -1 }, "ERR_INVALID_COST"],
    ["key", { permits: Number.NaN }, "ERR_INVALID_COST"],
    ["key", { permits: 1.5 }, "ERR_INVALID_COST"],
    ["key", { maxWait: -1 }, "ERR_INVALID_DURATION"],
    ["key", { maxWait: "later" }, "ERR_INVALID_DURATION"],
    ["key", { signal: {} }, "ERR_INVALID_ARGUMENT"],
    ["key", { renew: "yes" }, "ERR_INVALID_ARGUMENT"],
  ])("acquire refuses %o, %o, and nothing has changed", async (key, options, code) => {
    const gate = semaphore({ permits: 1 });
    await expect(gate.acquire(key as never, options as never)).rejects.toEqual(codeOf(code));
    await expect(gate.run(key as never, () => {}, options as never)).rejects.toEqual(codeOf(code));
    await expect(gate.tryAcquire(key as never, options as never)).rejects.toEqual(codeOf(code));
    expect(await gate.inspect("key")).toEqual({ permits: 1, held: 0, waiting: 0 });
  });

  it("run refuses what is no function, wrap what has no key", async () => {
    const gate = semaphore({ permits: 1 });
    await expect(gate.run("key", 5 as never)).rejects.toEqual(codeOf("ERR_INVALID_ARGUMENT"));
    expect(() => gate.wrap(undefined as never)).toThrow(codeOf("ERR_INVALID_ARGUMENT"));
    expect(() => gate.wrap({ key: "" })).toThrow(codeOf("ERR_INVALID_KEY"));
    expect(() => gate.wrap({ key: "a", permits: 0 })).toThrow(codeOf("ERR_INVALID_COST"));
  });
});

describe("acquire and release", () => {
  it("hands out as many as there are, and the next when one comes back", async () => {
    const gate = semaphore({ permits: 2 });
    const first = await gate.acquire("key");
    await gate.acquire("key");
    expect(first).toMatchObject({ key: "key", permits: 1 });
    const third = gate.acquire("key");
    expect(await stateOf(third)).toBe("pending");
    expect(await gate.inspect("key")).toEqual({ permits: 2, held: 2, waiting: 1 });
    expect(await first.release()).toBe(true);
    expect((await third).token).toBeGreaterThan(first.token);
    expect(await gate.inspect("key")).toEqual({ permits: 2, held: 2, waiting: 0 });
  });

  it("S3: release is idempotent and repeats its first answer", async () => {
    const gate = semaphore({ permits: 1 });
    const lease = await gate.acquire("key");
    expect(await Promise.all([lease.release(), lease.release()])).toEqual([true, true]);
    const next = await gate.acquire("key");
    expect(await lease.release()).toBe(true);
    expect(await gate.tryAcquire("key")).toBeUndefined();
    expect(await lease.renew()).toBe(false);
    expect(lease.signal.aborted).toBe(false);
    expect(await next.release()).toBe(true);
  });

  it("tryAcquire takes now or not at all, and never before those who wait", async () => {
    const gate = semaphore({ permits: 3 });
    const held = await gate.tryAcquire("key", { permits: 2 });
    expect(held?.permits).toBe(2);
    expect(await gate.tryAcquire("key", { permits: 2 })).toBeUndefined();
    expect(await gate.tryAcquire("key", { permits: 4 })).toBeUndefined();
    const waiting = gate.acquire("key", { permits: 3 });
    expect(await gate.tryAcquire("key")).toBeUndefined();
    await held?.release();
    expect((await waiting).permits).toBe(3);
  });

  it("keys do not touch, whatever they look like", async () => {
    const gate = semaphore({ permits: 1 });
    const keys = [
      "a",
      "A",
      "{a}",
      "}{",
      "__proto__",
      "constructor",
      "a\u0000",
      "a\r\n",
      "\u00e9",
      "e\u0301",
      "x".repeat(60_000),
    ];
    const leases = await Promise.all(keys.map((key) => gate.acquire(key, { maxWait: 0 })));
    expect(leases).toHaveLength(keys.length);
    expect(await gate.tryAcquire("__proto__")).toBeUndefined();
  });

  it("semaphores of one name on one store share their permits; of another name, or on another store, they do not", async () => {
    const store = memoryStore();
    const held = await semaphore({ permits: 1, store, name: "uploads" }).acquire("key");
    expect(await semaphore({ permits: 1, store, name: "uploads" }).tryAcquire("key")).toBeUndefined();
    expect(await semaphore({ permits: 1, store, name: "downloads" }).tryAcquire("key")).toBeDefined();
    expect(await semaphore({ permits: 1, store: memoryStore(), name: "uploads" }).tryAcquire("key")).toBeDefined();
    expect(await semaphore({ permits: 1 }).tryAcquire("key")).toBeDefined();
    expect(await held.release()).toBe(true);
  });

  it("copies of the package in one process share the permits of a store, and their tokens", async () => {
    const store = memoryStore();
    vi.resetModules();
    const copy = await import("./semaphore.js");
    expect(copy.semaphore).not.toBe(semaphore);
    const held = await semaphore({ permits: 1, store }).acquire("key");
    const other = copy.semaphore({ permits: 1, store });
    expect(await other.tryAcquire("key")).toBeUndefined();
    const next = other.acquire("key");
    expect(await held.release()).toBe(true);
    const { token } = await next;
    expect(token).toBeGreaterThan(held.token);
    expect(await (await next).release()).toBe(true);
    expect((await semaphore({ permits: 1, store }).acquire("key")).token).toBeGreaterThan(token);
  });

  it("S5: tokens increase, also after the key was idle and forgotten", async () => {
    const store = memoryStore();
    let last = 0;
    for (let round = 0; round < 50; round++) {
      const gate = semaphore({ permits: 2, store });
      const lease = await gate.acquire("key");
      expect(lease.token).toBeGreaterThan(last);
      last = lease.token;
      await lease.release();
      expect(await gate.inspect("key")).toEqual({ permits: 2, held: 0, waiting: 0 });
    }
  });

  it("await using gives back at the end of the scope, and close() of the semaphore too", async () => {
    let signal: AbortSignal;
    const gate = semaphore({ permits: 1 });
    {
      await using lease = await gate.acquire("key");
      signal = lease.signal;
      expect(await gate.tryAcquire("key")).toBeUndefined();
    }
    expect(signal.aborted).toBe(false);
    expect(await gate.tryAcquire("key")).toBeDefined();
    {
      await using scoped = gate;
      expect(scoped).toBe(gate);
    }
    await expect(gate.acquire("other")).rejects.toThrow(ClosedError);
  });

  it("serves ten thousand who wait, in order", async () => {
    const gate = semaphore({ permits: 3 });
    const order: number[] = [];
    await Promise.all(Array.from({ length: 10_000 }, (_, index) => gate.run("key", () => void order.push(index))));
    expect(order).toEqual(order.toSorted((one, other) => one - other));
    expect(order).toHaveLength(10_000);
  });
});

describe("maxWait and abort", () => {
  it("gives up when no permit came in time, and leaves no trace in the line", async () => {
    const { gate, clock } = stopped({ permits: 1 });
    const held = await gate.acquire("key");
    const early = gate.acquire("key", { maxWait: 100 });
    const late = gate.acquire("key", { maxWait: 200 });
    early.catch(() => {});
    clock.advance(99.999);
    expect(await stateOf(early)).toBe("pending");
    clock.advance(0.001);
    const message = "No permit came within 100 ms.";
    await expect(early).rejects.toMatchObject({ code: "ERR_MAX_WAIT_EXCEEDED", wait: 100, maxWait: 100, message });
    await held.release();
    expect((await late).token).toBeGreaterThan(held.token);
  });

  it("with maxWait 0 gives up at once", async () => {
    const gate = semaphore({ permits: 1 });
    await gate.acquire("key", { maxWait: 0 });
    const late = await gate.acquire("key", { maxWait: 0 }).catch((error: unknown) => error);
    expect(late).toBeInstanceOf(MaxWaitExceededError);
    expect(late).toMatchObject({ wait: 0, maxWait: 0, message: "No permit came within 0 ms." });
    expect(await gate.inspect("key")).toEqual({ permits: 1, held: 1, waiting: 0 });
  });

  it("more than there are is refused at once, with or without maxWait", async () => {
    const gate = semaphore({ permits: 2 });
    const never = { wait: Number.POSITIVE_INFINITY, code: "ERR_MAX_WAIT_EXCEEDED" };
    await expect(gate.acquire("key", { permits: 3 })).rejects.toMatchObject(never);
    await expect(gate.run("key", () => {}, { permits: 3, maxWait: "1m" })).rejects.toMatchObject({
      ...never,
      maxWait: 60_000,
    });
  });

  it("aborting rejects with the signal's reason: before, and while it waits; after the grant it changes nothing", async () => {
    const gate = semaphore({ permits: 1 });
    const reason = new Error("changed my mind");
    await expect(gate.acquire("key", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(gate.tryAcquire("key", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const held = await gate.acquire("key", { signal: controller.signal });
    const waiting = gate.acquire("key", { signal: controller.signal });
    const behind = gate.acquire("key");
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(held.signal.aborted).toBe(false);
    expect(await held.release()).toBe(true);
    expect(await (await behind).release()).toBe(true);
    expect(await gate.inspect("key")).toEqual({ permits: 1, held: 0, waiting: 0 });
  });

  it("a heavy waiter that leaves lets those behind it through", async () => {
    const { gate, clock } = stopped({ permits: 3 });
    const held = await gate.acquire("key", { permits: 2 });
    const heavy = gate.acquire("key", { permits: 3, maxWait: 10 });
    const light = gate.acquire("key");
    expect(await stateOf(light)).toBe("pending");
    clock.advance(10);
    await expect(heavy).rejects.toThrow(MaxWaitExceededError);
    expect((await light).permits).toBe(1);
    await held.release();
  });

  it("S6: those aborted together keep nothing of what each made way for", async () => {
    const gate = semaphore({ permits: 2 });
    const held = await gate.acquire("key");
    const controller = new AbortController();
    const { signal } = controller;
    // when the first leaves, the second could go; it is aborted by the same signal, a moment later
    const heavy = gate.acquire("key", { permits: 2, signal });
    const light = gate.acquire("key", { signal });
    const other = gate.acquire("key");
    controller.abort(new Error("all of you"));
    await expect(heavy).rejects.toThrow("all of you");
    await expect(light).rejects.toThrow("all of you");
    await other;
    expect(await gate.inspect("key")).toEqual({ permits: 2, held: 2, waiting: 0 });
    await held.release();
  });
});

describe("leases", () => {
  it("a lease that is not renewed ends, its signal says so, and its permit is back", async () => {
    const { gate, clock } = stopped({ permits: 1, lease: "1s" });
    const lease = await gate.acquire("key", { renew: false });
    const { signal } = lease;
    const next = gate.acquire("key");
    clock.advance(999.999);
    expect(signal.aborted).toBe(false);
    expect(await stateOf(next)).toBe("pending");
    clock.advance(0.001);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toBeInstanceOf(LeaseLostError);
    expect(signal.reason).toMatchObject({ code: "ERR_LEASE_LOST" });
    expect((await next).token).toBeGreaterThan(lease.token);
    expect(await lease.renew()).toBe(false);
    expect(await lease.release()).toBe(false);
    expect(await gate.inspect("key")).toEqual({ permits: 1, held: 1, waiting: 0 });
  });

  it("a signal that is first asked for after the end has aborted", async () => {
    const { gate, clock } = stopped({ permits: 1, lease: 10 });
    const lease = await gate.acquire("key", { renew: false });
    clock.advance(10);
    expect(lease.signal.aborted).toBe(true);
    expect(lease.signal).toBe(lease.signal);
  });

  it("renewing by hand holds on for a whole lease from then", async () => {
    const { gate, clock } = stopped({ permits: 1, lease: 100 });
    const lease = await gate.acquire("key", { renew: false });
    const { signal } = lease;
    for (let round = 0; round < 10; round++) {
      clock.advance(99);
      expect(await lease.renew()).toBe(true);
    }
    clock.advance(99);
    expect(signal.aborted).toBe(false);
    clock.advance(1);
    expect(signal.aborted).toBe(true);
  });

  it("a lease that renews itself lasts in memory, where nobody dies alone", async () => {
    const { gate, clock } = stopped({ permits: 1, lease: 100 });
    const lease = await gate.acquire("key");
    clock.advance(1_000_000);
    expect(lease.signal.aborted).toBe(false);
    expect(await lease.renew()).toBe(true);
    expect(await gate.tryAcquire("key")).toBeUndefined();
    expect(await lease.release()).toBe(true);
  });

  it("a clock that does not say when it was moved is looked at whenever somebody asks", async () => {
    let now = 0;
    const gate = semaphore({ permits: 1, lease: 1000, store: memoryStore({ clock: { now: () => now } }) });
    const lease = await gate.acquire("key", { renew: false });
    now = 999_999;
    expect(await gate.tryAcquire("key")).toBeUndefined();
    now = 1_000_000;
    expect((await gate.inspect("key")).held).toBe(0);
    expect(await gate.tryAcquire("key", { renew: false })).toBeDefined();
    expect(await lease.renew()).toBe(false);
    expect(lease.signal.aborted).toBe(true);
    expect(await lease.release()).toBe(false);
    expect((await gate.inspect("key")).held).toBe(1);
    now = 3_000_000;
    expect((await gate.inspect("key")).held).toBe(0);
  });

  it("regression 7: a holder that died gives its permit back within one lease, under steady traffic", async () => {
    const { gate, clock } = stopped({ permits: 2, lease: 1000 });
    await gate.acquire("key", { renew: false }); // and dies
    for (let time = 0; time < 2000; time += 50) {
      const other = await gate.acquire("key");
      expect((await gate.tryAcquire("key").then((lease) => lease?.release())) ?? false).toBe(time >= 1000);
      clock.advance(50);
      await other.release();
    }
  });

  it("regression 8: after a late release there are as many permits as before, not one more", async () => {
    const { gate, clock } = stopped({ permits: 1, lease: 1000 });
    const late = await gate.acquire("key", { renew: false });
    clock.advance(1000);
    const next = await gate.acquire("key");
    expect(await late.release()).toBe(false);
    expect(await next.release()).toBe(true);
    expect(await gate.acquire("key")).toBeDefined();
    expect(await gate.tryAcquire("key")).toBeUndefined();
  });
});

describe("S8: the number of permits changes", () => {
  it("more: those in line get theirs at the next call", async () => {
    const store = memoryStore();
    const small = semaphore({ permits: 1, store });
    const large = semaphore({ permits: 3, store });
    const held = await small.acquire("key");
    const waiting = [small.acquire("key"), small.acquire("key"), small.acquire("key")];
    expect(await large.tryAcquire("key")).toBeUndefined();
    await Promise.all(waiting.slice(0, 2));
    expect(await large.inspect("key")).toEqual({ permits: 3, held: 3, waiting: 1 });
    await held.release();
    await waiting[2];
  });

  it("fewer: nobody loses a permit, and nobody gets one before there is room", async () => {
    const store = memoryStore();
    const large = semaphore({ permits: 3, store });
    const held = await Promise.all([large.acquire("key"), large.acquire("key"), large.acquire("key")]);
    const next = semaphore({ permits: 1, store }).acquire("key");
    for (const lease of held) {
      expect(await stateOf(next)).toBe("pending");
      expect(lease.signal.aborted).toBe(false);
      expect(await lease.release()).toBe(true);
    }
    await next;
  });

  it("fewer than one in line asks for: it waits on, and those behind it, until there are enough again", async () => {
    const store = memoryStore();
    const large = semaphore({ permits: 3, store });
    const small = semaphore({ permits: 2, store });
    const held = await large.acquire("key");
    const heavy = large.acquire("key", { permits: 3, maxWait: "1m" });
    const light = small.acquire("key");
    await held.release();
    expect(await stateOf(heavy)).toBe("pending");
    expect(await stateOf(light)).toBe("pending");
    expect(await small.inspect("key")).toEqual({ permits: 2, held: 0, waiting: 2 });
    expect(await large.tryAcquire("key")).toBeUndefined();
    await (await heavy).release();
    await light;
  });

  it("one that waits for more than there are now makes way when it leaves", async () => {
    const store = memoryStore();
    const controller = new AbortController();
    const held = await semaphore({ permits: 3, store }).acquire("key");
    const heavy = semaphore({ permits: 3, store }).acquire("key", { permits: 3, signal: controller.signal });
    const light = semaphore({ permits: 2, store }).acquire("key");
    controller.abort(new Error("enough"));
    await expect(heavy).rejects.toThrow("enough");
    await light;
    await held.release();
  });
});

describe("run and wrap", () => {
  it("run gives the task its lease, its outcome back, and the permit back in any case", async () => {
    const gate = semaphore({ permits: 1 });
    const failure = new Error("task");
    expect(await gate.run("key", (lease) => lease.permits)).toBe(1);
    await expect(gate.run("key", () => Promise.reject(failure))).rejects.toBe(failure);
    await expect(
      gate.run("key", () => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    // a task may release early
    expect(await gate.run("key", (lease) => lease.release())).toBe(true);
    expect(await gate.inspect("key")).toEqual({ permits: 1, held: 0, waiting: 0 });
  });

  it("run with a lease that ran out ends with the task's outcome", async () => {
    const { gate, clock } = stopped({ permits: 1, lease: 10 });
    const outlive = ({ signal }: Lease): boolean => {
      clock.advance(10);
      return signal.aborted;
    };
    expect(await gate.run("key", outlive, { renew: false })).toBe(true);
    expect(await gate.inspect("key")).toEqual({ permits: 1, held: 0, waiting: 0 });
  });

  it("wrap keeps name, this and arguments, and holds never more than there are", async () => {
    const gate = semaphore({ permits: 2 });
    let running = 0;
    let most = 0;
    class Client {
      readonly base = 10;
      @gate.wrap({ key: (part: number) => `part ${part % 1}` })
      async fetch(part: number): Promise<number> {
        most = Math.max(most, ++running);
        await settled();
        running -= 1;
        return this.base + part;
      }
    }
    const client = new Client();
    expect(await Promise.all([1, 2, 3, 4, 5].map((part) => client.fetch(part)))).toEqual([11, 12, 13, 14, 15]);
    expect(most).toBe(2);
    expect(client.fetch.name).toBe("fetch");
    const inline = gate.wrap({ key: "key", permits: 2, maxWait: 0 })(async function load(part: number) {
      return part;
    });
    expect(inline.name).toBe("load");
    expect(await inline(5)).toBe(5);
  });
});

describe("close", () => {
  it("rejects those who wait, takes no more, and leaves leases as they are", async () => {
    const { gate, clock } = stopped({ permits: 2, lease: 1000 });
    const held = await gate.acquire("key");
    const mortal = await gate.acquire("key", { renew: false });
    const waiting = [gate.acquire("key", { permits: 2 }), gate.acquire("key"), gate.acquire("key", { maxWait: 5 })];
    const outcomes = Promise.allSettled(waiting);
    await gate.close();
    await gate.close();
    for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: expect.any(ClosedError) });
    await expect(gate.acquire("key")).rejects.toThrow(ClosedError);
    await expect(gate.tryAcquire("key")).rejects.toThrow(ClosedError);
    await expect(gate.inspect("key")).rejects.toThrow(ClosedError);
    expect(await held.release()).toBe(true);
    clock.advance(1000);
    expect(await mortal.release()).toBe(false);
  });

  it("nobody moves up while it closes", async () => {
    const gate = semaphore({ permits: 2 });
    const held = await gate.acquire("key");
    const outcomes = Promise.allSettled([gate.acquire("key", { permits: 2 }), gate.acquire("key")]);
    await gate.close();
    expect((await outcomes).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await held.release();
  });
});

describe("timers", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("a lease in memory costs no timer, and nothing is left of one that was released", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const gate = semaphore({ permits: 1 });
    const lease = await gate.acquire("key");
    expect(lease.signal.aborted).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
    await lease.release();
    const mortal = await gate.acquire("key", { renew: false });
    const waiting = gate.acquire("key", { maxWait: "1m" });
    expect(mortal.signal.aborted).toBe(false);
    expect(vi.getTimerCount()).toBe(1);
    await mortal.release();
    await (await waiting).release();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("a lease that runs out keeps the process alive only for those who wait for it", async () => {
    // unlike those of a fake, the platform's timers tell whether they do
    const alive = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const before = alive();
    const gate = semaphore({ permits: 1, lease: "1m", store: memoryStore() });
    const mortal = await gate.acquire("key", { renew: false });
    expect(mortal.signal.aborted).toBe(false);
    expect(alive()).toBe(before);
    const controller = new AbortController();
    const waiting = gate.acquire("key", { signal: controller.signal });
    expect(alive()).toBe(before + 1);
    controller.abort();
    await expect(waiting).rejects.toThrow();
    expect(alive()).toBe(before);
    await gate.close();
    expect(alive()).toBe(before);
    await mortal.release();
  });
});

// ── The laws, by a model ─────────────────────────────────────────────────────────────────────────────────────────────

async function follow(steps: readonly Step[]): Promise<void> {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const gates = [1, 2, 3, 4].map((permits) => semaphore({ permits, lease: leaseTime, store }));
  const model = new Model();
  const known = new Set<Lease>();
  let lastToken = 0;
  for (const step of steps) {
    if (step.verb === "ask") {
      const { wait, permits, capacity, patience, mortal } = step;
      const controller = new AbortController();
      const deadline = wait && patience !== undefined ? model.now + patience : Number.POSITIVE_INFINITY;
      const call: Call = { permits, mortal, deadline, expected: "waiting", expiry: 0, outcome: "waiting", controller };
      model.ask(step, call, wait);
      const gate = gates[capacity - 1] as Semaphore;
      const options: AcquireOptions = { permits, renew: !mortal, signal: controller.signal };
      const asked =
        wait && patience !== undefined
          ? gate.acquire("key", { ...options, maxWait: patience / 2 })
          : wait
            ? gate.acquire("key", options)
            : gate.tryAcquire("key", options);
      void note(call, asked);
    } else if (step.verb === "advance") {
      for (let half = 0; half < step.halves; half++) {
        model.tick();
        clock.advance(0.5);
        await Promise.resolve();
      }
    } else {
      const among = step.verb === "abort" ? model.line : model.calls.filter(({ outcome }) => isLease(outcome));
      const call = among[step.which % Math.max(among.length, 1)];
      if (call === undefined) continue;
      if (step.verb === "abort") {
        call.expected = "aborted";
        model.serve();
        call.controller.abort(new Error("aborted"));
      } else {
        const lease = call.outcome as Lease;
        if (step.verb === "release") {
          const answer = lease.release();
          const first = call.expected === "held";
          if (first) call.expected = "released";
          model.serve();
          expect(await answer).toBe(first || call.expected === "released");
        } else {
          if (call.expected === "held" && call.mortal) call.expiry = model.now + 2 * leaseTime;
          expect(await lease.renew()).toBe(call.expected === "held");
        }
      }
    }
    await settled();
    expect(model.calls.map(outcomeOf)).toEqual(model.calls.map(({ expected }) => expected));
    // S5, S7: tokens increase with every grant, and grants come in the order of the calls
    const fresh = model.calls.flatMap(({ outcome }) => (isLease(outcome) && !known.has(outcome) ? [outcome] : []));
    for (const lease of fresh) {
      expect(lease.token).toBeGreaterThan(lastToken);
      lastToken = lease.token;
      known.add(lease);
    }
    const inspected = await (gates[0] as Semaphore).inspect("key");
    expect(inspected).toMatchObject({ held: model.out, waiting: model.line.length });
    if (model.out + model.line.length > 0) expect(inspected.permits).toBe(model.capacity);
  }
}

describe("S1 to S9, by a model", () => {
  it("holds what the model holds, after every step", async () => {
    await fc.assert(fc.asyncProperty(fc.array(stepArbitrary, { maxLength: 40 }), follow), { numRuns: 300 });
  });
});
