import { type Parameters, serializeList } from "structured-headers";
import type { Decision, PolicyDecision } from "./decision.js";

/** Structured Fields integers have at most 15 digits (RFC 9651, 3.3.1). */
const largestInteger = 999_999_999_999_999;

/** Whole seconds, rounded up: no promise is ever early. */
export function seconds(duration: number): number {
  return Math.min(Math.ceil(duration / 1000), largestInteger);
}

/** `Retry-After` (RFC 9110, 10.2.3): at least 1, never before the truth; undefined when waiting never helps. */
export function retryAfterField(retryAfter: number): string | undefined {
  return retryAfter === Number.POSITIVE_INFINITY ? undefined : String(Math.max(1, seconds(retryAfter)));
}

/** `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-11: `w` only where the window is whole seconds. */
export function policyField(parts: readonly PolicyDecision[]): string {
  return serializeList(
    parts.map(({ policy, limit, window }) => {
      const parameters: Parameters = new Map([["q", Math.min(limit, largestInteger)]]);
      if (window % 1000 === 0) parameters.set("w", window / 1000);
      return [policy, parameters];
    }),
  );
}

/** `RateLimit` of the same draft: `t` is when the quota is whole again, and for a refusal when it may be asked again. */
export function limitField(parts: readonly PolicyDecision[]): string {
  return serializeList(
    parts.map(({ policy, allowed, remaining, retryAfter, resetAfter }) => {
      const parameters: Parameters = new Map([["r", Math.min(remaining, largestInteger)]]);
      const wait = allowed ? resetAfter : retryAfter;
      if (wait !== Number.POSITIVE_INFINITY) parameters.set("t", seconds(wait));
      return [policy, parameters];
    }),
  );
}

/** Every header field of a refusal. */
export function refusalHeaders(decision: Decision): Record<string, string> {
  const retryAfter = retryAfterField(decision.retryAfter);
  const { parts } = decision;
  return {
    ...(retryAfter === undefined ? {} : { "Retry-After": retryAfter }),
    RateLimit: limitField(parts),
    "RateLimit-Policy": policyField(parts),
    "X-RateLimit-Limit": String(decision.limit),
    "X-RateLimit-Remaining": String(decision.remaining),
    "X-RateLimit-Reset": String(seconds(decision.resetAfter)),
  };
}
