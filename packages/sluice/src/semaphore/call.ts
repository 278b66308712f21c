import type { Clock } from "../core/clock.js";
import { StoreError } from "../core/errors.js";

/** What the script said to a call, and which of its questions was one's own. */
export interface Answer {
  /** When the call was sent, µs on the local clock. */
  readonly sent: number;
  readonly reply: readonly number[];
  readonly index: number;
}

interface Asker {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** Questions about one key that travel together. */
export class Call {
  readonly key: string;
  readonly kind: string;
  readonly #args: (string | number)[];
  readonly #askers: Asker[] = [];

  constructor(key: string, kind: string, terms: readonly (string | number)[]) {
    this.key = key;
    this.kind = kind;
    this.#args = [...terms];
  }

  get size(): number {
    return this.#askers.length;
  }

  add(question: readonly (string | number)[]): Promise<Answer> {
    this.#args.push(...question);
    return new Promise((resolve, reject) => {
      this.#askers.push({ resolve, reject });
    });
  }

  async send(clock: Clock, run: (key: string, args: readonly (string | number)[]) => Promise<unknown>): Promise<void> {
    const sent = clock.now();
    try {
      const answer = await run(this.key, this.#args);
      if (!Array.isArray(answer)) {
        throw new StoreError("ERR_STORE_UNAVAILABLE", "The store gave an answer that makes no sense.");
      }
      const reply = answer.map(Number);
      this.#askers.forEach(({ resolve }, index) => {
        resolve({ sent, reply, index });
      });
    } catch (error) {
      for (const { reject } of this.#askers) reject(error);
    }
  }
}
