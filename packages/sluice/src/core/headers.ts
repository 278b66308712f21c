import { type Parameters, serializeList, serializeString } from "structured-headers";
import type { Decision, PolicyDecision } from "./decision.js";

/**
 * A family of response header fields that tell a client of its limits: 'ietf' is draft-ietf-httpapi-ratelimit-headers-08
 * to -11, 'draft-7' the one before (one dictionary), 'legacy' is `X-RateLimit-*`. Times are whole seconds, rounded up.
 */
export type HeaderFamily = "ietf" | "legacy" | "draft-7";

/** What the fields say of a policy whatever the decision: `window` in ms. */
interface Quota {
  readonly name: string;
  readonly limit: number;
  readonly window: number;
}

/** The fields of one family. */
export interface HeaderRow {
  readonly names: readonly string[];
  /** When a limiter before has set them: 'append' ours as further list members, or let the one with the 'least' left speak. */
  readonly stacked: "append" | "least";
  /** For limiters that promise this: a function that gives the values, in the order of the names; an empty one is not sent. */
  readonly prepare: (policies: readonly Quota[], legacyReset: "delta" | "epoch") => (decision: Decision) => string[];
  /** The parameter of the first field's members that is a time, where members of several limiters may stand in it. */
  readonly until?: string;
}

/** Structured Fields integers have at most 15 digits (RFC 9651, 3.3.1). */
const largestInteger = 999_999_999_999_999;

/** Whole seconds, rounded up: no promise is ever early. */
function seconds(duration: number): number {
  return Math.min(Math.ceil(duration / 1000), largestInteger);
}

/** `Retry-After` (RFC 9110, 10.2.3): at least 1, never before the truth; undefined when waiting never helps. */
export function retryAfterField(retryAfter: number): string | undefined {
  return retryAfter === Number.POSITIVE_INFINITY ? undefined : String(Math.max(1, seconds(retryAfter)));
}

/** Every family, as a row of a table: when a draft renames something, its row changes and nothing else. */
export const headerRows: Readonly<Record<HeaderFamily, HeaderRow>> = {
  /** draft-ietf-httpapi-ratelimit-headers-08 to -11: lists of strings with parameters. */
  ietf: listOfItems({ limit: "RateLimit", policy: "RateLimit-Policy", quota: "q", window: "w", left: "r", until: "t" }),
  /** draft-ietf-httpapi-ratelimit-headers-07: one dictionary for the policy that speaks. */
  "draft-7": dictionary({
    limit: "RateLimit",
    policy: "RateLimit-Policy",
    window: "w",
    members: ["limit", "remaining", "reset"],
  }),
  /** What everybody sent before there was a draft. */
  legacy: separate(["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]),
};

/** What a policy's item says: what is left, and for how many seconds. */
type ItemText = (remaining: number, wait: number) => string;

/** Texts that are kept for a policy: about 6 KB of them. */
const textsKept = 64;

/**
 * Gives the text that it gave before for the same numbers, if that was not long ago: many clients stand at the same mark,
 * such as a bucket's that is almost full. Node checks every field that it sends, and has to put a text in one piece first
 * that was made of several: with a new text, deciding and telling took 700 ns, with one from here 390.
 */
function remembered(write: ItemText): ItemText {
  const known: { readonly remaining: number; readonly wait: number; readonly text: string }[] = [];
  return (remaining, wait) => {
    const place = (remaining * 31 + wait) & (textsKept - 1);
    const found = known[place];
    if (found !== undefined && found.remaining === remaining && found.wait === wait) return found.text;
    const text = write(remaining, wait);
    known[place] = { remaining, wait, text };
    return text;
  };
}

function listOfItems(names: {
  limit: string;
  policy: string;
  quota: string;
  window: string;
  left: string;
  until: string;
}): HeaderRow {
  return {
    names: [names.limit, names.policy],
    stacked: "append",
    until: names.until,
    prepare: (policies) => {
      const policyField = serializeList(
        policies.map(({ name, limit, window }) => {
          const parameters: Parameters = new Map([[names.quota, Math.min(limit, largestInteger)]]);
          if (window % 1000 === 0) parameters.set(names.window, window / 1000);
          return [name, parameters];
        }),
      );
      const items = policies.map(({ name }) => {
        const start = `${serializeString(name)};${names.left}=`;
        return remembered((remaining, wait) => {
          const known = `${start}${Math.min(remaining, largestInteger)}`;
          return wait === Number.POSITIVE_INFINITY ? known : `${known};${names.until}=${wait}`;
        });
      });
      const item = (index: number, remaining: number, wait: number): string =>
        (items[index] as ItemText)(remaining, wait === Number.POSITIVE_INFINITY ? wait : seconds(wait));
      if (policies.length === 1) {
        return (decision) => [
          item(0, decision.remaining, decision.allowed ? decision.resetAfter : decision.retryAfter),
          policyField,
        ];
      }
      return (decision) => {
        const texts = decision.parts.map((part, index) => item(index, part.remaining, told(decision, part)));
        return [texts.join(", "), policyField];
      };
    },
  };
}

/**
 * When a policy's quota is whole again, or, where it refused, may be asked again. `Retry-After` must not be earlier than
 * any time given (draft -11, 6.3), so a refusal says nothing of the policies that would take longer to be whole.
 */
function told(decision: Decision, part: PolicyDecision): number {
  const wait = part.allowed ? part.resetAfter : part.retryAfter;
  const late = !decision.allowed && wait > decision.retryAfter;
  return late ? Number.POSITIVE_INFINITY : wait;
}

function dictionary(names: {
  limit: string;
  policy: string;
  window: string;
  members: readonly [string, string, string];
}): HeaderRow {
  const [limitMember, leftMember, untilMember] = names.members;
  return {
    names: [names.limit, names.policy],
    stacked: "least",
    prepare: (policies) => {
      const policyField = serializeList(
        policies.map(({ limit, window }) => [
          Math.min(limit, largestInteger),
          window % 1000 === 0 ? new Map([[names.window, window / 1000]]) : new Map(),
        ]),
      );
      const resetOf = policies.length === 1 ? resetAfter : resetOfSpeaker;
      return (decision) => {
        const { allowed, limit, remaining, retryAfter } = decision;
        // on a refusal no later than Retry-After, as in the newer drafts
        const reset = allowed || retryAfter === Number.POSITIVE_INFINITY ? resetOf(decision) : retryAfter;
        const counts = `${limitMember}=${Math.min(limit, largestInteger)}, ${leftMember}=${Math.min(remaining, largestInteger)}`;
        return [`${counts}, ${untilMember}=${seconds(reset)}`, policyField];
      };
    },
  };
}

/** `X-RateLimit-Reset` has always said when the quota is whole again, on a refusal too: later than Retry-After, it may be. */
function separate(names: readonly [string, string, string]): HeaderRow {
  return {
    names,
    stacked: "least",
    prepare: (policies, legacyReset) => {
      const resetOf = policies.length === 1 ? resetAfter : resetOfSpeaker;
      return (decision) => {
        const from = legacyReset === "epoch" ? Date.now() : 0;
        return [String(decision.limit), String(decision.remaining), String(seconds(from + resetOf(decision)))];
      };
    },
  };
}

function resetAfter(decision: Decision): number {
  return decision.resetAfter;
}

/** ms until the policy that speaks is as if never asked; the decision itself says how long the slowest of all takes. */
function resetOfSpeaker(decision: Decision): number {
  const speaker = decision.parts.find(({ policy }) => policy === decision.policy);
  return (speaker ?? decision).resetAfter;
}

/** Every header field of a refusal. */
export function refusalHeaders(decision: Decision): Record<string, string> {
  const retryAfter = retryAfterField(decision.retryAfter);
  const promised = decision.parts.map(({ policy, limit, window }) => ({ name: policy, limit, window }));
  const fields = ["ietf", "legacy"].flatMap((family) => {
    const { names, prepare } = headerRows[family as HeaderFamily];
    const values = prepare(promised, "delta")(decision);
    return names.map((name, index) => [name, values[index] as string] as const);
  });
  return { ...(retryAfter === undefined ? {} : { "Retry-After": retryAfter }), ...Object.fromEntries(fields) };
}
