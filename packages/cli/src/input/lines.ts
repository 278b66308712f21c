/** The longest line that is read; longer ones are counted and skipped, without being held. */
export const longestLine: number = 1 << 20;

/** What becomes of the lines; `bytes` is only good during the call. */
export interface LineReceiver {
  line(bytes: Buffer, from: number, to: number): void;
  /** A line longer than `longestLine`; its first bytes. */
  tooLong(bytes: Buffer, from: number, to: number): void;
}

const lineFeed = 10;
const carriageReturn = 13;

/**
 * Cuts chunks into lines without copying them: only a line that lies across two chunks is put together. Lines end with LF
 * or CR LF, the last one may have no end; a byte order mark before the first is dropped.
 */
export class LineSplitter {
  readonly #receiver: LineReceiver;
  /** The start of a line whose end has not come yet. */
  #held: Buffer[] = [];
  #heldLength = 0;
  #tooLong = false;
  #first = true;

  constructor(receiver: LineReceiver) {
    this.#receiver = receiver;
  }

  write(chunk: Buffer): void {
    let from = 0;
    if (this.#heldLength > 0) {
      const end = chunk.indexOf(lineFeed);
      this.#hold(chunk, 0, end < 0 ? chunk.length : end);
      if (end < 0) return;
      this.#release();
      from = end + 1;
    }
    for (let end = chunk.indexOf(lineFeed, from); end >= 0; end = chunk.indexOf(lineFeed, from)) {
      this.#line(chunk, from, end);
      from = end + 1;
    }
    if (from < chunk.length) this.#hold(chunk, from, chunk.length);
  }

  end(): void {
    if (this.#heldLength > 0) this.#release();
  }

  #hold(chunk: Buffer, from: number, to: number): void {
    this.#heldLength += to - from;
    if (this.#tooLong) return;
    this.#tooLong = this.#heldLength > longestLine;
    this.#held.push(Buffer.from(chunk.subarray(from, Math.min(to, from + longestLine))));
  }

  #release(): void {
    const bytes = this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held);
    const tooLong = this.#tooLong;
    this.#held = [];
    this.#heldLength = 0;
    this.#tooLong = false;
    if (tooLong) this.#receiver.tooLong(bytes, 0, bytes.length);
    else this.#line(bytes, 0, bytes.length);
  }

  #line(bytes: Buffer, from: number, end: number): void {
    const to = end > from && bytes[end - 1] === carriageReturn ? end - 1 : end;
    if (to - from > longestLine) {
      this.#receiver.tooLong(bytes, from, to);
      return;
    }
    const marked = this.#first && to - from >= 3 && bytes.readUIntBE(from, 3) === 0xefbbbf;
    this.#first = false;
    this.#receiver.line(bytes, marked ? from + 3 : from, to);
  }
}
