import type { Algorithm } from "./algorithm.js";
import { milliseconds } from "./duration.js";
import { show, typeError } from "./errors.js";
import { checkName } from "./validate.js";

/** What is promised: an algorithm, its numbers and a name. Immutable, and independent of where state is kept. */
export interface Policy {
  /** The algorithm's name: 'fixed-window', 'sliding-window', 'sliding-counter', 'token-bucket'. */
  readonly algorithm: string;
  /** Printable ASCII; appears in `RateLimit-Policy` headers and in `decision.policy`. Default: 'default'. */
  readonly name: string;
  /** The most that can be available at once: what `remaining` counts down from. */
  readonly limit: number;
  /** ms in which `limit` comes back, from nothing. */
  readonly window: number;
}

/** Where a policy carries its rule: shared between copies of the package, invisible to whoever prints or compares it. */
const ruleKey: unique symbol = Symbol.for("sluice.policy.rule");

/** What the stores need of a policy: how to decide, with which numbers. */
export interface Rule<Parameters = unknown> {
  readonly algorithm: Algorithm<Parameters>;
  readonly parameters: Parameters;
}

/** The largest limit: twice as much is still an exact integer. */
export const largestLimit: number = 2 ** 52 - 1;

/** Makes a policy; `window` in µs. Only the algorithms' own factories call this. */
export function policy<Parameters>(
  algorithm: string,
  name: string | undefined,
  limit: number,
  window: number,
  rule: Rule<Parameters>,
): Policy {
  const named = name === undefined ? "default" : name;
  checkName(named, "the policy's name");
  const made = { algorithm, name: named, limit, window: milliseconds(window) };
  Object.defineProperty(made, ruleKey, { value: rule });
  return Object.freeze(made);
}

/** The rule of a policy; a TypeError for anything that no factory of this library made. */
export function ruleOf(candidate: unknown): Rule {
  const rule =
    typeof candidate === "object" && candidate !== null ? (candidate as { [ruleKey]?: Rule })[ruleKey] : undefined;
  if (rule === undefined) {
    throw typeError(
      "ERR_INVALID_POLICY",
      `Expected a policy made by fixedWindow, slidingWindow, slidingCounter or tokenBucket, got ${show(candidate)}.`,
    );
  }
  return rule;
}

/** One policy or several as a checked list: at least one, each made by this library, names distinct. */
export function policyList(policies: Policy | readonly Policy[]): readonly Policy[] {
  const list: readonly Policy[] = Array.isArray(policies) ? policies : [policies as Policy];
  if (list.length === 0) throw typeError("ERR_INVALID_POLICY", "Expected at least one policy, got an empty array.");
  const names = new Set<string>();
  for (const each of list) {
    ruleOf(each);
    if (names.has(each.name)) {
      throw typeError(
        "ERR_DUPLICATE_POLICY",
        `Two policies of one limiter are both named ${show(each.name)}: give each a \`name\` of its own.`,
      );
    }
    names.add(each.name);
  }
  return Object.freeze([...list]);
}

/** The options of a policy factory: an object, or a clear error. */
export function policyOptions(options: unknown, factory: string): void {
  if (typeof options !== "object" || options === null) {
    throw typeError(
      "ERR_INVALID_ARGUMENT",
      `Expected ${factory} to be given an object of options, got ${show(options)}.`,
    );
  }
}
