import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import { ClosedError, QueueFullError } from "../core/errors.js";
import { type ManualClock, manualClock } from "../testing/manual-clock.js";
import { type SerialOptions, serialLimiter } from "./serial.js";

afterEach(() => {
  vi.restoreAllMocks();
});

/** In ms: what the limiter's whole microseconds leave out. */
const microsecond = 0.001;

/** A task that ends when it is told to. */
function gate(): { task: () => Promise<void>; open: () => void; fail: (error: unknown) => void; started: boolean } {
  const made = {
    task: () => {
      made.started = true;
      return promise;
    },
    open: (): void => undefined,
    fail: (_error: unknown): void => undefined,
    started: false,
  };
  const promise = new Promise<void>((resolve, reject) => {
    made.open = resolve;
    made.fail = reject;
  });
  return made;
}

/** Something to be awaited that is no promise; `get` is what reading its `then` does. */
function thenable(get: () => (resolve: (value: unknown) => void) => void): Promise<unknown> {
  return new Proxy({}, { get: (_target, name) => (name === "then" ? get() : undefined) }) as Promise<unknown>;
}

/** The most weight in a half-open window of length `per`: one that starts at a completion is as bad as any. */
function heaviestWindow(completed: readonly { at: number; weight: number }[], per: number): number {
  const windows = completed.map(({ at: from }) =>
    completed.reduce((total, { at, weight }) => total + (at >= from && at < from + per ? weight : 0), 0),
  );
  return Math.max(0, ...windows);
}

// ── Law G.5 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Plan {
  /** Ticks. */
  readonly arrival: number;
  readonly duration: number;
  readonly weight: number;
  readonly verb: "push" | "run";
  readonly fails: boolean;
  readonly abort: number | undefined;
}

interface Trace extends Plan {
  readonly outcome: Promise<PromiseSettledResult<unknown>>;
  readonly queued: boolean;
  started: number | undefined;
  ended: number | undefined;
}

const plans = fc.array(
  fc.record<Plan>({
    arrival: fc.nat(30),
    duration: fc.oneof(fc.constant(0), fc.nat(8)),
    weight: fc.integer({ min: 1, max: 12 }),
    verb: fc.constantFrom("push", "run"),
    fails: fc.boolean(),
    abort: fc.option(fc.nat(60), { nil: undefined }),
  }),
  { maxLength: 25 },
);

/** Plays the plans tick by tick: time passes, tasks end, signals abort, new ones arrive. */
async function play(rate: number, per: number, tasks: readonly Plan[]) {
  const clock = manualClock(5_000_000);
  const errors: unknown[] = [];
  const limiter = serialLimiter({ rate, per, clock, onError: (error) => errors.push(error) });
  const ends: { at: number; end: () => void }[] = [];
  const traces: Trace[] = [];
  let running = 0;
  const tick = (): number => clock.now() / 1000 - 5000;
  let overlap = 0;

  const arrive = (plan: Plan): { trace: Trace; controller: AbortController } => {
    const controller = new AbortController();
    const task = (): Promise<void> | void => {
      trace.started = tick();
      overlap = Math.max(overlap, ++running);
      const end = (): void => {
        running -= 1;
        trace.ended = tick();
        if (plan.fails) throw trace;
      };
      if (plan.duration === 0) return end();
      return new Promise<void>((resolve) => ends.push({ at: tick() + plan.duration, end: resolve })).then(end);
    };
    const weight = Math.min(plan.weight, rate);
    const sizeBefore = limiter.size;
    // what starts at once runs inside this call, before there is a trace to note it in
    let trace: Trace = { ...plan, weight, started: undefined, ended: undefined } as Trace;
    const promise =
      plan.verb === "run" ? limiter.run(task, { weight, signal: controller.signal }) : limiter.push(task, { weight });
    const outcome = Promise.allSettled([promise]).then(([settled]) => settled as PromiseSettledResult<unknown>);
    trace = Object.assign(trace, { outcome, queued: trace.started === undefined });
    expect(limiter.size).toBe(sizeBefore + (trace.ended === undefined ? 1 : 0));
    return { trace, controller };
  };

  const controllers: { at: number; controller: AbortController }[] = [];
  const horizon = 31 + tasks.length * (per + 9);
  for (let now = 0; now <= horizon; now++) {
    await turn();
    for (const { at, end } of ends) if (at === now) end();
    await turn();
    for (const { at, controller } of controllers) if (at === now) controller.abort({ tick: now });
    await turn();
    for (const plan of tasks.filter(({ arrival }) => arrival === now)) {
      const { trace, controller } = arrive(plan);
      traces.push(trace);
      if (plan.abort !== undefined && plan.verb === "run") controllers.push({ at: plan.abort, controller });
    }
    clock.advance(1);
  }
  await limiter.idle();
  expect(limiter.size).toBe(0);
  return { traces, errors, overlap };
}

/** The earliest tick at which the task may start, given what became of those before it. */
function earliestStart(traces: readonly Trace[], index: number, rate: number, per: number): number {
  const { arrival, weight } = traces[index] as Trace;
  const ahead = traces.slice(0, index);
  const done = ahead.filter(({ ended }) => ended !== undefined);
  const legal = (tick: number): boolean =>
    ahead.every((each) => (each.ended ?? (each.abort as number)) <= tick) &&
    done.reduce((total, each) => total + ((each.ended as number) > tick - per ? each.weight : 0), weight) <= rate;
  let tick = arrival;
  while (!legal(tick)) tick += 1;
  return tick;
}

describe("law G.5", () => {
  it("one at a time, in order, never above the rate, and never a tick late", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        plans,
        async (rate, per, tasks) => {
          const { traces, errors, overlap } = await play(rate, per, tasks);
          expect(overlap).toBeLessThanOrEqual(1);

          const completed = traces.flatMap(({ ended: at, weight }) => (at === undefined ? [] : [{ at, weight }]));
          expect(heaviestWindow(completed, per)).toBeLessThanOrEqual(rate);

          for (const [index, trace] of traces.entries()) {
            const earliest = earliestStart(traces, index, rate, per);
            if (trace.started === undefined) expect(trace.abort).toBeLessThanOrEqual(earliest);
            else expect(trace.started).toBe(earliest);

            const outcome = await trace.outcome;
            const own = trace.fails ? { status: "rejected", reason: trace } : { status: "fulfilled", value: undefined };
            if (trace.started === undefined) {
              expect(outcome).toEqual({ status: "rejected", reason: { tick: trace.abort } });
            } else if (trace.verb === "run") {
              expect(outcome).toEqual(own);
            } else if (trace.queued) {
              expect(outcome).toEqual({ status: "fulfilled", value: false });
            } else {
              expect(outcome).toEqual(trace.fails ? own : { status: "fulfilled", value: true });
            }
          }
          const unowned = traces.filter(({ verb, queued, fails }) => verb === "push" && queued && fails);
          expect(errors).toEqual(unowned);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("holds on the platform's clock and timers too", async () => {
    const rate = 4;
    const per = 60;
    const limiter = serialLimiter({ rate, per });
    const stamps: number[] = [];
    const tasks = Array.from({ length: 18 }, async (_, index) =>
      limiter.run(async () => {
        if (index % 3 === 0) await turn();
        stamps.push(performance.now());
      }),
    );
    await Promise.all(tasks);
    expect(stamps).toHaveLength(18);
    // the limiter stamps a task a little after the task itself does, and starts the next no sooner than `per` after that
    for (let index = rate; index < stamps.length; index++) {
      expect((stamps[index] as number) - (stamps[index - rate] as number)).toBeGreaterThan(per - microsecond);
    }
  });

  it("a task that blocks the event loop completes when it ends, not when the turn began", async () => {
    const limiter = serialLimiter({ rate: 1, per: 50 });
    const ended = await limiter.run(() => {
      const until = performance.now() + 40;
      let now = performance.now();
      while (now < until) now = performance.now();
      return now;
    });
    const started = await limiter.run(() => performance.now());
    expect(started - ended).toBeGreaterThan(50 - microsecond);
  });
});

// ── Regressions ──────────────────────────────────────────────────────────────────────────────────────────────────────

describe("G.7", () => {
  it("regression 15: 50 concurrent pushes at 5/s overlap by 1 and complete 5 in any second", async () => {
    const clock = manualClock();
    const limiter = serialLimiter({ rate: 5, per: "1s", clock });
    let running = 0;
    let overlap = 0;
    const completed: { at: number; weight: number }[] = [];
    const pushes = Array.from({ length: 50 }, async () =>
      limiter.push(async () => {
        overlap = Math.max(overlap, ++running);
        await turn();
        running -= 1;
        completed.push({ at: clock.now(), weight: 1 });
      }),
    );
    while (limiter.size > 0) {
      for (let spin = 0; spin < 6; spin++) await turn();
      clock.advance(100);
    }
    expect((await Promise.all(pushes)).filter(Boolean)).toHaveLength(1);
    expect(overlap).toBe(1);
    expect(completed).toHaveLength(50);
    expect(heaviestWindow(completed, 1_000_000)).toBe(5);
  });

  it.each(["throws", "rejects"])("regression 16: task 3 of 8 %s, and 4 to 8 run", async (how) => {
    const errors: unknown[] = [];
    const limiter = serialLimiter({ rate: 100, per: "1s", onError: (error) => errors.push(error) });
    const ran: number[] = [];
    const failure = new Error("third");
    for (let index = 1; index <= 8; index++) {
      void limiter.push(() => {
        ran.push(index);
        if (index !== 3) return turn();
        if (how === "rejects") return Promise.reject(failure);
        throw failure;
      });
    }
    await limiter.idle();
    expect(ran).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(errors).toEqual([failure]);
  });
});

// ── Verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function limited(options: Partial<SerialOptions> = {}) {
  const clock: ManualClock = manualClock();
  return { clock, limiter: serialLimiter({ rate: 2, per: 10, clock, ...options }) };
}

describe("push", () => {
  it("says true once the task has run, and false as soon as it is queued", async () => {
    const { limiter, clock } = limited();
    const first = gate();
    const answers: string[] = [];
    const noted = limiter.push(first.task).then((now) => answers.push(`first ${now}`));
    await limiter.push(() => undefined).then((now) => answers.push(`second ${now}`));
    expect(answers).toEqual(["second false"]);
    first.open();
    await noted;
    expect(answers).toEqual(["second false", "first true"]);
    await limiter.idle();
    expect(await limiter.push(() => undefined)).toBe(false);
    clock.advance(10);
    expect(await limiter.push(() => undefined)).toBe(true);
  });

  it("runs what can start at once before it returns, one after another", async () => {
    const { limiter } = limited();
    const ran: string[] = [];
    const pushes = ["a", "b", "c"].map(async (name) => limiter.push(() => void ran.push(name)));
    expect(ran).toEqual(["a", "b"]);
    expect(await Promise.all(pushes)).toEqual([true, true, false]);
  });

  it("rejects with the task's own error when it could start at once", async () => {
    const { limiter } = limited();
    const failure = new Error("own");
    await expect(
      limiter.push(() => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    await expect(limiter.push(() => Promise.reject(failure))).rejects.toBe(failure);
  });

  it("queues what a task pushes from within", async () => {
    const { limiter } = limited();
    const order: string[] = [];
    let within: Promise<boolean> | undefined;
    const outer = await limiter.push(() => {
      within = limiter.push(() => void order.push("inner"));
      order.push("outer");
    });
    expect([outer, await within]).toEqual([true, false]);
    expect(order).toEqual(["outer", "inner"]);
  });
});

describe("onError", () => {
  const failure = new Error("queued");

  async function failQueued(onError?: (error: unknown) => void): Promise<number> {
    const { limiter } = limited({ rate: Number.POSITIVE_INFINITY, ...(onError && { onError }) });
    const first = gate();
    void limiter.push(first.task);
    await limiter.push(() => {
      throw failure;
    });
    const ran = vi.fn();
    await limiter.push(ran);
    first.open();
    await limiter.idle();
    await turn();
    return ran.mock.calls.length;
  }

  it("is console.error unless given", async () => {
    const print = vi.spyOn(console, "error").mockImplementation(() => undefined);
    expect(await failQueued()).toBe(1);
    expect(print.mock.calls).toEqual([[failure]]);
  });

  it("may throw, or be async and reject: that is printed, and stalls nothing", async () => {
    const print = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const second = new Error("in onError");
    const thrower = (): void => {
      throw second;
    };
    expect(await failQueued(thrower)).toBe(1);
    expect(await failQueued(() => Promise.reject(second) as never)).toBe(1);
    expect(print.mock.calls).toEqual([[second], [second]]);
  });

  it("stalls nothing even if the error cannot be printed", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {
      throw new Error("unprintable");
    });
    expect(await failQueued()).toBe(1);
  });

  it("may push", async () => {
    const order: string[] = [];
    const { limiter } = limited({
      rate: 100,
      onError: () => void limiter.push(() => void order.push("from onError")),
    });
    const first = gate();
    void limiter.push(first.task);
    await limiter.push(() => Promise.reject(failure));
    await limiter.push(() => void order.push("third"));
    first.open();
    await limiter.idle();
    expect(order).toEqual(["third", "from onError"]);
  });
});

describe("AsyncLocalStorage", () => {
  const storage = new AsyncLocalStorage<string>();

  it("holds for each task what it held for its caller, whether it started at once or was queued", async () => {
    const { limiter, clock } = limited({ rate: 3, per: 100 });
    const seen: (string | undefined)[] = [];
    const note = async (): Promise<void> => {
      seen.push(storage.getStore());
      await turn();
      seen.push(storage.getStore());
    };
    const done = ["one", "two", "three", "four"].map((caller) => storage.run(caller, () => limiter.run(note)));
    done.push(limiter.run(note));
    storage.run("six", () => void limiter.push(note));
    for (let round = 0; round < 20; round++) await turn();
    storage.run("who moves the clock", () => clock.advance(100));
    await limiter.idle();
    await Promise.all(done);
    const callers = ["one", "two", "three", "four", undefined, "six"];
    expect(seen).toEqual(callers.flatMap((caller) => [caller, caller]));
  });
});

describe("run", () => {
  it("gives the task's result", async () => {
    const { limiter } = limited({ rate: 10 });
    const value = { any: "thing" };
    expect(await limiter.run(() => value)).toBe(value);
    expect(await limiter.run(async () => value)).toBe(value);
    expect(await limiter.run(() => null)).toBe(null);
    expect(await limiter.run(() => thenable(() => (resolve) => resolve(7)))).toBe(7);
  });

  it("takes a thenable that breaks for a task that failed", async () => {
    const { limiter } = limited({ rate: 10 });
    const failure = new Error("broken");
    const broken = thenable(() => {
      throw failure;
    });
    await expect(limiter.run(() => broken)).rejects.toBe(failure);
    expect(await limiter.run(() => "next")).toBe("next");
  });

  it("is never called with a signal that has aborted", async () => {
    const { limiter } = limited();
    const task = vi.fn();
    await expect(limiter.run(task, { signal: AbortSignal.abort("gone") })).rejects.toBe("gone");
    expect(task).not.toHaveBeenCalled();
    expect(limiter.size).toBe(0);
  });

  it("leaves the line when aborted, and lets those behind move up", async () => {
    const { limiter, clock } = limited({ rate: 4 });
    await limiter.push(() => undefined, { weight: 3 });
    const controller = new AbortController();
    const heavy = limiter.run(() => "heavy", { weight: 4, signal: controller.signal });
    const light = limiter.run(() => clock.now());
    expect(limiter.size).toBe(2);
    controller.abort("changed my mind");
    await expect(heavy).rejects.toBe("changed my mind");
    expect(await light).toBe(0);
  });

  it("starts nothing whose own signal is the one that made way for it", async () => {
    const { limiter, clock } = limited({ rate: 4 });
    await limiter.push(() => undefined, { weight: 3 });
    const controller = new AbortController();
    const { signal } = controller;
    const task = vi.fn();
    const both = [limiter.run(task, { weight: 4, signal }), limiter.run(task, { signal })];
    const other = limiter.run(() => clock.now());
    controller.abort("all of them");
    for (const each of both) await expect(each).rejects.toBe("all of them");
    expect(task).not.toHaveBeenCalled();
    expect(await other).toBe(0);
    expect(limiter.size).toBe(0);
  });

  it("leaves a task alone that runs", async () => {
    const { limiter } = limited();
    const controller = new AbortController();
    const first = gate();
    const outcome = limiter.run(first.task, { signal: controller.signal });
    const second = limiter.run(() => "second", { signal: controller.signal });
    first.open();
    expect(await outcome).toBeUndefined();
    expect(await second).toBe("second");
    controller.abort();
    expect(await limiter.idle()).toBeUndefined();
  });

  it("counts a task that failed, and not one that was aborted in line", async () => {
    const { limiter, clock } = limited();
    await expect(limiter.run(() => Promise.reject(new Error("counted")))).rejects.toThrow("counted");
    await limiter.run(() => undefined);
    const controller = new AbortController();
    const aborted = limiter.run(() => undefined, { signal: controller.signal });
    controller.abort("left");
    await expect(aborted).rejects.toBe("left");
    clock.advance(10);
    expect(await Promise.all([limiter.push(() => undefined), limiter.push(() => undefined)])).toEqual([true, true]);
  });

  it("takes ten thousands in line, on one signal too", async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on("warning", note);
    const { limiter } = limited({ rate: Number.POSITIVE_INFINITY });
    const controller = new AbortController();
    const first = gate();
    void limiter.push(first.task);
    const order: number[] = [];
    const queued = Array.from({ length: 20_000 }, async (_, index) =>
      limiter.run(() => order.push(index), index % 2 === 0 ? { signal: controller.signal } : undefined),
    );
    const settled = Promise.allSettled(queued);
    controller.abort("half of them");
    expect(limiter.size).toBe(10_001);
    first.open();
    expect((await settled).map(({ status }) => status === "fulfilled")).toEqual(
      queued.map((_, index) => index % 2 === 1),
    );
    // synchronous tasks, one after another, without a stack
    expect(order).toEqual(Array.from({ length: 10_000 }, (_, index) => 2 * index + 1));
    await turn();
    process.off("warning", note);
    expect(warnings).toEqual([]);
  });
});

describe("weight", () => {
  it("is what the rate counts, and a heavy one is not overtaken", async () => {
    const { limiter, clock } = limited({ rate: 5 });
    const started: string[] = [];
    const run = async (name: string, weight: number): Promise<number> =>
      limiter.run(() => started.push(`${name} at ${clock.now() / 1000}`), { weight });
    void run("four", 4);
    void run("two", 2);
    void run("one", 1);
    expect(started).toEqual(["four at 0"]);
    clock.advance(9.999);
    expect(started).toHaveLength(1);
    clock.advance(0.001);
    await limiter.idle();
    expect(started).toEqual(["four at 0", "two at 10", "one at 10"]);
  });

  it.each([
    [6, RangeError],
    [0, RangeError],
    [-1, RangeError],
    [1.5, RangeError],
    [Number.NaN, RangeError],
    [Number.POSITIVE_INFINITY, RangeError],
    ["1" as unknown as number, TypeError],
  ])("of %s is refused when it is pushed, of a rate of 5", async (weight, type) => {
    const { limiter } = limited({ rate: 5 });
    const task = vi.fn();
    const error = { code: "ERR_INVALID_COST", constructor: type, message: expect.stringContaining("weight") };
    await expect(limiter.push(task, { weight })).rejects.toMatchObject(error);
    await expect(limiter.run(task, { weight })).rejects.toMatchObject(error);
    expect(() => limiter.wrap({ weight })).toThrow(expect.objectContaining({ code: "ERR_INVALID_COST" }));
    expect(task).not.toHaveBeenCalled();
    expect(limiter.size).toBe(0);
  });
});

describe("maxQueue", () => {
  it("bounds what is queued, not counting the one that runs", async () => {
    const { limiter } = limited({ rate: 100, maxQueue: 2 });
    const first = gate();
    void limiter.push(first.task);
    const controller = new AbortController();
    const queued = limiter.run(() => undefined, { signal: controller.signal });
    expect(await limiter.push(() => undefined)).toBe(false);
    await expect(limiter.push(() => undefined)).rejects.toBeInstanceOf(QueueFullError);
    await expect(limiter.run(() => undefined)).rejects.toMatchObject({ code: "ERR_QUEUE_FULL" });
    controller.abort("room");
    await expect(queued).rejects.toBe("room");
    expect(await limiter.push(() => undefined)).toBe(false);
    first.open();
    await limiter.idle();
    expect(await limiter.push(() => undefined)).toBe(true);
  });

  it("of 0 takes a task only when it can start at once", async () => {
    const { limiter, clock } = limited({ rate: 1, maxQueue: 0 });
    expect(await limiter.push(() => undefined)).toBe(true);
    await expect(limiter.push(() => undefined)).rejects.toMatchObject({ code: "ERR_QUEUE_FULL" });
    clock.advance(10);
    expect(await limiter.run(() => "at once")).toBe("at once");
    await expect(limiter.run(() => "later")).rejects.toMatchObject({ code: "ERR_QUEUE_FULL" });
  });
});

describe("idle", () => {
  it("resolves at once when nothing is there, else after the last one", async () => {
    const { limiter, clock } = limited({ rate: 1 });
    await limiter.idle();
    let idle = false;
    const first = gate();
    void limiter.push(first.task);
    void limiter.push(() => undefined);
    void limiter.idle().then(() => (idle = true));
    first.open();
    await turn();
    expect([idle, limiter.size]).toEqual([false, 1]);
    clock.advance(10);
    await turn();
    expect([idle, limiter.size]).toEqual([true, 0]);
  });
});

describe("close", () => {
  it("lets the task that runs end, and rejects or drops what is queued", async () => {
    const errors: unknown[] = [];
    const { limiter } = limited({ onError: (error) => errors.push(error) });
    const first = gate();
    const running = limiter.run(first.task);
    const task = vi.fn();
    const queued = limiter.run(task);
    await limiter.push(task);
    let closed = false;
    const closing = limiter.close().then(() => (closed = true));
    await expect(queued).rejects.toBeInstanceOf(ClosedError);
    expect(closed).toBe(false);
    first.open();
    await Promise.all([running, closing, limiter.close(), limiter.idle()]);
    expect(task).not.toHaveBeenCalled();
    const error = { code: "ERR_CLOSED", message: expect.stringContaining("serial limiter") };
    expect(errors).toEqual([expect.objectContaining(error)]);
    await expect(limiter.run(task)).rejects.toMatchObject(error);
    await expect(limiter.push(task)).rejects.toMatchObject(error);
  });

  it("prints nothing about dropped tasks by default: whoever closes knows", async () => {
    const print = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const { limiter } = limited({ rate: 1 });
    await limiter.push(() => undefined);
    await limiter.push(() => undefined);
    await limiter.close();
    await turn();
    expect(print).not.toHaveBeenCalled();
  });

  it("stops the timer", async () => {
    vi.useFakeTimers();
    try {
      const limiter = serialLimiter({ rate: 1, per: "1h" });
      await limiter.push(() => undefined);
      await limiter.push(() => undefined);
      expect(vi.getTimerCount()).toBe(1);
      await limiter.close();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it("is what `await using` does", async () => {
    const first = gate();
    let left: Promise<unknown> | undefined;
    {
      await using limiter = serialLimiter({ rate: 1, per: "1s" });
      await limiter.run(() => undefined);
      left = limiter.run(first.task).catch((error: unknown) => error);
    }
    expect(await left).toBeInstanceOf(ClosedError);
    expect(first.started).toBe(false);
  });
});

describe("clock", () => {
  it("put back holds nobody up for as long as it was put back", async () => {
    const hour = 3_600_000;
    const clock = manualClock(2 * hour * 1000);
    const limiter = serialLimiter({ rate: 1, per: 10, clock });
    await limiter.push(() => undefined);
    const next = limiter.run(() => "next");
    clock.advance(4);
    clock.advance(-hour);
    clock.advance(5.999);
    expect(limiter.size).toBe(1);
    clock.advance(0.001);
    expect(await next).toBe("next");
  });

  it("put forward starts one task, and the log goes on from there", async () => {
    const { limiter, clock } = limited({ rate: 1 });
    const starts: number[] = [];
    for (let task = 0; task < 3; task++) void limiter.push(() => void starts.push(clock.now() / 1000));
    clock.advance(1_000_000);
    clock.advance(9.999);
    expect(starts).toEqual([0, 1_000_000]);
    clock.advance(0.001);
    expect(starts).toEqual([0, 1_000_000, 1_000_010]);
  });
});

describe("wrap", () => {
  it("keeps the name, this, arguments and type, inline", async () => {
    const { limiter } = limited();
    const add = limiter.wrap()(async function sum(this: { base: number }, one: number, other: number) {
      return this.base + one + other;
    });
    expectTypeOf(add).toEqualTypeOf<(this: { base: number }, one: number, other: number) => Promise<number>>();
    expect(add.name).toBe("sum");
    expect(await add.call({ base: 1 }, 2, 3)).toBe(6);
  });

  it("decorates a method, and weighs its calls", async () => {
    const clock = manualClock();
    const limiter = serialLimiter({ rate: 3, per: 10, clock });
    class Api {
      readonly calls: number[] = [];
      @limiter.wrap({ weight: 2 })
      async call(): Promise<number> {
        return this.calls.push(clock.now() / 1000);
      }
    }
    const api = new Api();
    const both = [api.call(), api.call()];
    await turn();
    expect(api.calls).toEqual([0]);
    clock.advance(10);
    expect(await Promise.all(both)).toEqual([1, 2]);
    expect(api.calls).toEqual([0, 10]);
  });
});

describe("options", () => {
  it.each([
    [undefined, TypeError, "ERR_INVALID_ARGUMENT", "options"],
    [null, TypeError, "ERR_INVALID_ARGUMENT", "options"],
    [{ per: 1 }, TypeError, "ERR_INVALID_LIMIT", "rate"],
    [{ rate: "5", per: 1 }, TypeError, "ERR_INVALID_LIMIT", "rate"],
    [{ rate: 0, per: 1 }, RangeError, "ERR_INVALID_LIMIT", "rate"],
    [{ rate: 1.5, per: 1 }, RangeError, "ERR_INVALID_LIMIT", "rate"],
    [{ rate: Number.NaN, per: 1 }, RangeError, "ERR_INVALID_LIMIT", "rate"],
    [{ rate: 1 }, TypeError, "ERR_INVALID_DURATION", "per"],
    [{ rate: 1, per: 0 }, RangeError, "ERR_INVALID_DURATION", "per"],
    [{ rate: 1, per: "1 minute" }, TypeError, "ERR_INVALID_DURATION", "per"],
    [{ rate: 1, per: 1, maxQueue: -1 }, RangeError, "ERR_INVALID_LIMIT", "maxQueue"],
    [{ rate: 1, per: 1, maxQueue: "many" }, TypeError, "ERR_INVALID_LIMIT", "maxQueue"],
    [{ rate: 1, per: 1, onError: "log" }, TypeError, "ERR_INVALID_ARGUMENT", "onError"],
    [{ rate: 1, per: 1, clock: 5 }, TypeError, "ERR_INVALID_ARGUMENT", "clock"],
    [{ rate: 1, per: 1, clock: null }, TypeError, "ERR_INVALID_ARGUMENT", "clock"],
  ])("%o are refused", (options, type, code, word) => {
    const make = (): unknown => serialLimiter(options as SerialOptions);
    expect(make).toThrow(type);
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(`Expected ${word} `) }));
  });

  it("a task is a function, its options an object, its signal a signal", async () => {
    const { limiter } = limited();
    const error = { code: "ERR_INVALID_ARGUMENT", constructor: TypeError };
    const task = { ...error, message: expect.stringContaining("Expected task ") };
    await expect(limiter.push("task" as never)).rejects.toMatchObject(task);
    await expect(limiter.run(undefined as never)).rejects.toMatchObject(task);
    await expect(limiter.run(() => 1, 5 as never)).rejects.toMatchObject(error);
    await expect(limiter.run(() => 1, { signal: {} as never })).rejects.toMatchObject(error);
    expect(await limiter.push(() => undefined)).toBe(true);
  });

  it("an unlimited rate runs everything at once, of any weight", async () => {
    const { limiter } = limited({ rate: Number.POSITIVE_INFINITY });
    expect(await limiter.push(() => undefined, { weight: Number.MAX_SAFE_INTEGER })).toBe(true);
    expect(await limiter.push(() => undefined, { weight: Number.MAX_SAFE_INTEGER })).toBe(true);
  });
});
