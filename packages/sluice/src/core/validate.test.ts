import { describe, expect, it } from "vitest";
import {
  all,
  type CostOptions,
  fixedWindow,
  type KeyedLimiter,
  type LimiterOptions,
  memoryStore,
  type Policy,
  rateLimiter,
  slidingCounter,
  slidingWindow,
  tokenBucket,
  type WaitOptions,
} from "../index.js";
import { manualClock } from "../testing/manual-clock.js";
import { checkSignal, costOf, countOrInfinity } from "./validate.js";

/** What a wrong argument has to come to: the kind, the code, and a sentence that names what was expected and what came. */
function mistake(kind: typeof TypeError | typeof RangeError, code: string, came: string | RegExp) {
  return (run: () => unknown): void => {
    let thrown: unknown;
    try {
      run();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(kind);
    const { code: got, message } = thrown as { code: string; message: string };
    expect({ code: got, message }).toEqual({ code, message: expect.stringMatching(came) });
    expect(message).toMatch(/[.:] ?|\.$/);
    expect(message.endsWith(".")).toBe(true);
  };
}
const rangeOf = (code: string, came: string | RegExp) => mistake(RangeError, code, came);
const typeOf = (code: string, came: string | RegExp) => mistake(TypeError, code, came);

const numbers: readonly (readonly [unknown, (code: string) => (run: () => unknown) => void])[] = [
  [0, (code) => rangeOf(code, /whole number from 1 to \d+, got 0\.$/)],
  [-1, (code) => rangeOf(code, /got -1\.$/)],
  [0.5, (code) => rangeOf(code, /got 0\.5\.$/)],
  [Number.NaN, (code) => rangeOf(code, /got NaN\.$/)],
  [Infinity, (code) => rangeOf(code, /got Infinity\.$/)],
  [2 ** 53, (code) => rangeOf(code, /got 9007199254740992\.$/)],
  ["3", (code) => typeOf(code, /got "3" \(string\)\.$/)],
  [3n, (code) => typeOf(code, /got 3n \(bigint\)\.$/)],
  [null, (code) => typeOf(code, /got null \(object\)\.$/)],
  [{}, (code) => typeOf(code, /got an object \(object\)\.$/)],
];

describe("policies", () => {
  const limits: Record<string, (limit: number) => Policy> = {
    fixedWindow: (limit) => fixedWindow({ limit, window: 1000 }),
    slidingWindow: (limit) => slidingWindow({ limit, window: 1000 }),
    slidingCounter: (limit) => slidingCounter({ limit, window: 1000 }),
    "tokenBucket rate": (rate) => tokenBucket({ rate, per: 1000 }),
    "tokenBucket burst": (burst) => tokenBucket({ rate: 1, per: 1000, burst }),
  };
  for (const [name, make] of Object.entries(limits)) {
    it.each(numbers)(`${name}: a limit of %s`, (value, expected) => {
      expected("ERR_INVALID_LIMIT")(() => make(value as number));
    });
  }

  it.each([undefined, "", "x"])("a limit that is missing or of another kind: %s", (value) => {
    typeOf(
      "ERR_INVALID_LIMIT",
      /Expected limit to be a whole number/,
    )(() => fixedWindow({ limit: value as never, window: 1 }));
  });

  it("a limit beyond exact integers", () => {
    rangeOf("ERR_INVALID_LIMIT", /to 4503599627370495/)(() => fixedWindow({ limit: 2 ** 52, window: 1 }));
    rangeOf("ERR_INVALID_LIMIT", /to 140737488355328/)(() => slidingWindow({ limit: 2 ** 47 + 1, window: 1 }));
    expect(fixedWindow({ limit: 2 ** 52 - 1, window: 1 }).limit).toBe(2 ** 52 - 1);
    for (const refill of ["continuous", "interval"] as const) {
      const bucket = () => tokenBucket({ rate: 999_983, per: "30d", burst: 2 ** 50, refill });
      rangeOf("ERR_INVALID_LIMIT", /exact integers.*1125899906842624 at 999983 per 2592000000000 µs/)(bucket);
    }
  });

  const windows: Record<string, (window: never) => Policy> = {
    fixedWindow: (window) => fixedWindow({ limit: 1, window }),
    slidingWindow: (window) => slidingWindow({ limit: 1, window }),
    slidingCounter: (window) => slidingCounter({ limit: 1, window }),
    tokenBucket: (per) => tokenBucket({ rate: 1, per }),
  };
  for (const [name, make] of Object.entries(windows)) {
    it.each([
      [0, rangeOf("ERR_INVALID_DURATION", /got 0\.$/)],
      [0.0004, rangeOf("ERR_INVALID_DURATION", /from 0\.001 ms to \d+ days, got 0\.0004\.$/)],
      [-5, rangeOf("ERR_INVALID_DURATION", /got -5\.$/)],
      [Number.NaN, rangeOf("ERR_INVALID_DURATION", /got NaN\.$/)],
      [Infinity, rangeOf("ERR_INVALID_DURATION", /got Infinity\.$/)],
      [2 ** 51, rangeOf("ERR_INVALID_DURATION", /got 2251799813685248\.$/)],
      ["0s", rangeOf("ERR_INVALID_DURATION", /got "0s"\.$/)],
      ["-1s", rangeOf("ERR_INVALID_DURATION", /got "-1s"\.$/)],
      ["9999999w", rangeOf("ERR_INVALID_DURATION", /got "9999999w"\.$/)],
      ["10", typeOf("ERR_INVALID_DURATION", /'250ms'.*got "10"\.$/)],
      ["10 sec", typeOf("ERR_INVALID_DURATION", /got "10 sec"\.$/)],
      ["10  s", typeOf("ERR_INVALID_DURATION", /got "10 {2}s"\.$/)],
      ["1h30m", typeOf("ERR_INVALID_DURATION", /got "1h30m"\.$/)],
      ["s", typeOf("ERR_INVALID_DURATION", /got "s"\.$/)],
      ["", typeOf("ERR_INVALID_DURATION", /got ""\.$/)],
      [undefined, typeOf("ERR_INVALID_DURATION", /got undefined\.$/)],
      [[], typeOf("ERR_INVALID_DURATION", /got an array of 0\.$/)],
    ])(`${name}: a window of %j`, (value, expected) => {
      expected(() => make(value as never));
    });
  }

  it.each([
    ["250ms", 250],
    ["10s", 10_000],
    ["1m", 60_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    ["1 w", 604_800_000],
    ["1.5s", 1500],
    ["0.001ms", 0.001],
    [12.3456, 12.346],
  ] as const)("a window of %j is %d ms", (window, expected) => {
    expect(fixedWindow({ limit: 1, window }).window).toBe(expected);
  });

  it("names, anchors, refills and options", () => {
    typeOf("ERR_INVALID_NAME", /got null/)(() => fixedWindow({ limit: 1, window: 1, name: null as never }));
    typeOf("ERR_INVALID_ARGUMENT", /got null\.$/)(() => fixedWindow({ limit: 1, window: 1, anchor: null as never }));
    typeOf("ERR_INVALID_ARGUMENT", /got null\.$/)(() => tokenBucket({ rate: 1, per: 1, refill: null as never }));
    rangeOf("ERR_INVALID_NAME", /printable ASCII, got "é"\.$/)(() => fixedWindow({ limit: 1, window: 1, name: "é" }));
    rangeOf("ERR_INVALID_NAME", /got ""\.$/)(() => fixedWindow({ limit: 1, window: 1, name: "" }));
    rangeOf("ERR_INVALID_NAME", /got "a\\nb"\.$/)(() => slidingWindow({ limit: 1, window: 1, name: "a\nb" }));
    rangeOf("ERR_INVALID_NAME", /1 to 128/)(() => slidingWindow({ limit: 1, window: 1, name: "x".repeat(129) }));
    typeOf("ERR_INVALID_NAME", /got 7 \(number\)\.$/)(() => tokenBucket({ rate: 1, per: 1, name: 7 as never }));
    expect(slidingWindow({ limit: 1, window: 1, name: "x".repeat(128) }).name).toHaveLength(128);
    typeOf(
      "ERR_INVALID_ARGUMENT",
      /'first' or 'epoch', got "last"/,
    )(() => fixedWindow({ limit: 1, window: 1, anchor: "last" as never }));
    typeOf(
      "ERR_INVALID_ARGUMENT",
      /'continuous' or 'interval', got 1/,
    )(() => tokenBucket({ rate: 1, per: 1, refill: 1 as never }));
    for (const make of [fixedWindow, slidingWindow, slidingCounter, tokenBucket] as ((options: never) => Policy)[]) {
      typeOf("ERR_INVALID_ARGUMENT", /object of options, got undefined\.$/)(() => make(undefined as never));
      typeOf("ERR_INVALID_ARGUMENT", /object of options, got null\.$/)(() => make(null as never));
      typeOf("ERR_INVALID_ARGUMENT", /object of options, got 5\.$/)(() => make(5 as never));
    }
  });

  it("are immutable, print as their promise, and say limit and window", () => {
    const policy = tokenBucket({ rate: 7, per: "1s", burst: 10 });
    expect(Object.isFrozen(policy)).toBe(true);
    expect({ ...policy }).toEqual({ algorithm: "token-bucket", name: "default", limit: 10, window: 1428.572 });
    expect(tokenBucket({ rate: 3, per: "1s", burst: 7, refill: "interval" })).toMatchObject({ limit: 7, window: 3000 });
    expect(fixedWindow({ limit: 4, window: "2s", anchor: "epoch", name: "a b" })).toEqual({
      algorithm: "fixed-window",
      name: "a b",
      limit: 4,
      window: 2000,
    });
    expect(slidingCounter({ limit: 4, window: "2s" }).algorithm).toBe("sliding-counter");
    expect(slidingWindow({ limit: 4, window: "2s" }).algorithm).toBe("sliding-window");
  });
});

describe("limiters", () => {
  const policy = fixedWindow({ limit: 5, window: "1h" });

  it.each([
    ["nothing", undefined, typeOf("ERR_INVALID_POLICY", /got undefined\.$/)],
    ["no policies", [], typeOf("ERR_INVALID_POLICY", /at least one policy/)],
    ["a look-alike", { ...policy }, typeOf("ERR_INVALID_POLICY", /got an object\.$/)],
    ["a hole", [policy, null], typeOf("ERR_INVALID_POLICY", /got null\.$/)],
    ["one name twice", [policy, policy], typeOf("ERR_DUPLICATE_POLICY", /both named "default"/)],
  ])("policies: %s", (_, policies, expected) => {
    expected(() => rateLimiter(policies as never));
  });

  it.each<readonly [string, unknown, (run: () => unknown) => void]>([
    ["null", null, typeOf("ERR_INVALID_ARGUMENT", /options to be an object, got null\.$/)],
    ["a number", 5, typeOf("ERR_INVALID_ARGUMENT", /options to be an object, got 5\.$/)],
    [
      "a store that is none",
      { store: {} },
      typeOf("ERR_INVALID_ARGUMENT", /memoryStore or redisStore, got an object\.$/),
    ],
    ["a store that is null", { store: null }, typeOf("ERR_INVALID_ARGUMENT", /memoryStore or redisStore, got null\.$/)],
    ["a store by name", { store: "memory" }, typeOf("ERR_INVALID_ARGUMENT", /got "memory"\.$/)],
    ["a name with a line break", { name: "a\r\nb" }, rangeOf("ERR_INVALID_NAME", /limiter's name/)],
    ["shadow by word", { shadow: "yes" }, typeOf("ERR_INVALID_ARGUMENT", /shadow to be true or false, got "yes"\.$/)],
    [
      "a typo",
      { whenStoreFails: "alow" },
      typeOf("ERR_INVALID_ARGUMENT", /'throw', 'allow', 'deny' or a limiter, got "alow"\.$/),
    ],
    ["an answer that is none", { whenStoreFails: {} }, typeOf("ERR_INVALID_ARGUMENT", /whenStoreFails/)],
    ["a timeout of nothing", { timeout: 0 }, rangeOf("ERR_INVALID_DURATION", /timeout.*got 0\.$/)],
    ["a timeout by word", { timeout: "soon" }, typeOf("ERR_INVALID_DURATION", /timeout.*got "soon"\.$/)],
  ])("options: %s", (_, options, expected) => {
    expected(() => rateLimiter(policy, options as LimiterOptions));
  });

  it("a name that is taken by other policies, until that limiter closes", async () => {
    const store = memoryStore();
    const first = rateLimiter(policy, { store, name: "api" });
    first.consumeSync("key");
    rangeOf(
      "ERR_LIMITER_NAME_TAKEN",
      /"api"/,
    )(() => rateLimiter(fixedWindow({ limit: 6, window: "1h" }), { store, name: "api" }));
    await first.close();
    const second = rateLimiter(fixedWindow({ limit: 6, window: "1h" }), { store, name: "api" });
    expect(second.peekSync("key").remaining).toBe(6);
    expect(store.size).toBe(0);
  });

  it.each([
    ["zero", { maxKeys: 0 }],
    ["a fraction", { maxKeys: 1.5 }],
    ["NaN", { maxKeys: Number.NaN }],
    ["a clock without now", { clock: {} }],
    ["a clock that is null", { clock: null }],
    ["no options", null],
  ])("a memory store with %s", (_, options) => {
    expect(() => memoryStore(options as never)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
  });
});

describe("calls", () => {
  const clock = manualClock(1_000_000);
  const store = memoryStore({ clock });
  const limiter = rateLimiter(slidingWindow({ limit: 5, window: "1h" }), { store });
  const keyed = limiter.for("key");
  const together = all(keyed, limiter.for("other"));

  const verbs: Record<string, (key: string, options?: WaitOptions) => unknown> = {
    consumeSync: (key, options) => limiter.consumeSync(key, options),
    peekSync: (key, options) => limiter.peekSync(key, options),
    refundSync: (key, options) => limiter.refundSync(key, options),
    consume: (key, options) => limiter.consume(key, options),
    peek: (key, options) => limiter.peek(key, options),
    wait: (key, options) => limiter.wait(key, options),
    reserve: (key, options) => limiter.reserve(key, options),
    refund: (key, options) => limiter.refund(key, options),
    charge: (key, options) => limiter.charge(key, options),
    run: (key, options) => limiter.run(key, () => {}, options),
    "all consume": (key, options) => all(limiter.for(key)).consume(options),
    "all wait": (key, options) => all(limiter.for(key)).wait(options),
  };

  /** Runs a call that has to fail, be it at once or later, as one that fails at once; nothing may have changed. */
  async function failing(call: () => unknown): Promise<() => never> {
    let thrown: unknown;
    try {
      await call();
    } catch (error) {
      thrown = error;
    }
    expect(limiter.peekSync("key")).toMatchObject({ remaining: 5, resetAfter: 0 });
    expect(store.size).toBe(0);
    return () => {
      throw thrown;
    };
  }

  for (const [name, verb] of Object.entries(verbs)) {
    it.each(numbers)(`${name}: a cost of %s`, async (cost, expected) => {
      expected("ERR_INVALID_COST")(await failing(() => verb("key", { cost } as CostOptions)));
    });

    it(`${name}: keys and options`, async () => {
      rangeOf("ERR_INVALID_KEY", /1 to 65536 characters, got 0\.$/)(await failing(() => verb("")));
      rangeOf("ERR_INVALID_KEY", /got 65537\.$/)(await failing(() => verb("x".repeat(65_537))));
      typeOf("ERR_INVALID_KEY", /got undefined \(undefined\)\.$/)(await failing(() => verb(undefined as never)));
      typeOf("ERR_INVALID_KEY", /got 5 \(number\)\.$/)(await failing(() => verb(5 as never)));
      typeOf("ERR_INVALID_KEY", /got an object \(object\)\.$/)(await failing(() => verb({ length: 3 } as never)));
      for (const options of [5, "5", null]) {
        typeOf("ERR_INVALID_ARGUMENT", /options to be an object/)(await failing(() => verb("key", options as never)));
      }
    });
  }

  it.each(["wait", "reserve", "run", "all wait"])("%s: maxWait and signal", async (name) => {
    const verb = verbs[name] as (key: string, options: WaitOptions) => unknown;
    rangeOf("ERR_INVALID_DURATION", /maxWait.*got -1\.$/)(await failing(() => verb("key", { maxWait: -1 })));
    rangeOf("ERR_INVALID_DURATION", /got NaN\.$/)(await failing(() => verb("key", { maxWait: Number.NaN })));
    rangeOf(
      "ERR_INVALID_DURATION",
      /got "1e400s"\.$/,
    )(await failing(() => verb("key", { maxWait: "1e400s" as never })));
    typeOf("ERR_INVALID_DURATION", /got "soon"\.$/)(await failing(() => verb("key", { maxWait: "soon" as never })));
    typeOf(
      "ERR_INVALID_ARGUMENT",
      /AbortSignal, got an object\.$/,
    )(await failing(() => verb("key", { signal: new AbortController() as never })));
    typeOf(
      "ERR_INVALID_ARGUMENT",
      /AbortSignal, got null\.$/,
    )(await failing(() => verb("key", { signal: null as never })));
  });

  it("tasks, keyed limiters, wrappers", async () => {
    typeOf(
      "ERR_INVALID_ARGUMENT",
      /task to be a function, got 5\.$/,
    )(await failing(() => limiter.run("key", 5 as never)));
    typeOf("ERR_INVALID_ARGUMENT", /task to be a function/)(await failing(() => keyed.run(undefined as never)));
    typeOf("ERR_INVALID_ARGUMENT", /task to be a function/)(await failing(() => together.run(null as never)));
    rangeOf("ERR_INVALID_KEY", /got 0\.$/)(() => limiter.for(""));
    rangeOf("ERR_INVALID_COST", /got 0\.$/)(() => limiter.for("key", { cost: 0 }));
    for (const wrong of [5, null, "5"]) {
      typeOf("ERR_INVALID_ARGUMENT", /options to be an object/)(() => limiter.for("key", wrong as never));
    }
    rangeOf("ERR_INVALID_KEY", /got 0\.$/)(await failing(() => limiter.reset("")));
    rangeOf("ERR_INVALID_KEY", /got 0\.$/)(() => limiter.resetSync(""));
    typeOf("ERR_INVALID_ARGUMENT", /at least one/)(() => all());
    for (const wrong of [undefined, null, {}, limiter, "key"]) {
      typeOf("ERR_INVALID_ARGUMENT", /limiter\.for\(key\), got/)(() => all(keyed, wrong as KeyedLimiter));
    }
    for (const wrong of [undefined, null, 5]) {
      typeOf("ERR_INVALID_ARGUMENT", /wrap to be given an object with a key/)(() => limiter.wrap(wrong as never));
    }
    typeOf("ERR_INVALID_KEY", /got undefined/)(() => limiter.wrap({} as never));
    rangeOf("ERR_INVALID_KEY", /got 0\.$/)(() => limiter.wrap({ key: "" }));
    rangeOf("ERR_INVALID_COST", /got 0\.$/)(() => limiter.wrap({ key: "key", cost: 0 }));
    typeOf(
      "ERR_INVALID_ARGUMENT",
      /'wait' or 'throw', got "never"/,
    )(() => limiter.wrap({ key: "key", whenLimited: "never" as never }));
    typeOf("ERR_INVALID_ARGUMENT", /AbortSignal/)(() => limiter.wrap({ key: "key", signal: 5 as never }));
    rangeOf("ERR_INVALID_KEY", /got 0\.$/)(await failing(() => limiter.wrap({ key: () => "" })(() => {})()));
    rangeOf(
      "ERR_INVALID_COST",
      /got 0\.$/,
    )(await failing(() => limiter.wrap({ key: "key", cost: () => 0 })(() => {})()));
    rangeOf("ERR_INVALID_DURATION", /got -1\.$/)(() => limiter.wrap({ key: "key", maxWait: -1 }));
  });
});

describe("what other parts check", () => {
  it("is a count, or no bound at all", () => {
    expect(countOrInfinity(Number.POSITIVE_INFINITY, "maxQueue", 0)).toBe(Number.POSITIVE_INFINITY);
    expect(countOrInfinity(0, "maxQueue", 0)).toBe(0);
    rangeOf(
      "ERR_INVALID_LIMIT",
      /^Expected maxQueue to be .* from 1 .*got 0\.$/,
    )(() => countOrInfinity(0, "maxQueue", 1));
    rangeOf("ERR_INVALID_LIMIT", /got -Infinity\.$/)(() => countOrInfinity(Number.NEGATIVE_INFINITY, "maxQueue", 0));
  });

  it("is a cost, by its name", () => {
    expect([costOf(undefined), costOf({}), costOf({ cost: undefined }), costOf({ cost: 7 })]).toEqual([1, 1, 1, 7]);
    rangeOf("ERR_INVALID_COST", /^Expected cost to be/)(() => costOf({ cost: 0 }));
    for (const wrong of [5, "5", null]) typeOf("ERR_INVALID_ARGUMENT", /options/)(() => costOf(wrong as never));
  });

  it("is a signal, or what behaves like one", () => {
    checkSignal(undefined);
    checkSignal(new AbortController().signal);
    checkSignal({ aborted: false, addEventListener: () => {} });
    const wrong = [null, "abort", { aborted: false }, { addEventListener: () => {} }];
    for (const each of wrong)
      typeOf("ERR_INVALID_ARGUMENT", /^Expected signal to be an AbortSignal/)(() => checkSignal(each));
    const callable = Object.assign(() => {}, { aborted: false, addEventListener: () => {} });
    typeOf("ERR_INVALID_ARGUMENT", /got a function\.$/)(() => checkSignal(callable));
  });
});
