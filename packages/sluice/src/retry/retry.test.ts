import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import type { Decision } from "../core/decision.js";
import { RateLimitExceededError, RetryLimitReachedError } from "../core/errors.js";
import { compose, wrapper } from "../core/wrap.js";
import { manualClock } from "../testing/manual-clock.js";
import type { RetryOptions } from "./options.js";
import { retry, retryIn } from "./retry.js";

const day = 86_400_000;

afterEach(() => {
  vi.useRealTimers();
});

/** `retry` where time passes when the test says so, and chance is `random`. */
function manual(options: RetryOptions, random: () => number = () => 0.5) {
  const clock = manualClock();
  return { clock, wrap: retryIn({ clock, random }, options) };
}

/** A function that fails with each of `errors` in turn, and then succeeds. */
function failing(...errors: unknown[]) {
  return vi.fn(async () => {
    if (errors.length > 0) throw errors.shift();
    return "done";
  });
}

/** The outcome as a value, so that it may be looked at later. */
function outcomeOf(promise: Promise<unknown>): { value?: unknown; error?: unknown; settled: boolean } {
  const outcome: { value?: unknown; error?: unknown; settled: boolean } = { settled: false };
  promise.then(
    (value) => Object.assign(outcome, { value, settled: true }),
    (error: unknown) => Object.assign(outcome, { error, settled: true }),
  );
  return outcome;
}

function refusal(retryAfter: number): RateLimitExceededError {
  const decision = { allowed: false, policy: "p", limit: 1, remaining: 0, retryAfter, resetAfter: 1, degraded: false };
  return new RateLimitExceededError({ ...decision, parts: [] } satisfies Decision);
}

/** The delay before the retry after `error`, ms. */
async function delayAfter(error: unknown, options: Partial<RetryOptions> = {}): Promise<number> {
  const delays: number[] = [];
  const { wrap } = manual({ retries: 1, jitter: "none", ...options, onRetry: ({ delay }) => delays.push(delay) });
  void wrap(failing(error))();
  await turn();
  return delays[0] as number;
}

// ── Laws ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("law R1", () => {
  const nothingAsked = Array.from({ length: 5 }, () => ({ retryAfter: null }));
  const noChance = new Array<number>(6).fill(0);
  it("attempts ≤ retries + 1, each exactly when its delay is over: the longer of backoff and retryAfter", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          retries: fc.nat(6),
          backoff: fc.nat(5000),
          factor: fc.constantFrom(1, 1.5, 2, 3),
          maxBackoff: fc.nat(20_000),
          jitter: fc.constantFrom("full", "equal", "decorrelated", "none"),
        } as const),
        // what each attempt does: fails, and may ask for a delay; in the end one may succeed
        fc.array(fc.record({ retryAfter: fc.option(fc.double({ min: -10, max: 40_000, noNaN: true })) }), {
          maxLength: 8,
        }),
        fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 6, maxLength: 6 }),
        async (options, failures, chances) => {
          const events: { error: unknown; attempt: number; delay: number }[] = [];
          let asked = 0;
          const { clock, wrap } = manual(
            {
              ...options,
              retryAfter: (error) => (error as { retryAfter: number | null }).retryAfter ?? undefined,
              onRetry: (event) => events.push(event),
            },
            () => chances[asked++] as number,
          );
          const call = failing(...failures);
          const outcome = outcomeOf(wrap(call)());
          const attempts = Math.min(options.retries, failures.length) + 1;
          for (let attempt = 1; attempt < attempts; attempt++) {
            await turn();
            expect(call).toHaveBeenCalledTimes(attempt);
            const event = events[attempt - 1] as { error: unknown; attempt: number; delay: number };
            expect(event).toMatchObject({ error: failures[attempt - 1], attempt });
            const { retryAfter } = failures[attempt - 1] as { retryAfter: number | null };
            expect(event.delay).toBeGreaterThanOrEqual((retryAfter ?? 0) - 0.0005);
            // rounded to the microsecond: half of one away at most, as 35.4375 ms is
            const isAbout = (exact: number) => expect(Math.abs(event.delay - exact)).toBeLessThan(0.000_501);
            if (event.delay > options.maxBackoff) isAbout(retryAfter as number);
            if (options.jitter === "none") {
              const backoff = Math.min(options.maxBackoff, options.backoff * options.factor ** (attempt - 1));
              isAbout(Math.max(backoff, retryAfter ?? 0));
            }
            if (event.delay > 0) {
              clock.advance(event.delay - 0.001);
              await turn();
              expect(call).toHaveBeenCalledTimes(attempt);
            }
            clock.advance(event.delay > 0 ? 0.001 : 0);
          }
          await turn();
          expect(call).toHaveBeenCalledTimes(attempts);
          expect(events).toHaveLength(attempts - 1);
          if (failures.length < attempts) {
            expect(outcome).toEqual({ settled: true, value: "done" });
          } else {
            expect(outcome.error).toBeInstanceOf(RetryLimitReachedError);
            expect(outcome.error).toMatchObject({ code: "ERR_RETRY_LIMIT_REACHED", attempts });
            expect((outcome.error as Error).cause).toBe(failures[attempts - 1]);
          }
        },
      ),
      { examples: [[{ retries: 5, backoff: 7, factor: 1.5, maxBackoff: 36, jitter: "none" }, nothingAsked, noChance]] },
    );
  });

  it("never early on the platform's timers", async () => {
    const delays: number[] = [];
    const stamps: number[] = [];
    const call = retry({
      retries: 6,
      backoff: 1.3,
      factor: 1.6,
      jitter: "equal",
      onRetry: (e) => delays.push(e.delay),
    })(async () => {
      stamps.push(performance.now());
      throw new Error("again");
    });
    await expect(call()).rejects.toBeInstanceOf(RetryLimitReachedError);
    expect(stamps).toHaveLength(7);
    for (const [index, delay] of delays.entries()) {
      // the clock shows whole microseconds
      expect((stamps[index + 1] as number) - (stamps[index] as number)).toBeGreaterThan(delay - 0.001);
    }
  });

  it("each attempt passes what stands within", async () => {
    const { clock, wrap } = manual({ retries: 3, jitter: "none" });
    const asked: number[] = [];
    const limiter = wrapper(async (call) => {
      asked.push(clock.now() / 1000);
      return call();
    });
    const outcome = outcomeOf(compose(wrap, limiter)(failing("one", "two"))());
    for (const delay of [100, 200]) {
      await turn();
      clock.advance(delay);
    }
    await turn();
    expect(outcome.value).toBe("done");
    expect(asked).toEqual([0, 100, 300]);
  });

  it("keeps name, this, arguments and type; what is thrown at once becomes a rejection", async () => {
    const sum = retry({ retries: 0 })(function add(this: { base: number }, one: number, other: number): number {
      if (one < 0) throw new TypeError("negative");
      return this.base + one + other;
    });
    expectTypeOf(sum).toEqualTypeOf<(this: { base: number }, one: number, other: number) => Promise<number>>();
    expect(sum.name).toBe("add");
    expect(sum).toHaveLength(2);
    expect(await sum.call({ base: 1 }, 2, 3)).toBe(6);
    const thrown = sum.call({ base: 1 }, -1, 0);
    await expect(thrown).rejects.toThrow("negative");
  });

  it("decorates a method", async () => {
    class Api {
      failures = 2;
      @retry({ retries: 2, backoff: 0 })
      async load(name: string): Promise<string> {
        if (this.failures-- > 0) throw new Error("again");
        return `${name} loaded`;
      }
    }
    expect(await new Api().load("it")).toBe("it loaded");
  });
});

describe("law R2", () => {
  it("an error that is not retried propagates at once, the very same", async () => {
    const plain = new Error("no");
    const cases: [RetryOptions, unknown][] = [
      [{ retries: 3 }, new TypeError("bug")],
      [{ retries: 3 }, new DOMException("stop", "AbortError")],
      [{ retries: 3 }, refusal(Number.POSITIVE_INFINITY)],
      [{ retries: 0 }, new RangeError("bug")],
      [{ retries: 3, when: () => false }, plain],
      [{ retries: 3, when: [] }, plain],
      [{ retries: 3, when: [TypeError] }, plain],
      [{ retries: 3, when: () => true, retryAfter: () => Number.POSITIVE_INFINITY }, plain],
      [{ retries: 3, when: [RateLimitExceededError] }, refusal(Number.POSITIVE_INFINITY)],
      [{ retries: 3, budget: { ratio: 0 } }, plain],
      [{ retries: 3, when: [Error] }, "not an object"],
    ];
    for (const [options, error] of cases) {
      const onRetry = vi.fn();
      const call = failing(error);
      await expect(retry({ ...options, onRetry })(call)()).rejects.toBe(error);
      expect(call).toHaveBeenCalledTimes(1);
      expect(onRetry).not.toHaveBeenCalled();
    }
  });

  it("so does one that comes after others were retried", async () => {
    const final = new TypeError("bug");
    const call = failing(new Error("one"), new Error("two"), final);
    await expect(retry({ retries: 2, backoff: 0 })(call)()).rejects.toBe(final);
    expect(call).toHaveBeenCalledTimes(3);
  });

  it("abort stops in any phase, at once, with the signal's reason", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ takes: fc.nat(20), fails: fc.boolean() }), { minLength: 1, maxLength: 6 }),
        fc.nat(150),
        async (attempts, abortAt) => {
          const controller = new AbortController();
          const { clock, wrap } = manual({
            retries: 5,
            backoff: 10,
            jitter: "none",
            factor: 1,
            signal: controller.signal,
          });
          const ends: { at: number; end: () => void }[] = [];
          const now = (): number => clock.now() / 1000;
          let started = 0;
          const call = wrap(async () => {
            const { takes, fails } = attempts[started++] ?? { takes: 0, fails: false };
            if (takes > 0) await new Promise<void>((end) => ends.push({ at: now() + takes, end }));
            if (fails) throw new Error("again");
          });
          const outcome = outcomeOf(call());
          const reason = { aborted: abortAt };
          let [startedBefore, settledBefore] = [0, false];
          for (let tick = 0; tick <= 200; tick++) {
            await turn();
            if (tick === abortAt) {
              [startedBefore, settledBefore] = [started, outcome.settled];
              controller.abort(reason);
              await turn();
              expect(outcome.settled).toBe(true);
              if (!settledBefore) expect(outcome.error).toBe(reason);
            }
            for (const { at, end } of ends) if (at === tick) end();
            await turn();
            clock.advance(1);
          }
          expect(started).toBe(startedBefore);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("before the first attempt, too", async () => {
    const call = failing();
    const signal = AbortSignal.abort("gone");
    await expect(retry({ retries: 3, signal })(call)()).rejects.toBe("gone");
    expect(call).not.toHaveBeenCalled();
  });

  it("and from within: an attempt, onRetry, and the moment between delay and attempt", async () => {
    for (const place of ["attempt", "endless attempt", "onRetry", "between"]) {
      const controller = new AbortController();
      const { signal } = controller;
      const abortIn = (here: string): void => {
        if (here === place) controller.abort(place);
      };
      const when = vi.fn(() => true);
      const onRetry = vi.fn(() => abortIn("onRetry"));
      const { clock, wrap } = manual({ retries: 3, jitter: "none", signal, when, onRetry });
      const call = vi.fn(async () => {
        abortIn("attempt");
        abortIn("endless attempt");
        if (place === "endless attempt") await new Promise(() => undefined);
        throw new Error("again");
      });
      const outcome = outcomeOf(wrap(call)());
      await turn();
      if (place === "between") {
        clock.advance(100);
        abortIn("between");
        await turn();
      }
      expect(outcome).toMatchObject({ settled: true, error: place });
      expect(call).toHaveBeenCalledTimes(1);
      const asked = place.endsWith("attempt") ? 0 : 1;
      expect([when.mock.calls.length, onRetry.mock.calls.length]).toEqual([asked, asked]);
    }
  });

  it("also while an async onRetry goes on, whose failure is nobody's then", async () => {
    const controller = new AbortController();
    let fail: (error: unknown) => void = () => undefined;
    // what callers pass though the type says that nothing comes back
    const onRetry: () => unknown = () => new Promise((_, reject) => (fail = reject));
    const { wrap } = manual({ retries: 3, signal: controller.signal, onRetry });
    const call = failing("again");
    const outcome = outcomeOf(wrap(call)());
    await turn();
    expect(outcome.settled).toBe(false);
    controller.abort("enough");
    await turn();
    expect(outcome).toMatchObject({ settled: true, error: "enough" });
    fail(new Error("too late"));
    await turn();
    expect(call).toHaveBeenCalledTimes(1);
  });

  it("leaves no timer behind", async () => {
    vi.useFakeTimers();
    const controller = new AbortController();
    const outcome = outcomeOf(retry({ retries: 3, signal: controller.signal })(failing("one"))());
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(1);
    controller.abort("enough");
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(0);
    expect(outcome.error).toBe("enough");
  });

  it("watches a signal that thousands share without a leak, or a warning of one", async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on("warning", note);
    const { signal } = new AbortController();
    const add = vi.spyOn(signal, "addEventListener");
    const remove = vi.spyOn(signal, "removeEventListener");
    const call = retry({ retries: 1, backoff: 0, signal })(failing(...Array.from({ length: 1000 }, String)));
    await Promise.all(Array.from({ length: 1000 }, async () => call()));
    await turn();
    process.off("warning", note);
    expect(warnings).toEqual([]);
    expect(add.mock.calls.length).toBeGreaterThan(0);
    expect(remove).toHaveBeenCalledTimes(add.mock.calls.length);
  });
});

// ── Options ──────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("retries", () => {
  it("of 0 means one attempt, and its failure still says that attempts ran out", async () => {
    const failure = new Error("only");
    const error = await retry({ retries: 0 })(failing(failure))().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RetryLimitReachedError);
    expect(error).toMatchObject({ attempts: 1, cause: failure });
  });

  it("of Infinity go on until it is well, and leave the event loop free", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const endless = retry({ retries: Number.POSITIVE_INFINITY, backoff: 0, signal })(() => {
      throw new Error("again");
    });
    setTimeout(() => controller.abort("enough"), 20);
    await expect(endless()).rejects.toBe("enough");
  });

  it("start anew with each call", async () => {
    const { clock, wrap } = manual({ retries: 1, jitter: "none" });
    const call = wrap(failing("one", "two"));
    const outcomes = [outcomeOf(call()), outcomeOf(call())];
    await turn();
    clock.advance(100);
    await turn();
    expect(outcomes.map(({ value }) => value)).toEqual(["done", "done"]);
  });
});

describe("defaults", () => {
  it("are full jitter of 100 ms, doubled, up to 30 s", async () => {
    const delays: number[] = [];
    const { clock, wrap } = manual({ retries: 11, onRetry: ({ delay }) => delays.push(delay) }, () => 0.5);
    const outcome = outcomeOf(wrap(failing(...Array.from({ length: 12 }, String)))());
    for (let attempt = 0; attempt < 12; attempt++) {
      await turn();
      clock.advance(15_000);
    }
    expect(delays).toEqual([50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
    expect(outcome.settled).toBe(true);
  });
});

describe("when", () => {
  it("gets the error and the number of the attempt, after each failure, the last too", async () => {
    const when = vi.fn((_error: unknown, attempt: number) => attempt < 9);
    const call = failing("one", "two", "three");
    await expect(retry({ retries: 2, backoff: 0, when })(call)()).rejects.toBeInstanceOf(RetryLimitReachedError);
    expect(when.mock.calls).toEqual([
      ["one", 1],
      ["two", 2],
      ["three", 3],
    ]);
  });

  it("of classes retries their instances, also those that the default would not", async () => {
    const call = failing(new RangeError("one"), new TypeError("two"));
    expect(await retry({ retries: 2, backoff: 0, when: [TypeError, RangeError] })(call)()).toBe("done");
  });

  it.each(["when", "retryAfter", "onRetry"])("what %s throws rejects the call", async (option) => {
    const mistake = new Error("in the option");
    const throws = { [option]: () => Promise.reject(mistake) } as Partial<RetryOptions>;
    const throwsAtOnce = {
      [option]: () => {
        throw mistake;
      },
    } as Partial<RetryOptions>;
    await expect(retry({ retries: 3, ...throwsAtOnce })(failing("one"))()).rejects.toBe(mistake);
    if (option === "onRetry") await expect(retry({ retries: 3, ...throws })(failing("one"))()).rejects.toBe(mistake);
  });
});

describe("retryAfter", () => {
  it.each<[string, unknown, number]>([
    ["a refusal", refusal(1234.567), 1234.567],
    ["a refusal that is shorter than the backoff", refusal(1), 100],
    ["a Response", new Response(null, { headers: { "Retry-After": "2" } }), 2000],
    ["headers of a hostile server", { headers: { "Retry-After": "99999999999999999999" } }, day],
    ["malformed headers", { headers: { "Retry-After": "whenever" } }, 100],
  ])("of %s", async (_what, error, expected) => {
    expect(await delayAfter(error)).toBe(expected);
  });

  it.each([
    [250, 250],
    [0.4567, 100],
    [100.4567, 100.457],
    [2 * day, day],
    [Number.MAX_VALUE, day],
    [-5, 100],
    [Number.NaN, 100],
    [Number.NEGATIVE_INFINITY, 100],
    [undefined, 100],
    ["250" as unknown as number, 100],
  ])("of your own that says %s is a delay of %d ms", async (says, expected) => {
    expect(await delayAfter(new Error("any"), { retryAfter: () => says })).toBe(expected);
  });

  it("waits a day on one timer after another, none longer than the platform can", async () => {
    vi.useFakeTimers();
    const set = vi.spyOn(globalThis, "setTimeout");
    const call = failing("one");
    const outcome = outcomeOf(retry({ retries: 1, backoff: "60d", maxBackoff: "60d", jitter: "none" })(call)());
    await vi.advanceTimersByTimeAsync(60 * day - 1);
    expect(call).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(outcome.value).toBe("done");
    expect(set.mock.calls.length).toBeGreaterThan(1);
    for (const [, delay] of set.mock.calls) expect(delay).toBeLessThanOrEqual(2 ** 31 - 1);
  });
});

describe("budget", () => {
  it("bounds the retries of all calls of a wrapper together; a failure beyond it propagates as it is", async () => {
    const failure = new Error("outage");
    const call = vi.fn(() => Promise.reject(failure));
    const { clock, wrap } = manual({ retries: 3, jitter: "none", budget: { ratio: 0.2 } });
    const wrapped = wrap(call);
    const outcomes = Array.from({ length: 100 }, () => outcomeOf(wrapped()));
    for (let round = 0; round < 4; round++) {
      await turn();
      clock.advance(1000);
    }
    await turn();
    expect(call).toHaveBeenCalledTimes(120);
    expect(outcomes.filter(({ error }) => error === failure).length).toBe(100);
  });

  it("lets a lone call be retried by its reserve", async () => {
    const call = failing("one");
    expect(await retry({ retries: 1, backoff: 0, budget: { ratio: 0, minPerSecond: 1 } })(call)()).toBe("done");
  });
});

describe("options", () => {
  const wrong: [unknown, new (...args: never[]) => Error, string, string][] = [
    [undefined, TypeError, "ERR_INVALID_ARGUMENT", "options"],
    [null, TypeError, "ERR_INVALID_ARGUMENT", "options"],
    [3, TypeError, "ERR_INVALID_ARGUMENT", "options"],
    [{}, TypeError, "ERR_INVALID_LIMIT", "retries"],
    [{ retries: "3" }, TypeError, "ERR_INVALID_LIMIT", "retries"],
    [{ retries: -1 }, RangeError, "ERR_INVALID_LIMIT", "retries"],
    [{ retries: 1.5 }, RangeError, "ERR_INVALID_LIMIT", "retries"],
    [{ retries: Number.NaN }, RangeError, "ERR_INVALID_LIMIT", "retries"],
    [{ retries: 1, backoff: -1 }, RangeError, "ERR_INVALID_DURATION", "backoff"],
    [{ retries: 1, backoff: "fast" }, TypeError, "ERR_INVALID_DURATION", "backoff"],
    [{ retries: 1, backoff: Number.NaN }, RangeError, "ERR_INVALID_DURATION", "backoff"],
    [{ retries: 1, maxBackoff: Number.POSITIVE_INFINITY }, RangeError, "ERR_INVALID_DURATION", "maxBackoff"],
    [{ retries: 1, factor: 0.5 }, RangeError, "ERR_INVALID_ARGUMENT", "factor"],
    [{ retries: 1, factor: Number.NaN }, RangeError, "ERR_INVALID_ARGUMENT", "factor"],
    [{ retries: 1, factor: Number.POSITIVE_INFINITY }, RangeError, "ERR_INVALID_ARGUMENT", "factor"],
    [{ retries: 1, factor: "2" }, TypeError, "ERR_INVALID_ARGUMENT", "factor"],
    [{ retries: 1, jitter: "some" }, TypeError, "ERR_INVALID_ARGUMENT", "jitter"],
    [{ retries: 1, jitter: "toString" }, TypeError, "ERR_INVALID_ARGUMENT", "jitter"],
    [{ retries: 1, when: "always" }, TypeError, "ERR_INVALID_ARGUMENT", "when"],
    [{ retries: 1, when: TypeError }, TypeError, "ERR_INVALID_ARGUMENT", "when"],
    [{ retries: 1, when: class Broken extends Error {} }, TypeError, "ERR_INVALID_ARGUMENT", "when"],
    [{ retries: 1, when: 5 }, TypeError, "ERR_INVALID_ARGUMENT", "when"],
    [{ retries: 1, when: [Error, "Error"] }, TypeError, "ERR_INVALID_ARGUMENT", "every class in when"],
    [{ retries: 1, retryAfter: 5 }, TypeError, "ERR_INVALID_ARGUMENT", "retryAfter"],
    [{ retries: 1, budget: 0.2 }, TypeError, "ERR_INVALID_ARGUMENT", "budget"],
    [{ retries: 1, budget: null }, TypeError, "ERR_INVALID_ARGUMENT", "budget"],
    [{ retries: 1, budget: {} }, TypeError, "ERR_INVALID_ARGUMENT", "budget.ratio"],
    [{ retries: 1, budget: { ratio: 20 } }, RangeError, "ERR_INVALID_ARGUMENT", "budget.ratio"],
    [{ retries: 1, budget: { ratio: Number.NaN } }, RangeError, "ERR_INVALID_ARGUMENT", "budget.ratio"],
    [
      { retries: 1, budget: { ratio: 0.2, minPerSecond: -1 } },
      RangeError,
      "ERR_INVALID_ARGUMENT",
      "budget.minPerSecond",
    ],
    [{ retries: 1, signal: {} }, TypeError, "ERR_INVALID_ARGUMENT", "signal"],
    [{ retries: 1, onRetry: "log" }, TypeError, "ERR_INVALID_ARGUMENT", "onRetry"],
  ];
  it.each(wrong)("%o are refused", (options, type, code, word) => {
    const make = (): unknown => retry(options as RetryOptions);
    expect(make).toThrow(type);
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(`Expected ${word} `) }));
  });

  it("may go to their extremes", async () => {
    const extreme = { backoff: 0, maxBackoff: 0, factor: Number.MAX_VALUE, budget: { ratio: 1, minPerSecond: 1e6 } };
    expect(await retry({ retries: 2, ...extreme })(failing("one", "two"))()).toBe("done");
  });
});
