import {
  type DecodedFields,
  type Decoder,
  doubtOf,
  everyone,
  type FieldChoice,
  type Intake,
  isKeyless,
  longestKey,
  readCost,
  usualKeys,
  usualTimes,
  wrongMoment,
} from "./decoder.js";
import { decode, type KeyCache } from "./key-cache.js";
import { TimeReader } from "./time.js";

type Json = Readonly<Record<string, unknown>>;

/**
 * One JSON object a line. A field of an object inside is written with dots: `request.remote_ip`.
 *
 * Which fields are used is told from the `sample`, not from the first line alone: logs begin with lines of another kind.
 */
export class JsonLines implements Decoder {
  readonly #intake: Intake;
  readonly #choice: FieldChoice;
  readonly #keys: KeyCache;
  readonly #times: TimeReader;
  /** Undefined until a record was seen; false: all count together. */
  #key: string | false | undefined;
  #time: string | undefined;
  #cost: string | undefined;
  #chosen = false;

  constructor(choice: FieldChoice, intake: Intake, sample: readonly string[] = []) {
    this.#intake = intake;
    this.#choice = choice;
    this.#keys = choice.keys;
    this.#times = new TimeReader(choice.timeUnit);
    this.#choose(sample.map(parse).filter((record) => record !== undefined));
  }

  get fields(): DecodedFields {
    const key = this.#key === false ? undefined : this.#key;
    const doubt = this.#choice.key === undefined ? doubtOf(key) : undefined;
    return { key, time: this.#time, cost: this.#cost, doubt };
  }

  line(bytes: Buffer, from: number, to: number): void {
    const why = this.#request(parse(decode(bytes, from, to)));
    if (why !== undefined) this.#intake.malformed(why, bytes, from, to);
  }

  end(): void {}

  /** The fields that were asked for, in the letters in which the records have them; else the usual ones. */
  #choose(records: readonly Json[]): void {
    const { key, time, cost } = this.#choice;
    this.#cost = cost === undefined ? undefined : spelling(records, cost);
    this.#key = key === false ? false : key === undefined ? undefined : spelling(records, key);
    this.#time = time === undefined ? usualTime(records, this.#choice) : spelling(records, time);
    if (records.length === 0 || this.#time === undefined) return;
    const named = usualKeys.find((name) => records.some((record) => found(record, name) !== undefined));
    this.#key ??= named === undefined ? false : spelling(records, named);
    this.#chosen = true;
  }

  /** Takes a request in, or says why not. */
  #request(object: Json | undefined): string | undefined {
    if (object === undefined) return "not a JSON object";
    if (!this.#chosen) this.#choose([object]);
    if (this.#time === undefined) return "no field that is known to be the time, choose it with --time";
    const at = this.#times.read(text(field(object, this.#time)) ?? "");
    const wrong = wrongMoment(at, `no time that can be read in ${this.#time}`);
    if (wrong !== undefined) return wrong;
    const cost = this.#cost === undefined ? 1 : readCost(text(field(object, this.#cost)) ?? "");
    if (Number.isNaN(cost)) return `no whole number in ${this.#cost}`;
    const key = typeof this.#key === "string" ? text(field(object, this.#key)) : everyone;
    if (key === undefined || isKeyless(key)) this.#intake.withoutKey();
    else if (key.length > longestKey) return `${this.#key} too long`;
    else this.#intake.request(at, this.#keys.keyOf(key), cost);
    return undefined;
  }
}

/** The usual name that is a time in most of the records, the more usual one where as many have both. */
function usualTime(records: readonly Json[], { timeUnit }: FieldChoice): string | undefined {
  let best: string | undefined;
  let most = 0;
  for (const name of usualTimes) {
    const times = records.filter((record) => {
      const value = text(found(record, name)?.value);
      return value !== undefined && !Number.isNaN(new TimeReader(timeUnit).read(value));
    });
    if (times.length <= most) continue;
    most = times.length;
    best = spelling(times, name);
  }
  return best;
}

/** The name as the first record that has it writes it; as it is, where none has it. */
function spelling(records: readonly Json[], name: string): string {
  if (records.some((record) => text(field(record, name)) !== undefined)) return name;
  for (const record of records) {
    const other = found(record, name);
    if (other !== undefined) return other.name;
  }
  return name;
}

/** A field that holds text, its name in whatever letters. */
function found(record: Json, name: string): { readonly name: string; readonly value: unknown } | undefined {
  const exact = field(record, name);
  if (text(exact) !== undefined) return { name, value: exact };
  const [whole] = inLetters(record, name);
  if (whole !== undefined && text(whole[1]) !== undefined) return { name: whole[0], value: whole[1] };
  const parts: string[] = [];
  let value: unknown = record;
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null) return undefined;
    const [entry] = inLetters(value as Json, part);
    if (entry === undefined) return undefined;
    parts.push(entry[0]);
    value = entry[1];
  }
  return text(value) === undefined ? undefined : { name: parts.join("."), value };
}

function inLetters(object: Json, name: string): [string, unknown][] {
  return Object.entries(object).filter(([key]) => key.toLowerCase() === name.toLowerCase());
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
