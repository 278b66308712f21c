import type { TimeUnit } from "./time.js";

/** Which fields matter, as the user named them. */
export interface FieldChoice {
  /** Undefined: the format's usual one; false: all requests count together. */
  readonly key: string | false | undefined;
  /** Undefined: every request costs 1. */
  readonly cost: string | undefined;
  readonly time: string | undefined;
  readonly timeUnit: TimeUnit | undefined;
}

/** What a line turned out to be. */
export interface Intake {
  request(at: number, key: string, cost: number): void;
  /** A request that has no key. */
  withoutKey(): void;
  /** A line that is no request, and why; `behind` lines before the last one given. Its bytes are only good during the call. */
  malformed(why: string, bytes: Buffer, from: number, to: number, behind?: number): void;
}

/** Turns the lines of one format into requests. */
export interface Decoder {
  /** One line that is not blank. */
  line(bytes: Buffer, from: number, to: number): void;
  /** No more lines come. */
  end(): void;
  /** Which fields it uses, for the report. */
  readonly fields: DecodedFields;
}

/** What was read as what; undefined: nothing was. */
export interface DecodedFields {
  readonly key: string | undefined;
  readonly time: string | undefined;
  readonly cost: string | undefined;
}

/** The key of all requests when they count together. */
export const everyone = "everyone";

/** The library takes longer keys for a mistake. */
export const longestKey = 65_536;

/** A cost in text: a whole number, also written "12.0"; "-" is what access logs write for none. NaN for anything else. */
export function readCost(text: string): number {
  if (text === "-") return 0;
  const cost = /^\d+(?:\.0*)?$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(cost) ? cost : Number.NaN;
}

/** Column and field names that are commonly the time, or the key; the first that is there is used. */
export const usualTimes: readonly string[] = [
  "time",
  "timestamp",
  "@timestamp",
  "ts",
  "datetime",
  "date",
  "time_local",
  "time_iso8601",
];
export const usualKeys: readonly string[] = [
  "key",
  "client_ip",
  "clientip",
  "remote_addr",
  "remote_ip",
  "request.remote_ip",
  "client",
  "ip",
  "host",
  "user",
  "user_id",
];
