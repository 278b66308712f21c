import { describe, expect, it } from "vitest";
import { configFromEnv, limiterFromConfig, policyFromConfig, type RateLimitConfig } from "./index.js";

const defaults: RateLimitConfig = {
  algorithm: "token-bucket",
  rate: 100,
  period: 60_000,
  burst: 100,
  keyPrefix: "sluice",
  includeHeaders: true,
  whenStoreFails: "throw",
  timeout: 100,
};

describe("configFromEnv", () => {
  it("has a default for everything, and reads the process's own environment", () => {
    expect(configFromEnv({})).toEqual(defaults);
    expect(configFromEnv()).toEqual(defaults);
  });

  it("takes empty variables for none", () => {
    expect(configFromEnv({ RATELIMIT_RATE: "", RATELIMIT_REDIS_URL: " ", RATELIMIT_BURST: undefined })).toEqual(
      defaults,
    );
  });

  it("reads every variable", () => {
    const env = {
      RATELIMIT_ALGORITHM: "sliding-window",
      RATELIMIT_RATE: "5",
      RATELIMIT_PERIOD: "1m",
      RATELIMIT_BURST: "9",
      RATELIMIT_REDIS_URL: "rediss://user:secret@host:6380/2",
      RATELIMIT_KEY_PREFIX: "shop",
      RATELIMIT_INCLUDE_HEADERS: "no",
      RATELIMIT_WHEN_STORE_FAILS: "deny",
      RATELIMIT_TIMEOUT: "1.5s",
      OTHER: "ignored",
    };
    expect(configFromEnv(env)).toEqual({
      algorithm: "sliding-window",
      rate: 5,
      period: 60_000,
      burst: 9,
      redisUrl: "rediss://user:secret@host:6380/2",
      keyPrefix: "shop",
      includeHeaders: false,
      whenStoreFails: "deny",
      timeout: 1500,
    });
  });

  it.each([
    ["RATELIMIT_PERIOD", "90", "period", 90_000],
    ["RATELIMIT_PERIOD", "0.5", "period", 500],
    ["RATELIMIT_PERIOD", "500ms", "period", 500],
    ["RATELIMIT_PERIOD", "1 d", "period", 86_400_000],
    ["RATELIMIT_TIMEOUT", "250", "timeout", 250],
    ["RATELIMIT_TIMEOUT", "2s", "timeout", 2000],
    ["RATELIMIT_RATE", " 7 ", "rate", 7],
    ["RATELIMIT_INCLUDE_HEADERS", "TRUE", "includeHeaders", true],
    ["RATELIMIT_INCLUDE_HEADERS", "0", "includeHeaders", false],
    ["RATELIMIT_ALGORITHM", "Fixed-Window", "algorithm", "fixed-window"],
  ] as const)("reads %s=%s", (name, value, property, expected) => {
    expect(configFromEnv({ [name]: value })[property]).toBe(expected);
  });

  it("sets the burst to the rate where it is not given", () => {
    expect(configFromEnv({ RATELIMIT_RATE: "7" }).burst).toBe(7);
  });

  it("lists every wrong variable, its value and what was expected, in one error", () => {
    const env = {
      RATELIMIT_ALGORITHM: "leaky",
      RATELIMIT_RATE: "0",
      RATELIMIT_PERIOD: "banana",
      RATELIMIT_BURST: "1.5",
      RATELIMIT_REDIS_URL: "http://user:secret@host",
      RATELIMIT_KEY_PREFIX: "schlüssel",
      RATELIMIT_INCLUDE_HEADERS: "maybe",
      RATELIMIT_WHEN_STORE_FAILS: "shrug",
      RATELIMIT_TIMEOUT: "-1",
    };
    let message = "";
    try {
      configFromEnv(env);
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toHaveProperty("code", "ERR_INVALID_ARGUMENT");
      ({ message } = error as Error);
    }
    expect(message.split("\n").slice(1)).toEqual([
      `RATELIMIT_ALGORITHM: expected one of 'fixed-window', 'sliding-window', 'sliding-counter', 'token-bucket', got "leaky"`,
      `RATELIMIT_RATE: expected a whole number from 1 to 4503599627370495, got "0"`,
      `RATELIMIT_PERIOD: expected seconds, or a number with its unit ('500ms', '10s', '1m', '2h', '1d'), got "banana"`,
      `RATELIMIT_BURST: expected a whole number from 1 to 4503599627370495, got "1.5"`,
      `RATELIMIT_REDIS_URL: expected a URL such as 'redis://host:6379', got "http://***@host"`,
      `RATELIMIT_KEY_PREFIX: expected 1 to 128 characters of printable ASCII, got "schlüssel"`,
      `RATELIMIT_INCLUDE_HEADERS: expected 'true' or 'false', got "maybe"`,
      `RATELIMIT_WHEN_STORE_FAILS: expected one of 'throw', 'allow', 'deny', got "shrug"`,
      `RATELIMIT_TIMEOUT: expected milliseconds, or a number with its unit ('50ms', '1s'), got "-1"`,
    ]);
  });

  it.each([
    ["RATELIMIT_RATE", ["+5", "5.", "-1", "NaN", "Infinity", "1e3", "0x10", "1,000", "9007199254740993", "5 per s"]],
    [
      "RATELIMIT_PERIOD",
      ["1e3", "1e3ms", "+5", ".5s", "5.", "1  s", "0", "-1", "NaN", "Infinity", "10 parsecs", "1s2", "99999w"],
    ],
    ["RATELIMIT_TIMEOUT", ["1e3", "+5s", "0", "NaN", "Infinity", "soon"]],
    [
      "RATELIMIT_REDIS_URL",
      [
        "localhost:6379",
        "redis",
        "ftp://host",
        "redis:",
        "redis://",
        "redis:///0",
        "redis:hunter2@host",
        "redis:/default:hunter2@host",
      ],
    ],
    ["RATELIMIT_ALGORITHM", ["constructor", "__proto__", "fixed_window"]],
    ["RATELIMIT_INCLUDE_HEADERS", ["constructor", "2", "null"]],
    ["RATELIMIT_KEY_PREFIX", ["a\nb", "x".repeat(129)]],
  ])("refuses a wrong %s", (name, values) => {
    for (const value of values) expect(() => configFromEnv({ [name]: value }), value).toThrow(`${name}: expected`);
  });

  it("says of a value that is no text what came", () => {
    expect(() => configFromEnv({ RATELIMIT_RATE: 5 as never })).toThrow("RATELIMIT_RATE: expected text, got 5");
  });

  it.each([
    ["redis//:hunter2@host", "***@host"],
    ["default:hunter2@redis.example.com:6379", "***@redis.example.com:6379"],
    ["http://user:hunter2@host/0", "http://***@host/0"],
    ["http://user:hunt@er2@host", "http://***@host"],
    ["http://host?password=hunter2", "http://host?***"],
    ["http://host?password=hunt@er2", "http://***@***"],
    ["http://user:hunt?er2@host", "http://***@***"],
    ["http://host#hunter2", "http://host?***"],
    ["redis:hunter2@host", "***@host"],
    ["redis:/default:hunter2@host", "***@host"],
    ["user:\nhunter2@host\n?hunter2", "***@host\\n?***"],
  ])("shows no password of a URL that is wrong: %s", (url, shown) => {
    let message = "";
    try {
      configFromEnv({ RATELIMIT_REDIS_URL: url });
    } catch (error) {
      ({ message } = error as Error);
    }
    expect(message).toContain(`got "${shown}"`);
    expect(message).not.toMatch(/hunt|er2/);
  });

  it("shows none that stands in another variable", () => {
    expect(() => configFromEnv({ RATELIMIT_ALGORITHM: "redis://:hunter2@host" })).toThrow(/^(?!.*hunter2)/s);
  });
});

describe("policyFromConfig", () => {
  it.each([
    ["fixed-window", 5, 60_000],
    ["sliding-window", 5, 60_000],
    ["sliding-counter", 5, 60_000],
    ["token-bucket", 10, 120_000],
  ] as const)("makes a %s", (algorithm, limit, window) => {
    const policy = policyFromConfig({ ...defaults, algorithm, rate: 5, burst: 10 });
    expect(policy).toMatchObject({ algorithm, limit, window });
  });

  it("refuses what no algorithm is called", () => {
    expect(() => policyFromConfig({ ...defaults, algorithm: "toString" as never })).toThrow(TypeError);
  });

  it("refuses numbers that were not read from the environment either", () => {
    expect(() => policyFromConfig({ ...defaults, rate: Number.NaN })).toThrow(RangeError);
  });
});

describe("limiterFromConfig", () => {
  it("counts in memory where no Redis is named", async () => {
    await using limiter = await limiterFromConfig({ ...defaults, algorithm: "fixed-window", rate: 1 });
    expect((await limiter.consume("a")).allowed).toBe(true);
    expect((await limiter.consume("a")).allowed).toBe(false);
  });
});
