import type { Clock } from "../core/clock.js";
import { StoreError } from "../core/errors.js";

/** One of the script's verbs on its terms, which each of its questions shares. */
export interface Verb {
  readonly name: string;
  readonly terms: readonly number[];
  /** How many numbers the answer to each question has. */
  readonly width: number;
}

/** What the script said to a call. */
interface Answer {
  /** When the call was sent, µs on the local clock. */
  readonly sent: number;
  /** The server's clock. */
  readonly now: number;
  /** The server's moment before which nobody's turn comes by time alone. */
  readonly soonest: number;
  /** The place of the first in line. */
  readonly head: number;
  readonly reply: readonly number[];
}

/** Who asked. One of the two is called. */
export interface Asker {
  /** The answers to these questions begin at `reply[at]`. */
  answered(answer: Answer, at: number): void;
  failed(error: unknown): void;
}

/** Where the answers begin in a reply. */
const header = 4;

/** Questions about one key that travel together, and are answered in the order in which they were asked. */
export class Call {
  readonly key: string;
  /** How many questions there are. */
  size = 0;
  readonly #args: (string | number)[];
  readonly #askers: { readonly asker: Asker; readonly at: number }[] = [];
  #verb: Verb | undefined;
  /** True when those in line ask too: they find out for themselves what became of them. */
  #fromLine = false;
  /** Where the number of questions of the last verb stands. */
  #countAt = 0;
  #width = header;

  /** `channel`: where the caller hears of grants. */
  constructor(key: string, channel: string) {
    this.key = key;
    this.#args = [channel];
  }

  /** `count` questions of one verb; none is a question too, whose answer is what all answers have in common. */
  add(verb: Verb, count: number, questions: readonly (string | number)[], asker: Asker): void {
    if (verb !== this.#verb) {
      this.#verb = verb;
      this.#countAt = this.#args.push(verb.name, 0) - 1;
      this.#args.push(...verb.terms);
      this.#fromLine ||= verb.name === "beat";
    }
    (this.#args[this.#countAt] as number) += count;
    this.#args.push(...questions);
    this.#askers.push({ asker, at: this.#width });
    this.#width += verb.width * count;
    this.size += count;
  }

  /** Gives every asker its answer, and then `tell` the news; an error to every asker, and then to `doubt`, so that those in line ask. */
  async send(
    clock: Clock,
    run: (key: string, args: readonly (string | number)[]) => Promise<unknown>,
    tell: (news: string) => void,
    doubt: (key: string) => void,
  ): Promise<void> {
    const sent = clock.now();
    let answer: readonly unknown[];
    try {
      answer = checkedAnswer(await run(this.key, this.#args), this.#width);
    } catch (error) {
      for (const { asker } of this.#askers) asker.failed(error);
      if (!this.#fromLine) doubt(this.key);
      return;
    }
    const reply = answer.map(Number);
    const [, now, soonest, head] = reply as [number, number, number, number];
    const common = { sent, now, soonest, head, reply };
    for (const { asker, at } of this.#askers) asker.answered(common, at);
    if (answer[0] !== "") tell(answer[0] as string);
  }
}

/** What the script said, if it said at least so much. */
export function checkedAnswer(answer: unknown, width: number): readonly unknown[] {
  if (Array.isArray(answer) && answer.length >= width) return answer;
  throw new StoreError("ERR_STORE_UNAVAILABLE", "The store gave an answer that makes no sense.");
}
