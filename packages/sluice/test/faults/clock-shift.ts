import { execFile } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { endianness, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Found } from "../../../../scripts/servers.mjs";

/** A wall clock that a test moves. */
export interface ShiftedClock {
  /** The same server, under this clock. */
  readonly found: Found;
  /** Moves the clock of its processes to `ms` from the true time, at once; fractions count to the microsecond. */
  shift(ms: number): void;
  /** Removes what was made for it, once its processes have ended. */
  remove(): Promise<void>;
}

const run = promisify(execFile);
const source = join(import.meta.dirname, "clock-shift.c");

/** A server whose `TIME` can be moved, or the reason why this machine has none: it takes Linux and a C compiler. */
export async function shiftedClock(found: Found): Promise<ShiftedClock | string> {
  if (process.platform !== "linux")
    return `the clock of a process can be moved on Linux only, not on ${process.platform}`;
  const folder = await mkdtemp(join(tmpdir(), "sluice-clock-"));
  const library = join(folder, "clock-shift.so");
  const file = join(folder, "shift");
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    await run("cc", ["-O2", "-shared", "-fPIC", "-o", library, source]);
  } catch (error) {
    await remove();
    return `no C compiler: ${(error as Error).message.split("\n")[0]}`;
  }
  await writeFile(file, Buffer.alloc(8));
  return {
    found: { ...found, env: { ...found.env, LD_PRELOAD: library, CLOCK_SHIFT_FILE: file } },
    shift(ms) {
      const bytes = Buffer.alloc(8);
      const microseconds = BigInt(Math.round(ms * 1000));
      if (endianness() === "LE") bytes.writeBigInt64LE(microseconds);
      else bytes.writeBigInt64BE(microseconds);
      const handle = openSync(file, "r+");
      writeSync(handle, bytes, 0, 8, 0);
      closeSync(handle);
    },
    remove,
  };
}
