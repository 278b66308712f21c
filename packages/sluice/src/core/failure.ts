import type { Decision } from "./decision.js";
import { decideDegraded } from "./decision.js";
import { StoreError } from "./errors.js";
import type { Policy } from "./policy.js";
import type { Target } from "./verbs.js";

/** What answers when the store does not. A function makes the target of another limiter that answers in its stead. */
export type FailureAnswer = "throw" | "allow" | "deny" | ((key: string, cost: number | undefined) => Target);

/** ms after which a call that was refused because the store is away may be worth trying again: by then it is tried itself. */
const retryAfter = 1000;

/**
 * Asks, and when the store fails does what the limiters say: the strictest of them counts, throwing before denying before
 * another limiter's answer before allowing. A limiter in shadow mode never refuses, so it allows. Nothing stands in for an
 * answer that is no longer wanted.
 */
export function orElse<T>(
  targets: readonly Target[],
  verb: (targets: readonly Target[]) => T | Promise<T>,
  mark: (answer: T) => T,
  make: (decision: Decision) => T,
  signal?: AbortSignal,
): T | Promise<T> {
  const answer = verb(targets);
  if (!(answer instanceof Promise)) return answer;
  return answer.catch(async (error: unknown) => {
    if (!(error instanceof StoreError)) throw error;
    signal?.throwIfAborted();
    const answers = targets.map(({ member }) => (member.shadow ? "allow" : member.whenStoreFails));
    if (answers.includes("throw")) throw error;
    const policies: readonly Policy[] = targets.flatMap(({ member }) => member.gate.policies);
    if (answers.includes("deny")) return make(decideDegraded(policies, false, retryAfter));
    const stead = targets.flatMap(({ key, cost }, index) => {
      const other = answers[index];
      return typeof other === "function" ? [other(key, cost)] : [];
    });
    if (stead.length === 0) return make(decideDegraded(policies, true, 0));
    return mark(await orElse(stead, verb, mark, make, signal));
  });
}
