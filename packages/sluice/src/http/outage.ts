import type { Decision } from "../core/decision.js";
import type { SluiceError } from "../core/errors.js";
import type { RateLimiter } from "../core/limiter.js";
import { warn } from "../core/warn.js";

/** ms between two warnings of one limiter: a store that comes and goes is told of now and then. */
const leastApart = 10_000;

/** What the operator is told of a limiter whose store does not answer. */
export interface Outage {
  /** The store failed, or was late, and what happens to the request. */
  failed(error: SluiceError, answer: "allow" | "deny"): void;
  /** The limiter decided: by its store, or by its own `whenStoreFails`. */
  decided(decision: Decision): void;
}

const outages = new WeakMap<RateLimiter, Outage>();

/** One for each limiter, however many guards ask it. */
export function outageOf(limiter: RateLimiter): Outage {
  const known = outages.get(limiter) ?? outage(limiter);
  outages.set(limiter, known);
  return known;
}

function outage({ policies }: RateLimiter): Outage {
  const name = policies.map((policy) => `"${policy.name}"`).join(", ");
  let away = false;
  let told = false;
  let toldAt = Number.NEGATIVE_INFINITY;
  const begin = (happened: string): void => {
    away = true;
    const now = performance.now();
    if (told || now - toldAt < leastApart) return;
    told = true;
    toldAt = now;
    warn(`The store of the limiter ${name} does not answer, so ${happened} until it does.`);
  };
  return {
    failed: ({ code, message }, answer) => {
      const happens = answer === "allow" ? "let through uncounted" : "refused with 503";
      begin(`requests are ${happens} (${code}: ${message})`);
    },
    decided: ({ degraded }) => {
      if (degraded) {
        begin("its own `whenStoreFails` decides");
        return;
      }
      if (!away) return;
      away = false;
      if (told) warn(`The store of the limiter ${name} answers again: requests are counted.`);
      told = false;
    },
  };
}
