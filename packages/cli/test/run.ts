import { Readable, Writable } from "node:stream";
import { runCommand } from "../src/program.js";

/** What the command did. */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** What comes in on standard input, in these pieces. */
  readonly stdin?: readonly Buffer[];
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Both outputs are a terminal so wide; without it, they are pipes. */
  readonly columns?: number;
}

/** Runs the command in this process. */
export async function run(parameters: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { stdin = [], environment = {}, columns } = options;
  const stdout = collector(columns);
  const stderr = collector(columns);
  const status = await runCommand(parameters, {
    stdin: Readable.from(stdin),
    stdout: stdout.stream,
    stderr: stderr.stream,
    environment,
    onInterrupt: () => {},
  });
  return { status, stdout: stdout.text(), stderr: stderr.text() };
}

function collector(columns: number | undefined): { readonly stream: NodeJS.WriteStream; readonly text: () => string } {
  const pieces: string[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      pieces.push(chunk.toString());
      done();
    },
  });
  const terminal = columns === undefined ? {} : { isTTY: true, columns };
  return { stream: Object.assign(stream, terminal) as unknown as NodeJS.WriteStream, text: () => pieces.join("") };
}
