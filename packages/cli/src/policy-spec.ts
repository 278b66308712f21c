import { type Duration, fixedWindow, type Policy, slidingCounter, slidingWindow, tokenBucket } from "sluice";
import { micros } from "sluice/simulate";
import { usageError } from "./command-error.js";

/** Settings of a policy as they were written. */
type Settings = Readonly<Record<string, string | undefined>>;

interface Algorithm {
  /** Settings it takes besides `name`. */
  readonly settings: readonly string[];
  readonly example: string;
  make(limit: number, window: Duration, name: string, settings: Settings): Policy;
}

/** Texts go to the library's factories as they are: it checks them, and says in a sentence what is wrong. */
const algorithms: Readonly<Record<string, Algorithm>> = {
  "token-bucket": {
    settings: ["burst", "refill"],
    example: "token-bucket:100/1m,burst=20",
    make: (rate, per, name, { burst, refill }) =>
      tokenBucket({
        rate,
        per,
        name,
        ...(burst === undefined ? {} : { burst: wholeNumber(burst, "burst") }),
        ...(refill === undefined ? {} : { refill: refill as "interval" }),
      }),
  },
  "sliding-window": {
    settings: [],
    example: "sliding-window:100/1m",
    make: (limit, window, name) => slidingWindow({ limit, window, name }),
  },
  "sliding-counter": {
    settings: [],
    example: "sliding-counter:100/1m",
    make: (limit, window, name) => slidingCounter({ limit, window, name }),
  },
  "fixed-window": {
    settings: ["anchor"],
    example: "fixed-window:1000/1h,anchor=epoch",
    make: (limit, window, name, { anchor }) =>
      fixedWindow({ limit, window, name, ...(anchor === undefined ? {} : { anchor: anchor as "epoch" }) }),
  },
};

/** A policy of each algorithm. */
export const policyExamples: readonly string[] = Object.values(algorithms).map(({ example }) => example);

/**
 * A policy from the command line: `ALGORITHM:LIMIT/WINDOW[,SETTING=VALUE…]`. Its name is what was written, unless
 * `name=` gives another.
 *
 * @throws CommandError that shows what was expected, with an example.
 * @example
 * parsePolicy("token-bucket:100/1m,burst=20,name=api")
 */
export function parsePolicy(text: string): Policy {
  const [head = "", ...rest] = text.split(",");
  const [, kind, limit, window] = /^([^:]*):([^/]*)\/(.*)$/.exec(head.trim()) ?? [];
  if (kind === undefined || limit === undefined || window === undefined) {
    throw wrong(text, "expected ALGORITHM:LIMIT/WINDOW", policyExamples[0] as string);
  }
  const algorithm = Object.hasOwn(algorithms, kind) ? algorithms[kind] : undefined;
  if (algorithm === undefined) {
    const known = Object.keys(algorithms).join(", ");
    throw wrong(text, `there is no algorithm ${JSON.stringify(kind)}, only ${known}`, policyExamples[0] as string);
  }
  const settings: Record<string, string> = {};
  for (const setting of rest) {
    const [, name, value] = /^\s*([^=]+)=(.*)$/.exec(setting) ?? [];
    if (name === undefined || value === undefined || ![...algorithm.settings, "name"].includes(name)) {
      const known = [...algorithm.settings, "name"].map((each) => `${each}=`).join(", ");
      throw wrong(text, `${kind} takes ${known} and not ${JSON.stringify(setting.trim())}`, algorithm.example);
    }
    if (Object.hasOwn(settings, name)) throw wrong(text, `${name}= is given twice`, algorithm.example);
    settings[name] = value;
  }
  try {
    checkWindow(window);
    return algorithm.make(wholeNumber(limit, "LIMIT"), window as Duration, settings["name"] ?? text, settings);
  } catch (error) {
    throw wrong(text, (error as Error).message.replace(/\.$/, ""), algorithm.example, error);
  }
}

/** Before the library does, which knows the window by the names of its own options. */
function checkWindow(text: string): void {
  try {
    micros(text, "WINDOW");
  } catch (error) {
    const hint = windowHint(text);
    if (hint === undefined || error instanceof RangeError) throw error;
    throw new RangeError(
      `Expected WINDOW to be a number with its unit (ms, s, m, h, d, w), got ${JSON.stringify(text)}: ${hint}`,
    );
  }
}

/** What was probably meant. */
function windowHint(text: string): string | undefined {
  if (text.includes(";")) return "settings stand behind a comma";
  const [, number = "", unit = ""] = /^(\d*(?:\.\d+)?) ?([a-z]*)$/i.exec(text) ?? [];
  if (number !== "" && unit === "") return `did you mean ${number}s?`;
  const [known] = /^(?:ms|m(?!o)|[shdw])/.exec(unit.toLowerCase()) ?? [];
  return known === undefined ? undefined : `did you mean ${number === "" ? "1" : number}${known}?`;
}

function wholeNumber(text: string, what: string): number {
  if (!/^\d+$/.test(text)) throw new RangeError(`Expected ${what} to be a whole number, got ${JSON.stringify(text)}`);
  return Number(text);
}

function wrong(text: string, why: string, example: string, cause?: unknown): Error {
  return usageError(`--policy ${JSON.stringify(text)}: ${why}; for example --policy ${example}`, { cause });
}

/** A list of policies in which each can be told from the others. */
export function checkDistinct(policies: readonly Policy[]): void {
  const names = policies.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw usageError(`two policies are called ${JSON.stringify(twice)}: give one another name=`);
}
