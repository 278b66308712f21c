import { usageError } from "../command-error.js";
import {
  type DecodedFields,
  type Decoder,
  everyone,
  type FieldChoice,
  type Intake,
  isKeyless,
  longestKey,
  readCost,
  wrongMoment,
} from "./decoder.js";
import { decode, type KeyCache } from "./key-cache.js";
import { TimeReader } from "./time.js";

const space = 32;
const quote = 34;
const backslash = 92;
const hyphen = 45;
const open = 91;
const close = 93;
const digit = 48;

/** "01/Aug/1995:00:00" and " -0400": what two requests of the same minute share. */
const minuteLength = 17;
const zoneAt = 20;
const dateLength = 26;

/** Fields that stand before the time, and after it. */
const early = ["host", "ident", "user"] as const;
const late = ["request", "method", "url", "path", "protocol", "status", "bytes", "referer", "agent"] as const;

/** The fields of an access log by name. */
export const accessLogFields: readonly string[] = [...early, ...late];

/** A line that begins with one more field: `example.com:80 1.2.3.4 - - [01/Aug/…`; an `ident` is never an address. */
const vhostLine = /^\S+ (?:\d+\.\d+\.\d+\.\d+|[\da-f]*:[\da-f:.]+) \S+ \S.* ?\[\d/i;

/**
 * The common log format, and the combined one, which adds two fields at its end:
 *
 *     host ident user [01/Aug/1995:00:00:01 -0400] "GET /path HTTP/1.0" 200 1839 "referer" "agent"
 *
 * A line is a request when it has what the replay needs: a host, a time in brackets, and the fields that were chosen. So
 * a line that was cut off behind its time still counts by host. No regular expression and no string for a line of the
 * usual kind: 4.7 million lines a second, where a regular expression and `Date.UTC` manage 1.0.
 *
 * Where most lines of the `sample` begin with the name of a virtual host, the client is the field behind it.
 */
export class AccessLog implements Decoder {
  readonly #intake: Intake;
  readonly #key: string | false;
  readonly #cost: string | undefined;
  readonly #keys: KeyCache;
  readonly #vhosts: boolean;
  readonly #times: TimeReader;
  readonly #minute = Buffer.alloc(dateLength);
  #minuteMicros = 0;

  constructor(choice: FieldChoice, intake: Intake, sample: readonly string[] = []) {
    for (const field of [choice.key, choice.cost]) {
      if (typeof field === "string" && !accessLogFields.includes(field)) {
        throw usageError(
          `an access log has no field ${JSON.stringify(field)}; its fields are ${accessLogFields.join(", ")}`,
        );
      }
    }
    if (choice.time !== undefined && choice.time !== "time") {
      throw usageError("--time is for CSV, TSV and JSON lines; an access log has its time in [brackets]");
    }
    this.#intake = intake;
    this.#key = choice.key ?? "host";
    this.#cost = choice.cost;
    this.#keys = choice.keys;
    this.#vhosts = 2 * sample.filter((line) => vhostLine.test(line.slice(0, 4096))).length > sample.length;
    this.#times = new TimeReader(choice.timeUnit);
  }

  get fields(): DecodedFields {
    return {
      key: this.#key === false ? undefined : this.#key,
      time: "time",
      cost: this.#cost,
      doubt: this.#vhosts
        ? "the first field was taken for the name of a virtual host, and the second for the client"
        : undefined,
    };
  }

  line(bytes: Buffer, start: number, to: number): void {
    const from = this.#vhosts ? behindVhost(bytes, start, to) : start;
    let hostEnd = from;
    while (hostEnd < to && (bytes[hostEnd] as number) > space && bytes[hostEnd] !== 127) hostEnd++;
    if (hostEnd === from || (hostEnd < to && bytes[hostEnd] !== space)) {
      this.#intake.malformed("no host", bytes, start, to);
      return;
    }
    let date = hostEnd;
    let at = Number.NaN;
    do {
      date++;
      while (date < to && (bytes[date] !== open || bytes[date - 1] !== space)) date++;
      if (date < to) at = this.#time(bytes, date + 1, to);
    } while (date < to && Number.isNaN(at));
    const wrong = wrongMoment(at, "no time in [brackets]");
    if (wrong !== undefined) {
      this.#intake.malformed(wrong, bytes, start, to);
      return;
    }
    const cost = this.#cost === undefined ? 1 : readCost(this.#field(this.#cost, bytes, from, hostEnd, date, to) ?? "");
    if (Number.isNaN(cost)) {
      this.#intake.malformed(`no whole number in ${this.#cost}`, bytes, start, to);
      return;
    }
    if (this.#key === false) {
      this.#intake.request(at, everyone, cost);
      return;
    }
    // a host that the server did not know is a client, too
    const key =
      this.#key === "host"
        ? this.#keys.key(bytes, from, hostEnd)
        : this.#field(this.#key, bytes, from, hostEnd, date, to);
    if (key === undefined) this.#intake.malformed(`no ${this.#key}`, bytes, start, to);
    else if (this.#key !== "host" && isKeyless(key)) this.#intake.withoutKey();
    else if (key.length > longestKey) this.#intake.malformed(`${this.#key} too long`, bytes, start, to);
    else this.#intake.request(at, this.#key === "host" ? key : this.#keys.keyOf(key), cost);
  }

  end(): void {}

  /** µs; NaN when no date starts here. */
  #time(bytes: Buffer, from: number, to: number): number {
    if (from + dateLength < to && bytes[from + dateLength] === close) {
      const seconds =
        ((bytes[from + minuteLength + 1] as number) - digit) * 10 + (bytes[from + minuteLength + 2] as number) - digit;
      if (this.#sameMinute(bytes, from) && isDigits(bytes, from + minuteLength + 1) && seconds <= 60)
        return this.#minuteMicros + seconds * 1e6;
      const at = this.#times.read(bytes.toString("latin1", from, from + dateLength));
      if (!Number.isNaN(at) && bytes[from + minuteLength] === 58 && bytes[from + zoneAt] === space) {
        bytes.copy(this.#minute, 0, from, from + dateLength);
        this.#minuteMicros = at - seconds * 1e6;
      }
      return at;
    }
    // not the usual length: with a fraction, without a zone, or in ISO 8601
    const end = bytes.subarray(from, Math.min(to, from + 64)).indexOf(close);
    return end < 0 ? Number.NaN : this.#times.read(bytes.toString("latin1", from, from + end));
  }

  #sameMinute(bytes: Buffer, from: number): boolean {
    const minute = this.#minute;
    for (let at = 0; at <= minuteLength; at++) if (bytes[from + at] !== minute[at]) return false;
    for (let at = zoneAt; at < dateLength; at++) if (bytes[from + at] !== minute[at]) return false;
    return true;
  }

  /** A field other than the time; undefined when the line has none. `date` is where the bracket opens. */
  #field(name: string, bytes: Buffer, from: number, hostEnd: number, date: number, to: number): string | undefined {
    if (name === "host") return decode(bytes, from, hostEnd);
    if (name === "ident" || name === "user") {
      // a user's name may hold spaces
      const [ident, ...user] = decode(bytes, hostEnd + 1, date - 1).split(" ");
      return name === "ident" ? ident : user.length === 0 ? undefined : user.join(" ");
    }
    const start = bytes.indexOf(quote, date) + 1;
    const end = start === 0 || start > to ? -1 : requestEnd(bytes, start, to);
    if (end < 0) return undefined;
    if (late.indexOf(name as "request") < late.indexOf("status")) return requestPart(decode(bytes, start, end), name);
    const [status, sent, ...rest] = decode(bytes, end + 2, to).split(" ");
    if (name === "status") return status;
    if (name === "bytes") return sent;
    const [, referer, agent] = /^"((?:[^"\\]|\\.)*)" "(.*?)"?$/.exec(rest.join(" ")) ?? [];
    return name === "referer" ? referer : agent;
  }
}

/** Where the client's address begins: behind the first field, unless an `ident` follows that one as usual. */
function behindVhost(bytes: Buffer, from: number, to: number): number {
  const second = bytes.indexOf(space, from) + 1;
  return second === 0 || second >= to || bytes[second] === hyphen ? from : second;
}

function isDigits(bytes: Buffer, from: number): boolean {
  const tens = (bytes[from] as number) - digit;
  const ones = (bytes[from + 1] as number) - digit;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9;
}

/** The quote that ends the request: not escaped, and followed by a status. Some servers write quotes inside as they are. */
function requestEnd(bytes: Buffer, from: number, to: number): number {
  for (let at = from; at < to; at++) {
    if (bytes[at] !== quote || bytes[at - 1] === backslash || bytes[at + 1] !== space) continue;
    if (at + 4 < to && isDigits(bytes, at + 2) && isDigits(bytes, at + 3)) return at;
    if (bytes[at + 2] === hyphen) return at;
  }
  return -1;
}

/** A part of "GET /path?query HTTP/1.0"; very old clients send no protocol. */
function requestPart(request: string, name: string): string | undefined {
  if (name === "request") return request;
  const [method, ...rest] = request.split(" ");
  if (name === "method") return method;
  const protocol = rest.length > 1 && (rest.at(-1) as string).startsWith("HTTP/") ? rest.pop() : undefined;
  if (name === "protocol") return protocol;
  const url = rest.length === 0 ? undefined : rest.join(" ");
  return name === "url" ? url : url?.replace(/[?#].*$/s, "");
}
