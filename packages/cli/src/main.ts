import { exitStatus } from "./command-error.js";
import { runCommand } from "./program.js";

/** What to undo when the command ends before it is done. */
let undo = (): void => {};

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on the device",
  EDQUOT: "the quota is used up",
};

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // a reader that has seen enough, such as `head`, closes the pipe: that is no failure
  if (error.code === "EPIPE") process.exit(exitStatus.done);
  process.stderr.write(`sluice: cannot write: ${reasons[error.code ?? ""] ?? error.message}\n`);
  process.exit(exitStatus.failed);
});

// nobody is left to be told; the status tells what came of the command
process.stderr.on("error", () => {});

for (const [signal, status] of Object.entries(exitStatus.signals)) {
  process.once(signal, () => process.exit(status));
}
process.once("exit", () => undo());

process.exitCode = await runCommand(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  onInterrupt: (task) => {
    undo = task;
  },
});
