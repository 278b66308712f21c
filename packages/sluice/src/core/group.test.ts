import { afterEach, describe, expect, it, vi } from "vitest";
import { all, memoryStore, rateLimiter, StoreError, slidingWindow } from "../index.js";
import { manualClock } from "../testing/manual-clock.js";
import { together } from "./group.js";
import { type Driver, storeDriver, type Ticket, type Verdict } from "./store.js";

const gone = new StoreError("ERR_STORE_UNAVAILABLE", "gone");

/** Lets everything that can go on go on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A limiter over a store of its own, and that store's way to answer, for tests to come in between. */
function bench(limit: number, window: number, name: string, clock = manualClock(1_000_000_000)) {
  const store = memoryStore({ clock });
  const driver = storeDriver(store);
  const honest = driver.decide.bind(driver) as (...question: Parameters<Driver["decide"]>) => Verdict;
  const decide = vi.spyOn(driver, "decide");
  const limiter = rateLimiter(slidingWindow({ limit, window, name }), { store });
  /** What the store says when it is to charge; a look is answered as ever. */
  const whenCharged = (answer: (charge: () => Verdict) => Verdict | Promise<Verdict>): void => {
    decide.mockImplementation((...question) => {
      const [, , spend] = question;
      return spend ? answer(() => honest(...question)) : honest(...question);
    });
  };
  return {
    clock,
    limiter,
    whenCharged,
    /** Someone else is quicker, between the look and the charge. */
    taken: (cost: number): void => {
      whenCharged((charge) => {
        limiter.consumeSync("key", { cost });
        return charge();
      });
    },
    charges: (): number => decide.mock.calls.filter(([, , spend]) => spend).length,
    get left(): number {
      return limiter.peekSync("key").remaining;
    },
  };
}

type Bench = ReturnType<typeof bench>;

/** One call for a key of each. */
function allOf(...benches: readonly Bench[]) {
  return all(...benches.map(({ limiter }) => limiter.for("key")));
}

afterEach(() => {
  vi.useRealTimers();
});

describe("all() over several stores", () => {
  it.each([0, 1, 2])("store %i is emptied after the look: a refusal, and nobody else is charged", async (emptied) => {
    const benches = ["a", "b", "c"].map((name) => bench(5, 10_000, name));
    benches[emptied]?.taken(5);
    const decision = await allOf(...benches).consume({ cost: 2 });
    const name = "abc"[emptied];
    expect(decision).toMatchObject({ allowed: false, policy: name, remaining: 0, retryAfter: 10_000 });
    expect(decision.parts).toMatchObject(
      ["a", "b", "c"].map((policy, index) =>
        index === emptied
          ? { policy, allowed: false, remaining: 0, retryAfter: 10_000 }
          : { policy, allowed: true, remaining: 5, retryAfter: 0 },
      ),
    );
    expect(benches.map(({ left }) => left)).toEqual([0, 1, 2].map((index) => (index === emptied ? 0 : 5)));
  });

  it("a refusal is one even when what was charged before cannot be given back", async () => {
    const [first, second] = [bench(5, 10_000, "first"), bench(5, 10_000, "second")];
    first.whenCharged((charge) => ({
      ...charge(),
      ticket: { cancel: () => Promise.reject(gone), settle: () => {} },
    }));
    second.taken(5);
    expect(await allOf(first, second).consume()).toMatchObject({ allowed: false, policy: "second" });
  });

  it("a store that fails on the way gives back what was charged before, and its error comes through", async () => {
    const benches = ["a", "b", "c"].map((name) => bench(5, 10_000, name));
    benches[2]?.whenCharged(() => Promise.reject(gone));
    await expect(allOf(...benches).consume({ cost: 2 })).rejects.toBe(gone);
    await turn();
    expect(benches.map(({ left }) => left)).toEqual([5, 5, 5]);
  });

  it("a charge that comes after the deadline is given back, and so are those before it", async () => {
    vi.useFakeTimers();
    const [first, second] = [bench(5, 10_000, "first"), bench(5, 10_000, "second")];
    let release = (): void => {};
    second.whenCharged(
      (charge) =>
        new Promise((resolve) => {
          release = () => resolve(charge());
        }),
    );
    const late = expect(allOf(first, second).consume()).rejects.toMatchObject({ code: "ERR_STORE_TIMEOUT" });
    await vi.advanceTimersByTimeAsync(110);
    await late;
    release();
    await vi.advanceTimersByTimeAsync(0);
    expect([first.left, second.left]).toEqual([5, 5]);
  });

  it("a peek charges nothing, allowed or not", async () => {
    const benches = [bench(5, 10_000, "first"), bench(3, 10_000, "second")];
    expect(await allOf(...benches).peek({ cost: 3 })).toMatchObject({ allowed: true, policy: "second", remaining: 3 });
    expect(await allOf(...benches).peek({ cost: 4 })).toMatchObject({ allowed: false, policy: "second" });
    expect(benches.map(({ left }) => left)).toEqual([5, 3]);
  });

  it("a call that is refused at the look charges nobody, not even for a moment", async () => {
    const [first, second] = [bench(5, 10_000, "first"), bench(3, 10_000, "second")];
    const both = allOf(first, second);
    // too dear for ever, and too far away
    await expect(both.wait({ cost: 4 })).rejects.toMatchObject({ wait: Infinity });
    second.limiter.consumeSync("key", { cost: 3 });
    expect(await both.consume()).toMatchObject({ allowed: false, retryAfter: 10_000 });
    await expect(both.wait({ maxWait: 9999 })).rejects.toMatchObject({ wait: 10_000 });
    expect([first.charges(), second.charges()]).toEqual([0, 0]);
  });

  it("a start that others put off holds for those charged later, and is waited for by the clock that put it off", async () => {
    const here = manualClock(1_000_000_000);
    const first = bench(1, 10_000, "first", here);
    const second = bench(1, 30_000, "second");
    const third = bench(1, 60_000, "third", here);
    first.limiter.consumeSync("key");
    second.taken(1);
    const started = vi.fn();
    const waiting = allOf(first, second, third).wait().then(started);
    await turn();
    here.advance(30_000);
    await turn();
    expect(started).not.toHaveBeenCalled();
    second.clock.advance(30_000);
    await waiting;
    // the first keeps the start that they had in common before: it is 20 s ago, and over
    expect(first.limiter.peekSync("key")).toMatchObject({ allowed: true, resetAfter: 0 });
    expect(second.limiter.peekSync("key").retryAfter).toBe(30_000);
    expect(third.limiter.peekSync("key").retryAfter).toBe(60_000);
  });

  it("a start that others put off is not early, however long the question was on its way", async () => {
    const clock = manualClock(1_000_000_000);
    const [first, second] = [bench(1, 10_000, "first", clock), bench(1, 30_000, "second", clock)];
    second.whenCharged((charge) => {
      second.limiter.consumeSync("key");
      clock.advance(500);
      return charge();
    });
    const started = vi.fn();
    const waiting = allOf(first, second).wait().then(started);
    await turn();
    clock.advance(29_499);
    await turn();
    expect(started).not.toHaveBeenCalled();
    clock.advance(1);
    await waiting;
    expect(clock.now()).toBe(1_000_000_000 + 30_000_000);
  });

  it("a start that is put off beyond maxWait is given up, and gives back what was charged", async () => {
    const [first, second] = [bench(1, 10_000, "first"), bench(1, 30_000, "second")];
    second.taken(1);
    await expect(allOf(first, second).wait({ maxWait: "20s" })).rejects.toMatchObject({ wait: 30_000 });
    expect([first.left, second.left]).toEqual([1, 0]);
  });

  it("the clock of the store that is to be waited for counts, whichever was asked last", async () => {
    const [slow, free] = [bench(1, 20_000, "slow"), bench(1, 10_000, "free")];
    slow.limiter.consumeSync("key");
    const started = vi.fn();
    const waiting = allOf(slow, free).wait().then(started);
    await turn();
    free.clock.advance(60_000);
    await turn();
    expect(started).not.toHaveBeenCalled();
    slow.clock.advance(20_000);
    await waiting;
  });

  it("a settlement corrects each key by its own cost", async () => {
    const [first, second] = [bench(9, 10_000, "first"), bench(9, 10_000, "second")];
    const both = all(first.limiter.for("key", { cost: 4 }), second.limiter.for("key"));
    const reservation = await both.reserve({ cost: 3 });
    expect([first.left, second.left]).toEqual([5, 6]);
    await reservation.settle(1);
    expect([first.left, second.left]).toEqual([5, 8]);
  });
});

describe("several verdicts together", () => {
  const verdict = (ticket?: Ticket): Verdict => ({ granted: true, wait: 0, findings: [0, 1, 2], ticket });
  const ticket = (told: (what: string | readonly number[]) => void): Ticket => ({
    cancel: () => told("cancel"),
    settle: told,
  });

  it("are granted only when each is, and start when the last does", () => {
    const granted = verdict();
    expect(together([granted, { ...granted, wait: 7 }])).toMatchObject({ granted: true, wait: 7 });
    expect(together([{ ...granted, granted: false }, granted]).granted).toBe(false);
  });

  it("have a ticket when one of them has", () => {
    expect(together([verdict(), verdict()]).ticket).toBeUndefined();
    expect(together([verdict(), verdict(ticket(() => {}))]).ticket).toBeDefined();
  });

  it("are settled each by its own differences, and cancelled the newest first", async () => {
    const told: unknown[] = [];
    const named = (name: string): Verdict => verdict(ticket((what) => told.push([name, what])));
    const both = together([named("first"), verdict(), named("last")], [1, 2, 2]).ticket;
    await both?.settle([1, 2, 3, 4, 5]);
    await both?.cancel();
    expect(told).toEqual([
      ["first", [1]],
      ["last", [4, 5]],
      ["last", "cancel"],
      ["first", "cancel"],
    ]);
  });

  it.each(["cancel", "settle"] as const)(
    "%s asks all, though some fail, and rejects with the first reason",
    async (verb) => {
      const asked = vi.fn();
      const failing = (reason: string): Verdict =>
        verdict(
          ticket(() => {
            asked();
            throw new Error(reason);
          }),
        );
      const both = together([failing("one"), verdict(ticket(asked)), failing("three")]).ticket;
      const correcting = verb === "cancel" ? both?.cancel() : both?.settle([0, 0, 0]);
      await expect(correcting).rejects.toThrow(verb === "cancel" ? "three" : "one");
      expect(asked).toHaveBeenCalledTimes(3);
    },
  );
});
