import type { Readable } from "node:stream";
import { CommandError, usageError } from "../command-error.js";
import { count, duration } from "../output/text.js";
import { inputName, readBytes } from "./bytes.js";
import type { DecodedFields, Decoder, FieldChoice, Intake } from "./decoder.js";
import { decoderFor, detectFormat, type Format } from "./format.js";
import { decode } from "./key-cache.js";
import { type LineReceiver, LineSplitter, longestLine } from "./lines.js";
import { Outliers } from "./outliers.js";
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
  /** Bytes to read at once. */
  readonly chunkSize: number;
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

/** How many malformed lines a report shows. */
export const mostSamples = 3;
const sampleLength = 200;
/** The first bytes, from which format and fields are guessed: the same ones, however the input comes in pieces. */
const guessedFrom = 1 << 16;
/** Requests that may wait for stragglers; with 24 bytes each. */
const mostHeld = 1_000_000;

/** A request that may have to be left out after all, and its line, or the first part of it. */
interface Doubtful {
  readonly at: number;
  readonly key: string;
  readonly cost: number;
  readonly lineNumber: number;
  readonly bytes: Buffer;
}

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
  #earlyBytes = 0;
  readonly #outliers = new Outliers<Doubtful>(
    ({ at, key, cost, lineNumber }) => this.#take(at, key, cost, lineNumber),
    (request, away) => this.#drop(request, away),
  );
  /** The line that is looked at. */
  #bytes: Buffer = Buffer.alloc(0);
  #from = 0;
  #to = 0;
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
    this.#chunks = readBytes(file, options, onRead);
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
    if (this.#decoder === undefined) this.#start();
    this.#splitter.end();
    this.#decoder?.end();
    for (const request of this.#outliers.end()) {
      const late = this.#order.late(request.at);
      if (late > 0) this.#drop(request, late);
      else this.#take(request.at, request.key, request.cost, request.lineNumber);
    }
    this.#order.end();
    this.#ended = true;
  }

  /** Lets go of the file, also when it was not read to its end. */
  async close(): Promise<void> {
    await this.#chunks.return();
  }

  report(): SourceReport {
    const fields = this.#decoder?.fields ?? { key: undefined, time: undefined, cost: undefined, doubt: undefined };
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
    this.#bytes = bytes;
    this.#from = from;
    this.#to = to;
    (this.#decoder as Decoder).line(bytes, from, to);
  }

  tooLong(bytes: Buffer, from: number, to: number): void {
    this.#lineNumber += 1;
    this.#lines += 1;
    this.malformed(`longer than ${longestLine} bytes`, bytes, from, to);
  }

  request(at: number, key: string, cost: number): void {
    // what is to be sorted has no neighbours
    if (this.#options.sort || this.#outliers.near(at)) {
      this.#take(at, key, cost, this.#lineNumber);
    } else {
      const bytes = Buffer.from(this.#bytes.subarray(this.#from, Math.min(this.#to, this.#from + sampleLength)));
      this.#outliers.add({ at, key, cost, lineNumber: this.#lineNumber, bytes });
    }
  }

  withoutKey(): void {
    this.#withoutKey += 1;
  }

  malformed(why: string, bytes: Buffer, from: number, to: number, behind = 0): void {
    this.#malformed += 1;
    this.#show(why, bytes, from, to, this.#lineNumber - behind);
  }

  #show(why: string, bytes: Buffer, from: number, to: number, line: number): void {
    if (this.samples.length >= mostSamples) return;
    const text = decode(bytes, from, Math.min(to, from + sampleLength));
    this.samples.push({ file: inputName(this.file), line, why, text });
  }

  #take(at: number, key: string, cost: number, lineNumber: number): void {
    const late = this.#order.late(at);
    if (late > 0) throw this.#disorder(late, lineNumber);
    this.#requests += 1;
    this.#order.push(at, key, cost);
  }

  #drop({ bytes, lineNumber }: Doubtful, away: number): void {
    this.#malformed += 1;
    this.#show(`its time is ${duration(away / 1000)} away from its neighbours`, bytes, 0, bytes.length, lineNumber);
  }

  /** Waits for all that is guessed from; where nothing is, for the first byte. */
  #begin(chunk: Buffer): void {
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes >= guessedFrom || !this.#guesses) this.#start();
  }

  get #guesses(): boolean {
    const { format, key, time } = this.#options;
    return format === undefined || (format === "jsonl" && (key === undefined || time === undefined));
  }

  /** Begins with what came so far; not yet when there is nothing but white space. */
  #start(): void {
    const early = Buffer.concat(this.#early);
    const text = early.toString("latin1", 0, guessedFrom);
    const mark = early.length < 2 ? 0 : early.readUInt16BE(0);
    if (mark === 0xfffe || mark === 0xfeff) {
      throw new CommandError(`${inputName(this.file)} is UTF-16; make it UTF-8 first, for example with iconv`);
    }
    if (early.length <= longestLine && !/\S/.test(text)) return;
    if (/\r[^\n]/.test(text) && !text.includes("\n")) {
      throw new CommandError(
        `the lines of ${inputName(this.file)} end with CR alone; make it LF first, for example with tr '\\r' '\\n'`,
      );
    }
    this.#early = [];
    const { delimiter } = this.#options;
    const sample = firstLines(early);
    this.#format ??= delimiter === undefined ? detectFormat(sample) : "csv";
    if (this.#format === undefined) throw unknownFormat(inputName(this.file), sample);
    const making = { choice: this.#options, intake: this, delimiter, sample };
    this.#decoder = decoderFor(this.#format, making);
    this.#splitter.write(early);
  }

  #disorder(late: number, lineNumber: number): Error {
    const { reorder } = this.#options;
    const line = `${inputName(this.file)}, line ${lineNumber}: this request came ${duration(late / 1000)} too late to be put in order`;
    return new CommandError(
      this.#order.overflowed
        ? `${line} (more than ${count(mostHeld)} requests lie within the ${duration(reorder / 1000)} of --reorder); use --sort to load and sort everything`
        : `${line} (requests may come up to ${duration(reorder / 1000)} after newer ones); use --sort to load and sort everything, or a longer --reorder`,
    );
  }
}

/** Whole lines that are not blank; the only line as far as it goes, where it has no end yet. */
function firstLines(early: Buffer): string[] {
  const whole = early.length < guessedFrom ? early.length : early.lastIndexOf(10, guessedFrom - 1) + 1;
  const text = decode(early, 0, whole === 0 ? guessedFrom : whole).replace(/^(?:\uFEFF|\xef\xbb\xbf)/, "");
  return text.split(/\r?\n/).filter((line) => line.trim() !== "");
}

/** Tables without a header, or with another delimiter, look like nothing: says what would help. */
function unknownFormat(name: string, sample: readonly string[]): Error {
  const first = sample[0] ?? "";
  const delimiter = [";", "|"].find((each) => first.includes(each));
  const hint =
    delimiter === undefined ? "" : `; columns that are separated by ${delimiter} need --delimiter '${delimiter}'`;
  return usageError(`cannot tell the format of ${name} from its first lines; choose it with --format${hint}`);
}
