import { afterEach, describe, expect, it, vi } from "vitest";
import {
  all,
  memoryStore,
  type RateLimiter,
  type Reservation,
  rateLimiter,
  StoreError,
  slidingWindow,
} from "../index.js";
import { manualClock } from "../testing/manual-clock.js";
import { type Driver, type Store, storeDriver, type Verdict } from "./store.js";

const gone = new StoreError("ERR_STORE_UNAVAILABLE", "gone");

/** Lets everything that can go on go on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const sliding = (limit: number, name = "calls") => slidingWindow({ limit, window: "10s", name });

function bench(limit: number, name?: string) {
  const clock = manualClock(1_000_000_000);
  const store = memoryStore({ clock });
  return { clock, store, limiter: rateLimiter(sliding(limit, name), { store }) };
}

/** A store as one across a network: each decision is what `answer` makes of it. */
function remote(
  answer: (decide: () => Verdict) => Promise<Verdict>,
  clock = manualClock(1_000_000_000),
): { readonly store: Store; readonly clock: typeof clock } {
  const store: Store = memoryStore({ clock });
  const driver = Object.assign(storeDriver(store), { remote: true });
  const decide = driver.decide.bind(driver) as (...question: Parameters<Driver["decide"]>) => Verdict;
  vi.spyOn(driver, "decide").mockImplementation((...question) => answer(() => decide(...question)));
  return { store, clock };
}

/** Answers after so many ms of the fake timers. */
const after =
  (delay: number) =>
  (decide: () => Verdict): Promise<Verdict> =>
    new Promise((resolve) => setTimeout(() => resolve(decide()), delay));

/** Whether it has come to an end by now. */
function watched<T>(call: Promise<T>): { readonly call: Promise<T>; over: boolean } {
  const watch = { call, over: false };
  const end = (): void => {
    watch.over = true;
  };
  call.then(end, end);
  return watch;
}

const inTimers = (): void => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate", "performance"] });
};

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("another limiter in the store's stead", () => {
  function replaced(limit: number) {
    const { clock, limiter: stead } = bench(limit, "stead");
    const { store } = remote(() => Promise.reject(gone));
    return { clock, stead, limiter: rateLimiter(sliding(1, "own"), { store, whenStoreFails: stead }) };
  }

  it("waits its own turns, and marks what it says as degraded", async () => {
    const { clock, stead, limiter } = replaced(1);
    const degraded = { allowed: true, degraded: true, policy: "stead", parts: [{ policy: "stead" }] };
    expect(await limiter.wait("key")).toMatchObject(degraded);
    const waiting = watched(limiter.wait("key"));
    await turn();
    expect(waiting.over).toBe(false);
    clock.advance(10_000);
    expect(await waiting.call).toMatchObject(degraded);
    expect(stead.peekSync("key").retryAfter).toBe(10_000);
  });

  it("reserves, and settles or cancels what it charged", async () => {
    const { stead, limiter } = replaced(9);
    const settled = await limiter.reserve("key", { cost: 5 });
    expect(settled.decision).toMatchObject({ degraded: true, policy: "stead", remaining: 4 });
    await settled.settle(2);
    expect(stead.peekSync("key").remaining).toBe(7);
    const cancelled = await limiter.reserve("key", { cost: 5 });
    await cancelled.cancel();
    expect(stead.peekSync("key").remaining).toBe(7);
    {
      await using disposed = await limiter.reserve("key", { cost: 5 });
      expect(disposed.decision.degraded).toBe(true);
    }
    expect(stead.peekSync("key").remaining).toBe(2);
  });

  it("gets a turn back whose task is no longer wanted when it comes", async () => {
    const { clock, stead, limiter } = replaced(1);
    stead.consumeSync("key");
    const controller = new AbortController();
    const task = vi.fn();
    const call = limiter.run("key", task, { signal: controller.signal });
    const outcome = expect(call).rejects.toBe("enough");
    await turn();
    clock.advance(10_000);
    controller.abort("enough");
    await outcome;
    expect(task).not.toHaveBeenCalled();
    expect(stead.peekSync("key").remaining).toBe(1);
  });
});

describe("giving up", () => {
  it("a turn that has come at once is given back when the task is aborted before it runs", async () => {
    const { limiter } = bench(1);
    const controller = new AbortController();
    const task = vi.fn();
    const outcome = expect(limiter.run("key", task, { signal: controller.signal })).rejects.toBe("enough");
    controller.abort("enough");
    await outcome;
    expect(task).not.toHaveBeenCalled();
    expect(limiter.peekSync("key").remaining).toBe(1);
  });

  it("closing leaves the charges of those whose turn has come", async () => {
    const { clock, store, limiter } = bench(1);
    limiter.consumeSync("key");
    const waiting = limiter.wait("key");
    clock.advance(10_000);
    await waiting;
    await limiter.close();
    expect(rateLimiter(sliding(1), { store }).peekSync("key").retryAfter).toBe(10_000);
  });

  it("closing while a shadow store has not answered gives back what was charged in force", async () => {
    const { store, limiter } = bench(1);
    let release = (): void => {};
    const far = remote(
      (decide) =>
        new Promise((resolve) => {
          release = () => resolve(decide());
        }),
    );
    const trial = rateLimiter(sliding(1, "trial"), { store: far.store, shadow: true });
    const outcome = expect(all(limiter.for("key"), trial.for("key")).wait()).rejects.toMatchObject({
      code: "ERR_CLOSED",
    });
    const closing = limiter.close();
    await outcome;
    release();
    await closing;
    expect(rateLimiter(sliding(1), { store }).peekSync("key").remaining).toBe(1);
  });

  it("in one turn of the event loop, the newest gives back first, whoever gave up first", async () => {
    const { limiter, store } = bench(1);
    const cancelled: string[] = [];
    vi.spyOn(storeDriver(store), "decide").mockImplementation(([ask]) => ({
      granted: true,
      wait: 10_000,
      findings: [0, 0, 0],
      ticket: { cancel: () => void cancelled.push(ask?.key ?? ""), settle: () => {} },
    }));
    const controllers = Array.from({ length: 4 }, () => new AbortController());
    const calls = controllers.map(({ signal }, index) => limiter.wait(`call ${index}`, { signal }));
    const outcomes = Promise.allSettled(calls);
    for (const index of [1, 0, 3, 2]) controllers[index]?.abort();
    await outcomes;
    expect(cancelled).toEqual(["call 3", "call 2", "call 1", "call 0"]);
  });
});

describe("a reservation", () => {
  it("that was disposed of keeps its estimate, whatever is asked of it afterwards", async () => {
    const { limiter } = bench(9);
    let kept: Reservation;
    {
      await using reservation = await limiter.reserve("key", { cost: 5 });
      kept = reservation;
    }
    await kept.settle(0);
    await kept.cancel();
    expect(limiter.peekSync("key").remaining).toBe(4);
  });

  it("says which number is wrong when it is settled with none", async () => {
    const { limiter } = bench(9);
    const reservation = await limiter.reserve("key");
    await expect(reservation.settle(-1)).rejects.toThrow(/^Expected cost to be a whole number/);
  });
});

describe("the timeout of one call over several limiters", () => {
  it("is the shortest of theirs", async () => {
    inTimers();
    const limiters = [80, 50, 200].map((timeout) =>
      rateLimiter(sliding(5, `${timeout}`), { store: remote(() => new Promise(() => {})).store, timeout }),
    );
    const call = watched(all(...limiters.map((each) => each.for("key"))).consume());
    const outcome = expect(call.call).rejects.toMatchObject({ code: "ERR_STORE_TIMEOUT" });
    await vi.advanceTimersByTimeAsync(49);
    expect(call.over).toBe(false);
    await vi.advanceTimersByTimeAsync(5);
    expect(call.over).toBe(true);
    await outcome;
  });

  it("leaves a shadow store what the others have not used of it, then goes on without", async () => {
    inTimers();
    const force = rateLimiter(sliding(5, "force"), { store: remote(after(60)).store });
    const trial = (delay: number) =>
      rateLimiter(sliding(7, "trial"), { store: remote(after(delay)).store, shadow: true });
    const both = (delay: number) => watched(all(force.for("key"), trial(delay).for("key")).consume());
    const inTime = both(30);
    const late = both(60);
    await vi.advanceTimersByTimeAsync(95);
    expect(inTime.over).toBe(true);
    expect((await inTime.call).parts).toMatchObject([{ policy: "force" }, { policy: "trial", remaining: 6 }]);
    expect(late.over).toBe(false);
    await vi.advanceTimersByTimeAsync(15);
    expect(late.over).toBe(true);
    expect(await late.call).toMatchObject({
      allowed: true,
      degraded: false,
      parts: [{ policy: "force" }, { policy: "trial", remaining: 7 }],
    });
  });

  it("a shadow's grant that comes too late is given back", async () => {
    inTimers();
    const { limiter } = bench(5, "force");
    const far = remote(after(150));
    const trial = rateLimiter(sliding(7, "trial"), { store: far.store, shadow: true, timeout: "1s" });
    const call = all(limiter.for("key"), trial.for("key")).reserve({ cost: 3 });
    await vi.advanceTimersByTimeAsync(110);
    expect((await call).decision.parts).toMatchObject([{ remaining: 2 }, { remaining: 7 }]);
    await vi.advanceTimersByTimeAsync(50);
    const looking = trial.peek("key");
    await vi.advanceTimersByTimeAsync(150);
    expect((await looking).remaining).toBe(7);
  });
});

describe("shadow limiters beside others", () => {
  const promptly = async (decide: () => Verdict): Promise<Verdict> => decide();

  it("never refuse, and charge nothing when the others refuse", async () => {
    const { store, limiter } = bench(2, "force");
    const trial = rateLimiter(sliding(3, "trial"), { store, shadow: true });
    const both = all(trial.for("key"), limiter.for("key"));
    expect((await both.consume({ cost: 2 })).allowed).toBe(true);
    expect(await both.consume()).toMatchObject({ allowed: false, policy: "force" });
    expect(trial.peekSync("key").remaining).toBe(1);
    limiter.resetSync("key");
    expect(await both.consume({ cost: 2 })).toMatchObject({
      allowed: true,
      parts: [
        { policy: "trial", allowed: false },
        { policy: "force", allowed: true },
      ],
    });
  });

  it("may be over stores that answer at once and over others, in one call", async () => {
    const { store, limiter } = bench(5, "force");
    const near = rateLimiter(sliding(7, "near"), { store, shadow: true });
    const far = rateLimiter(sliding(9, "far"), { store: remote(promptly).store, shadow: true });
    const decision = await all(near.for("key"), far.for("key"), limiter.for("key")).consume({ cost: 2 });
    expect(decision.parts.map(({ policy, remaining }) => [policy, remaining])).toEqual([
      ["near", 5],
      ["far", 7],
      ["force", 3],
    ]);
  });

  it("have no part in when it is the call's turn: it passes on the clock of those in force", async () => {
    const { clock, limiter } = bench(1, "force");
    const other = bench(1, "trial");
    const trial = rateLimiter(sliding(1, "trial two"), { store: other.store, shadow: true });
    limiter.consumeSync("key");
    const waiting = watched(all(trial.for("key"), limiter.for("key")).wait());
    other.clock.advance(60_000);
    await turn();
    expect(waiting.over).toBe(false);
    clock.advance(10_000);
    expect((await waiting.call).allowed).toBe(true);
  });

  it("are silent when their store fails, but a mistake comes through", async () => {
    const mistake = new TypeError("a mistake");
    const { limiter } = bench(5, "force");
    const trial = (reason: Error): RateLimiter =>
      rateLimiter(sliding(7, "trial"), { store: remote(() => Promise.reject(reason)).store, shadow: true });
    expect(await all(limiter.for("key"), trial(gone).for("key")).consume()).toMatchObject({
      allowed: true,
      degraded: false,
      parts: [{ remaining: 4 }, { policy: "trial", allowed: true, remaining: 7, resetAfter: 0 }],
    });
    await expect(all(limiter.for("key"), trial(mistake).for("key")).consume()).rejects.toBe(mistake);
    expect(limiter.peekSync("key").remaining).toBe(4);
    await expect(all(limiter.for("key"), trial(mistake).for("key")).reserve({ cost: 2 })).rejects.toBe(mistake);
    expect(limiter.peekSync("key").remaining).toBe(4);
  });

  it("of one name with one in force are asked for the same key apart from it", async () => {
    vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const { store, limiter } = bench(1);
    const trial = rateLimiter(sliding(1), { store, shadow: true });
    expect(await all(limiter.for("key"), trial.for("key")).consume()).toMatchObject({
      allowed: true,
      parts: [
        { allowed: true, remaining: 0 },
        { allowed: false, retryAfter: 10_000 },
      ],
    });
  });
});
