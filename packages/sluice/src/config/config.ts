import * as v from "valibot";
import { fixedWindow } from "../algorithms/fixed-window/fixed-window.js";
import { slidingCounter } from "../algorithms/sliding-counter/sliding-counter.js";
import { slidingWindow } from "../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../algorithms/token-bucket/token-bucket.js";
import { micros, milliseconds } from "../core/duration.js";
import { show, typeError } from "../core/errors.js";
import { largestLimit, type Policy } from "../core/policy.js";
import { checkName } from "../core/validate.js";

/** A limiter, as the environment describes it. */
export interface RateLimitConfig {
  /** RATELIMIT_ALGORITHM. Default 'token-bucket'. */
  algorithm: "fixed-window" | "sliding-window" | "sliding-counter" | "token-bucket";
  /** RATELIMIT_RATE: what is allowed each period. Default 100. */
  rate: number;
  /** RATELIMIT_PERIOD: seconds, or with a unit ('500ms', '1m'); here in ms. Default 60 000. */
  period: number;
  /** RATELIMIT_BURST: the most at once; only a token bucket reads it. Default: the rate. */
  burst: number;
  /** RATELIMIT_REDIS_URL: `redis://` or `rediss://`. Default: memory of this process. */
  redisUrl?: string;
  /** RATELIMIT_KEY_PREFIX: before every key in Redis. Default 'sluice'. */
  keyPrefix: string;
  /**
   * RATELIMIT_INCLUDE_HEADERS: true or false. Default true. For the HTTP adapters, which nothing else reads it for:
   * `rateLimit(limiter, config.includeHeaders ? {} : { headers: false })`.
   */
  includeHeaders: boolean;
  /** RATELIMIT_WHEN_STORE_FAILS. Default 'throw', which the HTTP adapters answer with their own `whenStoreFails`. */
  whenStoreFails: "throw" | "allow" | "deny";
  /** RATELIMIT_TIMEOUT: milliseconds, or with a unit; here in ms. Default 100. */
  timeout: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** How each algorithm reads the numbers. */
const policies: Readonly<Record<RateLimitConfig["algorithm"], (config: RateLimitConfig) => Policy>> = {
  "fixed-window": ({ rate, period }) => fixedWindow({ limit: rate, window: period }),
  "sliding-window": ({ rate, period }) => slidingWindow({ limit: rate, window: period }),
  "sliding-counter": ({ rate, period }) => slidingCounter({ limit: rate, window: period }),
  "token-bucket": ({ rate, period, burst }) => tokenBucket({ rate, per: period, burst }),
};

const algorithms = Object.keys(policies) as RateLimitConfig["algorithm"][];
const failureAnswers: readonly RateLimitConfig["whenStoreFails"][] = ["throw", "allow", "deny"];
const switches: ReadonlyMap<string, boolean> = new Map([
  ...["true", "yes", "on", "1"].map((word) => [word, true] as const),
  ...["false", "no", "off", "0"].map((word) => [word, false] as const),
]);

/** A variable as text; surrounding space is a slip of the pen, and an empty one counts as not set. */
const text = v.pipe(v.string(), v.trim());

function variable<Output>(
  expected: string,
  read: (value: string) => Output | undefined,
  otherwise: string,
): v.GenericSchema<string | undefined, Output> {
  return v.optional(
    v.pipe(
      text,
      v.rawTransform(({ dataset, addIssue, NEVER }) => {
        const value = read(dataset.value);
        if (value !== undefined) return value;
        addIssue({ message: expected });
        return NEVER;
      }),
    ),
    otherwise,
  );
}

const count = (value: string): number | undefined => {
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  return number >= 1 && number <= largestLimit ? number : undefined;
};

/** Numbers are digits here as in a count, with a fraction perhaps. A bare one has the variable's own unit. */
const duration =
  (unit: "ms" | "s") =>
  (value: string): number | undefined => {
    const [, number, space = "", own = unit] = /^(\d+(?:\.\d+)?)( ?)([a-z]+)?$/.exec(value) ?? [];
    return number === undefined
      ? undefined
      : attempt(() => milliseconds(micros(`${number}${space}${own}`, "duration")));
  };

const oneOf =
  <Choice extends string>(choices: readonly Choice[]) =>
  (value: string): Choice | undefined =>
    choices.find((choice) => choice === value.toLowerCase());

const redisAddress = (value: string): string | undefined =>
  attempt(() => {
    const { protocol, hostname } = new URL(value);
    return ["redis:", "rediss:"].includes(protocol) && hostname !== "" ? value : undefined;
  });

const prefix = (value: string): string | undefined =>
  attempt(() => {
    checkName(value, "prefix");
    return value;
  });

/** What `read` gives, or undefined when it throws. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

const list = (choices: readonly string[]): string => `one of ${choices.map((choice) => `'${choice}'`).join(", ")}`;
const wholeNumber = `a whole number from 1 to ${largestLimit}`;

/** The variables, in the order in which errors name them. */
const environment = v.object({
  RATELIMIT_ALGORITHM: variable(list(algorithms), oneOf(algorithms), "token-bucket"),
  RATELIMIT_RATE: variable(wholeNumber, count, "100"),
  RATELIMIT_PERIOD: variable(
    "seconds, or a number with its unit ('500ms', '10s', '1m', '2h', '1d')",
    duration("s"),
    "60",
  ),
  RATELIMIT_BURST: v.optional(variable(wholeNumber, count, "1")),
  RATELIMIT_REDIS_URL: v.optional(variable("a URL such as 'redis://host:6379'", redisAddress, "")),
  RATELIMIT_KEY_PREFIX: variable("1 to 128 characters of printable ASCII", prefix, "sluice"),
  RATELIMIT_INCLUDE_HEADERS: variable("'true' or 'false'", (value) => switches.get(value.toLowerCase()), "true"),
  RATELIMIT_WHEN_STORE_FAILS: variable(list(failureAnswers), oneOf(failureAnswers), "throw"),
  RATELIMIT_TIMEOUT: variable("milliseconds, or a number with its unit ('50ms', '1s')", duration("ms"), "100"),
});

/**
 * Reads `RATELIMIT_*` (units and defaults: `RateLimitConfig`); an empty variable counts as not set.
 *
 * @throws TypeError with code `ERR_INVALID_ARGUMENT`: one error that lists every wrong variable, its value (a password in
 *   a URL hidden) and what was expected.
 * @example
 * const config = configFromEnv({ RATELIMIT_RATE: "5", RATELIMIT_PERIOD: "10s" })
 * config.period // 10_000
 */
export function configFromEnv(env: Environment = process.env): RateLimitConfig {
  const given = Object.fromEntries(
    Object.keys(environment.entries).flatMap((name) => {
      const value = env[name];
      return typeof value === "string" && value.trim() === "" ? [] : [[name, value]];
    }),
  );
  const result = v.safeParse(environment, given);
  if (!result.success) {
    const wrong = result.issues.map((issue) => {
      const name = String(issue.path?.[0]?.key);
      const expected = issue.type === "string" ? "text" : issue.message;
      return `${name}: expected ${expected}, got ${show(withoutSecrets(given[name]))}`;
    });
    throw typeError("ERR_INVALID_ARGUMENT", `The environment is not as expected.\n${wrong.join("\n")}`);
  }
  const {
    RATELIMIT_ALGORITHM: algorithm,
    RATELIMIT_RATE: rate,
    RATELIMIT_PERIOD: period,
    RATELIMIT_BURST: burst = rate,
    RATELIMIT_REDIS_URL: redisUrl,
    RATELIMIT_KEY_PREFIX: keyPrefix,
    RATELIMIT_INCLUDE_HEADERS: includeHeaders,
    RATELIMIT_WHEN_STORE_FAILS: whenStoreFails,
    RATELIMIT_TIMEOUT: timeout,
  } = result.output;
  return {
    algorithm,
    rate,
    period,
    burst,
    ...(redisUrl === undefined ? {} : { redisUrl }),
    keyPrefix,
    includeHeaders,
    whenStoreFails,
    timeout,
  };
}

/** A user and a password belong in no log: all before the last `@`, and the query, however badly the URL is written. */
function withoutSecrets(value: unknown): unknown {
  if (typeof value !== "string" || !/@|:\/\//.test(value)) return value;
  const [, scheme = "", rest = ""] = /^([a-z][a-z0-9+.-]*:\/\/)?(.*)$/is.exec(value) ?? [];
  const host = rest.slice(rest.lastIndexOf("@") + 1);
  const plain = host.replace(/[?#].*$/s, "?***");
  // an `@` behind a question mark: where the secret ends, nobody can tell
  const doubtful = /[?#].*@/s.test(rest);
  return `${scheme}${host === rest ? "" : "***@"}${doubtful ? "***" : plain}`;
}

/**
 * The policy that a configuration describes.
 *
 * @throws TypeError or RangeError with a `code` for a number that the algorithm cannot keep.
 * @example
 * const policy = policyFromConfig(configFromEnv({ RATELIMIT_ALGORITHM: "sliding-window", RATELIMIT_RATE: "5" }))
 * policy.limit // 5
 */
export function policyFromConfig(config: RateLimitConfig): Policy {
  const make = Object.hasOwn(policies, config.algorithm) ? policies[config.algorithm] : undefined;
  if (make === undefined) {
    throw typeError(
      "ERR_INVALID_ARGUMENT",
      `Expected algorithm to be ${list(algorithms)}, got ${show(config.algorithm)}.`,
    );
  }
  return make(config);
}
