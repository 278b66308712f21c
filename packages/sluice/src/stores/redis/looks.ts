import { numbersPerPolicy } from "../../core/decision.js";
import type { Ask, Verdict } from "../../core/store.js";
import { isAnswer } from "./clients.js";
import type { RedisGate } from "./gate.js";
import { inner } from "./keys.js";

/** Asks the store for all of them at once. */
type Look = (asks: readonly Ask[], timeout: number) => Promise<Verdict>;

interface Bundle {
  readonly timeout: number;
  readonly asks: Ask[];
  /** What it costs the server, in rows. */
  rows: number;
  /** How many findings the verdict on all of it holds. */
  findings: number;
  readonly verdict: Promise<Verdict>;
}

/** Looks of one turn of the event loop travel as one question: they spend nothing, so that they need not agree. */
export class Looks {
  readonly #look: Look;
  readonly #max: number;
  /** By slot, those that still take more. */
  readonly #open = new Map<number, Bundle>();

  constructor(look: Look, max: number) {
    this.#look = look;
    this.#max = max;
  }

  async ask(ask: Ask, timeout: number): Promise<Verdict> {
    const gate = ask.gate as RedisGate;
    const bundle = this.#bundle(gate.slot(inner(ask.key)), timeout);
    const from = bundle.findings;
    bundle.asks.push(ask);
    bundle.rows += gate.weight;
    bundle.findings += gate.policies.length * numbersPerPolicy;
    const began = performance.now();
    try {
      const { findings } = await bundle.verdict;
      return verdictOn(Array.from(findings).slice(from, from + gate.policies.length * numbersPerPolicy));
    } catch (error) {
      // one key of another type spoils the question, but not for the others: nothing was spent, so it can be put again
      const { cause } = error as { readonly cause?: unknown };
      if (bundle.asks.length === 1 || !isAnswer(cause)) throw error;
      return this.#look([ask], left(timeout, began));
    }
  }

  #bundle(slot: number, timeout: number): Bundle {
    const open = this.#open.get(slot);
    if (open !== undefined && open.rows < this.#max && open.timeout === timeout) return open;
    const asks: Ask[] = [];
    const began = performance.now();
    const verdict = new Promise<Verdict>((resolve) => {
      // after the microtasks of this turn
      process.nextTick(() => {
        if (this.#open.get(slot) === bundle) this.#open.delete(slot);
        resolve(this.#look(asks, left(timeout, began)));
      });
    });
    const bundle: Bundle = { timeout, asks, rows: 0, findings: 0, verdict };
    this.#open.set(slot, bundle);
    return bundle;
  }
}

/** ms */
function left(timeout: number, began: number): number {
  return Math.max(1, Math.ceil(timeout - (performance.now() - began)));
}

function verdictOn(findings: readonly number[]): Verdict {
  const waits = findings.filter((_, place) => place % numbersPerPolicy === 0);
  return { granted: false, wait: Math.max(...waits), findings, ticket: undefined };
}
