import { latestMoment } from "sluice/simulate";
import type { KeyCache } from "./key-cache.js";
import type { TimeUnit } from "./time.js";

/** Which fields matter, as the user named them. */
export interface FieldChoice {
  /** Undefined: the format's usual one; false: all requests count together. */
  readonly key: string | false | undefined;
  /** Undefined: every request costs 1. */
  readonly cost: string | undefined;
  readonly time: string | undefined;
  readonly timeUnit: TimeUnit | undefined;
  /** Makes the keys; all inputs share it. */
  readonly keys: KeyCache;
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
  /** What was guessed, and may be wrong: a sentence for whoever reads the report. */
  readonly doubt: string | undefined;
}

/** The key of all requests when they count together. */
export const everyone = "everyone";

/** An empty field, or the "-" that access logs write for nothing, is no key. */
export function isKeyless(text: string): boolean {
  return text === "" || text === "-";
}

/** The library takes longer keys for a mistake. */
export const longestKey = 65_536;

/** A cost in text: a whole number, also written "12.0"; "-" is what access logs write for none. NaN for anything else. */
export function readCost(text: string): number {
  if (text === "-") return 0;
  const cost = /^\d+(?:\.0*)?$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(cost) ? cost : Number.NaN;
}

/** Why a moment (NaN: none was read) cannot be replayed; undefined when it can. */
export function wrongMoment(at: number, unreadable: string): string | undefined {
  if (at >= 0 && at <= latestMoment) return undefined;
  return Number.isNaN(at) ? unreadable : "its time is not within 1970 to 2077";
}

/** Names in small letters that are commonly the time, or the key: the first that is there is used, in whatever letters. */
export const usualTimes: readonly string[] = [
  "time",
  "timestamp",
  "@timestamp",
  "ts",
  "datetime",
  "date",
  "time_local",
  "time_iso8601",
  "starttime",
  "startutc",
];
export const usualKeys: readonly string[] = [
  "key",
  "client_ip",
  "clientip",
  "client.ip",
  "request.client_ip",
  "remote_addr",
  "remoteaddr",
  "remote_ip",
  "remoteip",
  "remote_address",
  "remoteaddress",
  "request.remote_ip",
  "req.remoteaddress",
  "httprequest.remoteip",
  "client_addr",
  "clientaddress",
  "clienthost",
  "source.ip",
  "source_ip",
  "sourceip",
  "sourceipaddress",
  "c-ip",
  "client",
  "ip",
  "ip_address",
  "user",
  "user_id",
  "userid",
  "host",
];

/** `host` is the client in some logs, and the server that writes the log in others. */
export function doubtOf(key: string | undefined): string | undefined {
  if (key?.toLowerCase() !== "host") return undefined;
  return "host was taken for the client, for want of a better field: if it names the server, choose another --key";
}
