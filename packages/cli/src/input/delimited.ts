import { usageError } from "../command-error.js";
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
import { continueQuoted, type OpenRecord, splitQuoted } from "./split-quoted.js";
import { TimeReader } from "./time.js";

const space = 32;
const quote = 34;
/** How far a quoted field may reach: beyond it, its quote was a mistake. */
const mostHeldLines = 1000;
const mostHeldBytes = 1 << 16;
const notClosed = "a quote is not closed";

/** Positions of the columns in use, from 0. */
interface Columns {
  readonly key: number | undefined;
  readonly time: number;
  readonly cost: number | undefined;
}

/**
 * Comma- or tab-separated values. The columns are chosen by name or by number; a first line that is no request is the
 * header. A field in quotes may reach over several lines.
 *
 * Lines are cut before quotes are looked at, so that a quote that is never closed costs one line: csv-parse 7 drops the
 * rest of the file there, and after a record that is too long. It reads 0.24 million rows a second of nine columns, this
 * 1.6 without quotes and 0.7 with. A test compares what the two make of well-formed rows.
 */
export class Delimited implements Decoder {
  readonly #choice: FieldChoice;
  readonly #delimiter: string;
  readonly #delimiterByte: number;
  readonly #intake: Intake;
  readonly #keys: KeyCache;
  readonly #times: TimeReader;
  #header: readonly string[] | undefined;
  #columns: Columns | undefined;
  /** Where each column up to the last one in use begins; one more, for the end of the last. */
  #starts = new Int32Array(1);
  /** A record with a field whose closing quote has not come yet, and its lines. */
  #open: OpenRecord | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** How many lines back the one lies that is looked at. */
  #behind = 0;

  constructor(delimiter: string, choice: FieldChoice, intake: Intake) {
    this.#delimiter = delimiter;
    this.#delimiterByte = delimiter.charCodeAt(0);
    this.#choice = choice;
    this.#intake = intake;
    this.#keys = choice.keys;
    this.#times = new TimeReader(choice.timeUnit);
  }

  get fields(): DecodedFields {
    const name = (column: number | undefined): string | undefined =>
      column === undefined ? undefined : (this.#header?.[column] ?? `column ${column + 1}`);
    const { key, time, cost } = this.#columns ?? { key: undefined, time: undefined, cost: undefined };
    const doubt = this.#choice.key === undefined ? doubtOf(name(key)) : undefined;
    return { key: name(key), time: name(time), cost: name(cost), doubt };
  }

  line(bytes: Buffer, from: number, to: number): void {
    if (this.#held.length > 0) this.#goOn(bytes, from, to);
    else if (this.#columns === undefined) this.#first(bytes, from, to);
    else if (!this.#plain(bytes, from, to, this.#columns)) this.#quoted(bytes, from, to, this.#columns);
  }

  end(): void {
    while (this.#held.length > 0) this.#giveUp();
  }

  /** The header, or where none is needed perhaps the first request. */
  #first(bytes: Buffer, from: number, to: number): void {
    const text = decode(bytes, from, to);
    const split = splitQuoted(text, this.#delimiter, false);
    const cells = (Array.isArray(split) ? split : text.split(this.#delimiter)).map((cell) => cell.trim());
    const { key, time, cost } = this.#choice;
    const byNumber =
      time !== undefined && [key, time, cost].every((each) => each === undefined || each === false || isNumber(each));
    const isRequest =
      byNumber && !Number.isNaN(new TimeReader(this.#choice.timeUnit).read(cells[Number(time) - 1] ?? ""));
    if (!isRequest) this.#header = cells;
    const timeColumn = time === undefined ? usual(usualTimes, cells) : this.#column("--time", time, cells);
    if (timeColumn === undefined) {
      const hint = cells.findIndex((cell) => !Number.isNaN(new TimeReader(this.#choice.timeUnit).read(cell))) + 1;
      const number = hint === 0 ? "" : `, by its number if there is no header: --time ${hint}`;
      throw usageError(`none of the columns ${listed(cells)} is known to be the time; choose it with --time${number}`);
    }
    this.#columns = {
      key:
        key === false
          ? undefined
          : key === undefined
            ? isRequest
              ? undefined
              : usual(usualKeys, cells)
            : this.#column("--key", key, cells),
      time: timeColumn,
      cost: cost === undefined ? undefined : this.#column("--cost", cost, cells),
    };
    this.#starts = new Int32Array(Math.max(this.#columns.key ?? 0, timeColumn, this.#columns.cost ?? 0) + 2);
    if (isRequest) this.line(bytes, from, to);
  }

  #column(option: string, chosen: string, header: readonly string[]): number {
    const exact = header.indexOf(chosen);
    if (exact >= 0) return exact;
    const folded = header.findIndex((name) => name.toLowerCase() === chosen.toLowerCase());
    if (folded >= 0) return folded;
    if (isNumber(chosen) && Number(chosen) <= header.length) return Number(chosen) - 1;
    throw usageError(`${option} ${chosen}: there is no such column among ${listed(header)}`);
  }

  /** A line without quotes; false when it has some. */
  #plain(bytes: Buffer, from: number, to: number, columns: Columns): boolean {
    const starts = this.#starts;
    const last = starts.length - 1;
    starts[0] = from;
    let column = 0;
    for (let at = from; at < to; at++) {
      const byte = bytes[at];
      if (byte === quote) return false;
      if (byte === this.#delimiterByte && column < last) starts[++column] = at + 1;
    }
    if (column < last) starts[++column] = to + 1;
    if (column < last) {
      this.#malformed("too few columns", bytes, from, to);
      return true;
    }
    const text = (index: number): string =>
      bytes.toString("latin1", starts[index], (starts[index + 1] as number) - 1).trim();
    const time = text(columns.time);
    const cost = columns.cost === undefined ? undefined : text(columns.cost);
    const why = this.#request(time, columns.key === undefined ? everyone : this.#key(bytes, columns.key), cost);
    if (why !== undefined) this.#malformed(why, bytes, from, to);
    return true;
  }

  #key(bytes: Buffer, column: number): string {
    let from = this.#starts[column] as number;
    let to = (this.#starts[column + 1] as number) - 1;
    while (from < to && bytes[from] === space) from++;
    while (from < to && bytes[to - 1] === space) to--;
    return this.#keys.key(bytes, from, to);
  }

  #quoted(bytes: Buffer, from: number, to: number, columns: Columns): void {
    const text = decode(bytes, from, to);
    const cells = splitQuoted(text, this.#delimiter, false);
    if (Array.isArray(cells)) {
      const why = this.#record(cells, columns);
      if (why !== undefined) this.#malformed(why, bytes, from, to);
      return;
    }
    // what reaches over several lines has to be in order everywhere
    const strict = splitQuoted(text, this.#delimiter, true);
    if (Array.isArray(strict) || strict === "stray") {
      this.#malformed(notClosed, bytes, from, to);
      return;
    }
    this.#open = strict;
    this.#hold(bytes, from, to);
  }

  /** The next line of a field that is open. */
  #goOn(bytes: Buffer, from: number, to: number): void {
    this.#hold(bytes, from, to);
    const tooMuch = this.#held.length > mostHeldLines || this.#heldBytes > mostHeldBytes;
    const cells = tooMuch
      ? "stray"
      : continueQuoted(this.#open as OpenRecord, decode(bytes, from, to), this.#delimiter);
    if (cells === "stray") this.#giveUp();
    else if (!Array.isArray(cells)) this.#open = cells;
    else if (this.#record(cells, this.#columns as Columns) === undefined) this.#held = [];
    else this.#giveUp();
  }

  #hold(bytes: Buffer, from: number, to: number): void {
    if (this.#held.length === 0) this.#heldBytes = 0;
    this.#held.push(Buffer.from(bytes.subarray(from, to)));
    this.#heldBytes += to - from;
  }

  /** The first line held is malformed; the others stand for themselves, and may open a field again. */
  #giveUp(): void {
    const [first, ...others] = this.#held as [Buffer, ...Buffer[]];
    this.#held = [];
    this.#behind += others.length;
    this.#malformed(notClosed, first, 0, first.length);
    for (const line of others) {
      this.#behind -= 1;
      this.line(line, 0, line.length);
    }
  }

  #malformed(why: string, bytes: Buffer, from: number, to: number): void {
    this.#intake.malformed(why, bytes, from, to, this.#behind);
  }

  /** Takes a record in, or says why not. */
  #record(cells: readonly string[], columns: Columns): string | undefined {
    if (cells.length < this.#starts.length - 1) return "too few columns";
    const { key, time, cost } = columns;
    const cell = (column: number): string => (cells[column] as string).trim();
    return this.#request(
      cell(time),
      key === undefined ? everyone : this.#keys.keyOf(cell(key)),
      cost === undefined ? undefined : cell(cost),
    );
  }

  #request(time: string, key: string, costText: string | undefined): string | undefined {
    const at = this.#times.read(time);
    const wrong = wrongMoment(at, "no time that can be read");
    if (wrong !== undefined) return wrong;
    const cost = costText === undefined ? 1 : readCost(costText);
    if (Number.isNaN(cost)) return "no whole number as cost";
    if (isKeyless(key)) this.#intake.withoutKey();
    else if (key.length > longestKey) return "key too long";
    else this.#intake.request(at, key, cost);
    return undefined;
  }
}

function isNumber(column: string): boolean {
  return /^[1-9]\d*$/.test(column);
}

function usual(names: readonly string[], header: readonly string[]): number | undefined {
  const folded = header.map((name) => name.toLowerCase());
  const known = names.find((name) => folded.includes(name));
  return known === undefined ? undefined : folded.indexOf(known);
}

function listed(header: readonly string[]): string {
  const shown = header.slice(0, 20).map((name) => JSON.stringify(name.slice(0, 40)));
  return shown.join(", ") + (header.length > shown.length ? ", …" : "");
}
