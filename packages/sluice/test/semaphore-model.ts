import fc from "fast-check";
import { MaxWaitExceededError } from "../src/core/errors.js";
import type { Lease } from "../src/semaphore/semaphore.js";

/** One question to a semaphore. */
export interface Ask {
  readonly permits: number;
  readonly capacity: number;
  /** Half milliseconds, odd, so that nothing else happens at the moment; undefined: as long as it takes. */
  readonly patience: number | undefined;
  readonly mortal: boolean;
}
/** What happens next. */
export type Step =
  | ({ readonly verb: "ask"; readonly wait: boolean } & Ask)
  | { readonly verb: "release" | "renew" | "abort"; readonly which: number }
  | { readonly verb: "advance"; readonly halves: number };

/** ms, of leases that nobody renews. */
export const leaseTime = 20;
export const askArbitrary = {
  wait: fc.nat({ max: 4 }).map((chance) => chance > 0),
  permits: fc.integer({ min: 1, max: 4 }),
  capacity: fc.integer({ min: 1, max: 4 }),
  patience: fc.option(
    fc.integer({ min: 0, max: 40 }).map((half) => 2 * half + 1),
    { nil: undefined },
  ),
  mortal: fc.boolean(),
};
export const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ verb: fc.constant("ask" as const), ...askArbitrary }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ verb: fc.constantFrom("release", "renew", "abort"), which: fc.nat({ max: 20 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      verb: fc.constant("advance" as const),
      halves: fc.integer({ min: 1, max: 30 }).map((time) => 2 * time),
    }),
  },
);

/** One call, in the model and in truth. */
export interface Call {
  readonly permits: number;
  readonly mortal: boolean;
  readonly deadline: number;
  expected: "waiting" | "held" | "released" | "lost" | "never" | "late" | "aborted" | "refused";
  expiry: number;
  outcome: "waiting" | "refused" | Lease | Error;
  readonly controller: AbortController;
}

/** What must hold, written down naively: time in half milliseconds. */
export class Model {
  now = 0;
  capacity = 0;
  readonly calls: Call[] = [];

  get held(): Call[] {
    return this.calls.filter(({ expected }) => expected === "held");
  }

  get line(): Call[] {
    return this.calls.filter(({ expected }) => expected === "waiting");
  }

  get out(): number {
    return this.held.reduce((sum, { permits }) => sum + permits, 0);
  }

  serve(): void {
    for (const call of this.line) {
      if (this.out + call.permits > this.capacity) return;
      else this.grant(call);
    }
  }

  grant(call: Call): void {
    call.expected = "held";
    call.expiry = call.mortal ? this.now + 2 * leaseTime : Number.POSITIVE_INFINITY;
  }

  ask({ capacity, permits }: Ask, call: Call, wait: boolean): void {
    if (permits > capacity) {
      call.expected = wait ? "never" : "refused";
    } else {
      this.capacity = capacity;
      this.serve();
      if (this.line.length === 0 && this.out + permits <= capacity) this.grant(call);
      else if (!wait) call.expected = "refused";
    }
    this.calls.push(call);
  }

  tick(): void {
    this.now += 1;
    for (const call of this.held) if (call.expiry <= this.now) call.expected = "lost";
    for (const call of this.line) if (call.deadline <= this.now) call.expected = "late";
    this.serve();
  }
}

export const isLease = (outcome: Call["outcome"]): outcome is Lease =>
  typeof outcome === "object" && "token" in outcome;

/** Writes down what becomes of a call. */
export async function note(call: Call, asked: Promise<Lease | undefined>): Promise<void> {
  try {
    call.outcome = (await asked) ?? "refused";
  } catch (error) {
    call.outcome = error as Error;
  }
}

/** What has become of a call, in the words of the model. */
export function outcomeOf({ outcome, expected }: Call): string {
  if (typeof outcome === "string") return outcome;
  if (outcome instanceof MaxWaitExceededError) return outcome.wait === Number.POSITIVE_INFINITY ? "never" : "late";
  if (outcome instanceof Error) return outcome.message;
  return outcome.signal.aborted ? "lost" : expected === "released" ? "released" : "held";
}
