import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { CommandError } from "../command-error.js";

/** Standard input, as an argument. */
export const standardInput = "-";

/** How to read. */
interface Reading {
  /** What the file name "-" stands for. */
  readonly stdin: Readable;
  /** Bytes to read at once. */
  readonly chunkSize: number;
}

/** All inputs are open together: what one may hold in its buffers, so that they stay within a few megabytes. */
export function chunkSizeFor(inputs: number): number {
  return Math.max(1 << 14, Math.min(1 << 18, Math.floor((1 << 22) / Math.max(1, inputs))));
}

/** What an input is called in messages. */
export function inputName(file: string): string {
  return file === standardInput ? "standard input" : file;
}

/** The bytes on disk of all inputs together; undefined when one is not a plain file. */
export async function totalSize(files: readonly string[]): Promise<number | undefined> {
  let total = 0;
  for (const file of files) {
    if (file === standardInput) return undefined;
    const found = await stat(file).catch((error: unknown) => Promise.reject(readable(file, error)));
    if (!found.isFile()) return undefined;
    total += found.size;
  }
  return total;
}

/**
 * The bytes of an input in large chunks, unzipped where they are gzip, whatever the file is called. `onRead` is told how
 * many were read, before unzipping.
 *
 * @throws CommandError that says which file, and why.
 */
export async function* readBytes(
  file: string,
  { stdin, chunkSize }: Reading,
  onRead: (bytes: number) => void,
): AsyncGenerator<Buffer, void, void> {
  const raw = file === standardInput ? stdin : createReadStream(file, { highWaterMark: chunkSize });
  try {
    yield* unzipped(counted(raw, onRead), chunkSize);
  } catch (error) {
    throw readable(file, error);
  } finally {
    raw.destroy();
  }
}

async function* counted(chunks: AsyncIterable<Buffer>, onRead: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    onRead(chunk.length);
    yield chunk;
  }
}

async function* unzipped(chunks: AsyncGenerator<Buffer>, chunkSize: number): AsyncGenerator<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 2) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  const all = (async function* () {
    yield head;
    yield* chunks;
  })();
  if (head[0] === 0x1f && head[1] === 0x8b) {
    // an error of either ends the other, and comes out of the loop that reads
    yield* pipeline(
      Readable.from(all, { objectMode: false }),
      createGunzip({ chunkSize }),
      () => {},
    ) as AsyncIterable<Buffer>;
  } else {
    yield* all;
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a directory",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EMFILE: "too many files are open; join some with cat, and read them from standard input",
  Z_BUF_ERROR: "its gzip data ends too early",
  Z_DATA_ERROR: "its gzip data is damaged",
};

/** An error of the system as a sentence. */
function readable(file: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  return new CommandError(`cannot read ${inputName(file)}: ${reasons[code] ?? message}`, undefined, { cause: error });
}
