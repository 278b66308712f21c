import type { Readable } from "node:stream";
import { CommandError, usageError } from "../command-error.js";
import { duration } from "../output/text.js";
import { inputName, readBytes } from "./bytes.js";
import type { DecodedFields, Decoder, FieldChoice, Intake } from "./decoder.js";
import { decoderFor, detectFormat, type Format } from "./format.js";
import { decode } from "./key-cache.js";
import { type LineReceiver, LineSplitter, longestLine } from "./lines.js";
import { Reorder, type Sink } from "./reorder.js";

/** How to read the inputs. */
export interface InputOptions extends FieldChoice {
  /** What the file name "-" stands for. */
  readonly stdin: Readable;
  readonly format: Format | undefined;
  readonly delimiter: string | undefined;
  /** µs that a request may come after a newer one. */
  readonly reorder: number;
  /** Load everything, and sort it. */
  readonly sort: boolean;
}

/** A line that was no request. */
export interface MalformedSample {
  readonly file: string;
  /** Number of the line, from 1. */
  readonly line: number;
  readonly why: string;
  readonly text: string;
}

/** What was found in one input. */
export interface SourceReport extends DecodedFields {
  readonly file: string;
  readonly format: Format | undefined;
  /** Lines that are not blank. */
  readonly lines: number;
  readonly requests: number;
  readonly malformed: number;
  readonly withoutKey: number;
}

const mostSamples = 3;
const sampleLength = 200;
/** Requests that may wait for stragglers; with 24 bytes each. */
const mostHeld = 1_000_000;

/** One input as a queue of requests in order of time. */
export class Source implements Intake, LineReceiver {
  readonly file: string;
  readonly samples: MalformedSample[] = [];
  readonly #options: InputOptions;
  readonly #chunks: AsyncGenerator<Buffer, void, void>;
  readonly #splitter = new LineSplitter(this);
  readonly #order: Reorder;
  #format: Format | undefined;
  #decoder: Decoder | undefined;
  /** What came before the format was known. */
  #early: Buffer[] = [];
  #lineNumber = 0;
  #lines = 0;
  #requests = 0;
  #malformed = 0;
  #withoutKey = 0;
  #ended = false;

  constructor(file: string, options: InputOptions, onRead: (bytes: number) => void) {
    this.file = file;
    this.#options = options;
    this.#format = options.format;
    this.#chunks = readBytes(file, options.stdin, onRead);
    this.#order = options.sort
      ? new Reorder(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
      : new Reorder(options.reorder, mostHeld);
  }

  /** True when nothing more can be read; what was read may still have to be drained. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The moment of the next request; Infinity when more has to be read first. */
  get ready(): number {
    return this.#order.ready;
  }

  /** Sends on, in order, what was read, up to and including the moment `until`. */
  drain(until: number, sink: Sink): void {
    this.#order.drain(until, sink);
  }

  /** Reads a chunk. */
  async fill(): Promise<void> {
    const next = await this.#chunks.next();
    if (next.done !== true) {
      if (this.#decoder === undefined) this.#begin(next.value);
      else this.#splitter.write(next.value);
      return;
    }
    if (this.#decoder === undefined) this.#start(/\S/);
    this.#splitter.end();
    this.#decoder?.end();
    this.#order.end();
    this.#ended = true;
  }

  /** Lets go of the file, also when it was not read to its end. */
  async close(): Promise<void> {
    await this.#chunks.return();
  }

  report(): SourceReport {
    const fields = this.#decoder?.fields ?? { key: undefined, time: undefined, cost: undefined };
    return {
      file: inputName(this.file),
      format: this.#format,
      ...fields,
      lines: this.#lines,
      requests: this.#requests,
      malformed: this.#malformed,
      withoutKey: this.#withoutKey,
    };
  }

  line(bytes: Buffer, from: number, to: number): void {
    this.#lineNumber += 1;
    let at = from;
    while (at < to && (bytes[at] === 32 || bytes[at] === 9)) at++;
    if (at === to) return;
    this.#lines += 1;
    (this.#decoder as Decoder).line(bytes, from, to);
  }

  tooLong(bytes: Buffer, from: number, to: number): void {
    this.#lineNumber += 1;
    this.#lines += 1;
    this.malformed(`longer than ${longestLine} bytes`, bytes, from, to);
  }

  request(at: number, key: string, cost: number): void {
    const late = this.#order.late(at);
    if (late > 0) throw this.#disorder(late);
    this.#requests += 1;
    this.#order.push(at, key, cost);
  }

  withoutKey(): void {
    this.#withoutKey += 1;
  }

  malformed(why: string, bytes: Buffer, from: number, to: number, behind = 0): void {
    this.#malformed += 1;
    if (this.samples.length < mostSamples) {
      const text = decode(bytes, from, Math.min(to, from + sampleLength));
      this.samples.push({ file: inputName(this.file), line: this.#lineNumber - behind, why, text });
    }
  }

  /** Waits for the first whole line that is not blank before guessing the format. */
  #begin(chunk: Buffer): void {
    this.#early.push(chunk);
    const known = this.#early.reduce((sum, { length }) => sum + length, 0);
    if (this.#format !== undefined || known > longestLine || chunk.includes(10)) this.#start(/\S.*\n/);
  }

  /** Begins with what came so far; unless the format has to be guessed, and what came does not look like `enough`. */
  #start(enough: RegExp): void {
    const early = Buffer.concat(this.#early);
    if (this.#format === undefined && early.length <= longestLine && !enough.test(early.toString("latin1"))) return;
    this.#early = [];
    const mark = early.length < 2 ? 0 : early.readUInt16BE(0);
    if (mark === 0xfffe || mark === 0xfeff) {
      throw new CommandError(`${inputName(this.file)} is UTF-16; make it UTF-8 first, for example with iconv`);
    }
    const { delimiter } = this.#options;
    this.#format ??= delimiter === undefined ? detectFormat(early.toString("latin1", 0, 1 << 16)) : "csv";
    if (this.#format === undefined) {
      throw usageError(
        `cannot tell the format of ${inputName(this.file)} from its first lines; choose it with --format`,
      );
    }
    this.#decoder = decoderFor(this.#format, delimiter, this.#options, this);
    this.#splitter.write(early);
  }

  #disorder(late: number): Error {
    return new CommandError(
      `${inputName(this.file)}, line ${this.#lineNumber}: this request came ${duration(late / 1000)} too late to be put in order` +
        ` (requests may come up to ${duration(this.#options.reorder / 1000)} after newer ones); use --sort to load and sort everything, or a longer --reorder`,
    );
  }
}
