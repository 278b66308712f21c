import { rangeError, show } from "./errors.js";
import type { Policy } from "./policy.js";
import { ruleOf } from "./policy.js";
import { warnOnce } from "./warn.js";

interface Entry<G> {
  readonly gate: G;
  readonly promise: string;
  users: number;
}

/** Limiters looked at for idle ones whenever another is opened: more than one, so that they do not pile up. */
const looksPerOpen = 4;

/** The limiters of one store in this process, by name: one gate each, shared by limiters that promise the same. */
export class Registry<G extends { forget(): void; retire(): void }> {
  readonly #make: (policies: readonly Policy[], limiter: string) => G;
  readonly #stateful: boolean;
  readonly #entries = new Map<string, Entry<G>>();

  /** `stateful` where a gate holds the counts themselves, so that it stays when nobody uses it. */
  constructor(make: (policies: readonly Policy[], limiter: string) => G, stateful: boolean) {
    this.#make = make;
    this.#stateful = stateful;
  }

  /**
   * The gate of this name. Two limiters of one name and different policies would count in each other's rows: an error.
   * Of the same policies they share the count, which may be what is wanted: a warning, once.
   */
  open(limiter: string, policies: readonly Policy[]): G {
    const promise = JSON.stringify(
      policies.map((policy) => [policy, ruleOf(policy).algorithm.name, ruleOf(policy).parameters]),
    );
    const entry = this.#entries.get(limiter);
    if (entry !== undefined && entry.promise === promise) {
      if (entry.users > 0) {
        warnOnce(
          `limiter-name:${limiter}`,
          `Two limiters named ${show(limiter)} share one store and one count. If that is not meant, give each a \`name\` of its own.`,
        );
      }
      entry.users += 1;
      return entry.gate;
    }
    if (entry !== undefined && entry.users > 0) {
      throw rangeError(
        "ERR_LIMITER_NAME_TAKEN",
        `A limiter named ${show(limiter)} with other policies is open on this store: give each a \`name\` of its own.`,
      );
    }
    entry?.gate.retire();
    const gate = this.#make(policies, limiter);
    this.#entries.set(limiter, { gate, promise, users: 1 });
    return gate;
  }

  /**
   * One limiter less uses this name; returns the gate that nobody uses now. If it is stateful, it stays until the store
   * closes or the name is given other policies.
   */
  leave(limiter: string): G | undefined {
    const entry = this.#entries.get(limiter);
    if (entry === undefined || entry.users === 0) return undefined;
    entry.users -= 1;
    if (entry.users > 0) return undefined;
    if (!this.#stateful) this.#entries.delete(limiter);
    return entry.gate;
  }

  /** Drops those that nobody uses and that are over; looks at a few each time. */
  dropIdle(isOver: (gate: G) => boolean): void {
    let left = looksPerOpen;
    for (const [limiter, entry] of this.#entries) {
      if (left-- === 0) return;
      this.#entries.delete(limiter);
      // who stays goes to the end, so that all have their turn
      if (entry.users > 0 || !isOver(entry.gate)) this.#entries.set(limiter, entry);
      else entry.gate.retire();
    }
  }

  *values(): Iterable<G> {
    for (const { gate } of this.#entries.values()) yield gate;
  }

  forget(): void {
    for (const { gate } of this.#entries.values()) gate.forget();
  }
}
