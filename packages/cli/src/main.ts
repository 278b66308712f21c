import { exitStatus } from "./command-error.js";
import { runCommand } from "./program.js";

/** What to undo when the command is interrupted. */
let undo = (): void => {};

// a reader that has seen enough, such as `head`, closes the pipe: that is no failure
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? exitStatus.done : exitStatus.failed);
  });
}

process.once("SIGINT", () => {
  undo();
  process.exit(exitStatus.interrupted);
});

process.exitCode = await runCommand(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  onInterrupt: (task) => {
    undo = task;
  },
});
