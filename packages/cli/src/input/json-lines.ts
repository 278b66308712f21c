import { latestMoment } from "sluice/simulate";
import {
  type DecodedFields,
  type Decoder,
  everyone,
  type FieldChoice,
  type Intake,
  longestKey,
  readCost,
  usualKeys,
  usualTimes,
} from "./decoder.js";
import { decode } from "./key-cache.js";
import { TimeReader } from "./time.js";

type Json = Readonly<Record<string, unknown>>;

/** One JSON object a line. A field of an object inside is written with dots: `request.remote_ip`. */
export class JsonLines implements Decoder {
  readonly #intake: Intake;
  readonly #times: TimeReader;
  readonly #cost: string | undefined;
  #key: string | false | undefined;
  #time: string | undefined;

  constructor(choice: FieldChoice, intake: Intake) {
    this.#intake = intake;
    this.#times = new TimeReader(choice.timeUnit);
    this.#key = choice.key;
    this.#time = choice.time;
    this.#cost = choice.cost;
  }

  get fields(): DecodedFields {
    return { key: this.#key === false ? undefined : this.#key, time: this.#time, cost: this.#cost };
  }

  line(bytes: Buffer, from: number, to: number): void {
    const why = this.#request(parse(decode(bytes, from, to)));
    if (why !== undefined) this.#intake.malformed(why, bytes, from, to);
  }

  end(): void {}

  /** Takes a request in, or says why not. */
  #request(object: Json | undefined): string | undefined {
    if (object === undefined) return "not a JSON object";
    this.#time ??= usualTimes.find((name) => !Number.isNaN(this.#readTime(object, name)));
    if (this.#time === undefined) return "no field that is known to be the time, choose it with --time";
    const at = this.#readTime(object, this.#time);
    if (!(at >= 0 && at <= latestMoment)) return `no time that can be read in ${this.#time}`;
    this.#key ??= usualKeys.find((name) => text(field(object, name)) !== undefined) ?? false;
    const cost = this.#cost === undefined ? 1 : readCost(text(field(object, this.#cost)) ?? "");
    if (Number.isNaN(cost)) return `no whole number in ${this.#cost}`;
    const key = this.#key === false ? everyone : text(field(object, this.#key));
    if (key === undefined || key === "") this.#intake.withoutKey();
    else if (key.length > longestKey) return `${this.#key} too long`;
    else this.#intake.request(at, key, cost);
    return undefined;
  }

  #readTime(object: Json, name: string): number {
    return this.#times.read(text(field(object, name)) ?? "");
  }
}

function parse(line: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}

/** The field of this very name, else the one that its dots lead to. */
function field(object: Json, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  let value: unknown = object;
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Json)[part];
  }
  return value;
}

/** Text, numbers in digits and without an exponent, and booleans; undefined for everything else. */
function text(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number") {
    const digits = String(value);
    return digits.includes("e") ? value.toFixed(9) : digits;
  }
  return typeof value === "boolean" ? String(value) : undefined;
}
