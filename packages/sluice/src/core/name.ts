import type { Policy } from "./policy.js";
import { ruleOf } from "./policy.js";

/**
 * A limiter's name when none was given: seven letters and digits that follow from its policies, so that every process
 * with the same policies finds the same keys. (FNV-1a, 32 bits: short keys matter more here than rare collisions, which
 * the store reports.)
 */
export function nameFor(policies: readonly Policy[]): string {
  const text = JSON.stringify(
    policies.map((policy) => [
      policy.name,
      ruleOf(policy).algorithm.name,
      ruleOf(policy).algorithm.encode(ruleOf(policy).parameters),
    ]),
  );
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(36).padStart(7, "0");
}
