import type { Readable } from "node:stream";
import { coloursFor } from "./output/colours.js";
import type { Layout } from "./output/report.js";

/** What the command needs of the world around it. */
export interface Surroundings {
  readonly stdin: Readable;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Called with what has to be undone when the command ends before it is done. */
  onInterrupt(undo: () => void): void;
}

const narrowest = 40;
const usual = 80;
const widest = 120;

/** How wide to write: as the terminal is, within reason; 80 where there is none. */
export function widthOf({ stdout }: Surroundings): number {
  return Math.min(widest, Math.max(narrowest, stdout.columns ?? usual));
}

/** How to print a report here. */
export function layoutFor(surroundings: Surroundings, topKeys: number): Layout {
  const { stdout, environment } = surroundings;
  return { width: widthOf(surroundings), topKeys, colours: coloursFor(stdout, environment) };
}
