import { fixedWindow, type Policy, slidingCounter, slidingWindow, tokenBucket } from "../../src/index.js";

/** One policy of each kind. */
export const kinds = {
  "fixed window": ({ limit, window }: Figures): Policy => fixedWindow({ limit, window }),
  "fixed window on the clock": ({ limit, window }: Figures): Policy => fixedWindow({ limit, window, anchor: "epoch" }),
  "sliding window": ({ limit, window }: Figures): Policy => slidingWindow({ limit, window }),
  "sliding counter": ({ limit, window }: Figures): Policy => slidingCounter({ limit, window }),
  "token bucket": ({ limit, window }: Figures): Policy => tokenBucket({ rate: limit, per: window }),
  "token bucket by intervals": ({ limit, window }: Figures): Policy =>
    tokenBucket({ rate: limit, per: window, refill: "interval" }),
} as const;

export interface Figures {
  readonly limit: number;
  /** ms */
  readonly window: number;
}

export type Kind = keyof typeof kinds;
export const kindNames: readonly Kind[] = Object.keys(kinds) as Kind[];

/** A window that does not end while tests run, wherever it begins: its multiples on the clock lie years apart. */
export const endless: number = 1000 * 86_400_000;

/** What a member of a fleet is told to do: always on a limiter of this kind and name. */
export interface Order extends Figures {
  readonly verb: "consume" | "load" | "wait" | "abort" | "close";
  readonly kind: Kind;
  readonly name: string;
  readonly key: string;
  /** consume: how many callers at once; load: how many callers, each again and again. */
  readonly count?: number;
  /** load: how long, ms. */
  readonly lasting?: number;
  /** wait: which of its waits this is, to abort it by. */
  readonly id?: number;
  readonly options?: object;
}

/** What became of the calls of an order. */
export interface Tally {
  readonly allowed: number;
  readonly refused: number;
  readonly failed: number;
}

export type Report =
  /** An order is done; of a wait: it has its place. */
  | { readonly done: number; readonly tally: Tally; readonly error?: string }
  /** A wait has ended; `at` in ms on the clock that all processes of a machine share. */
  | { readonly ended: number; readonly outcome: string; readonly at: number };
