import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { CommandError, exitStatus, statusHelp } from "./command-error.js";
import { demoCommand } from "./commands/demo.js";
import { simulateCommand } from "./commands/simulate.js";
import { printable } from "./output/text.js";
import { type Surroundings, widthOf } from "./surroundings.js";

/** Runs the command with the arguments behind its name; resolves to its exit status, and never rejects. */
export async function runCommand(parameters: readonly string[], surroundings: Surroundings): Promise<number> {
  try {
    await program(surroundings).parseAsync(parameters, { from: "user" });
    return exitStatus.done;
  } catch (error) {
    if (error instanceof CommanderError) {
      // it has said what was wrong, or shown the help that was asked for
      return error.exitCode === 0 ? exitStatus.done : exitStatus.usage;
    }
    surroundings.stderr.write(`sluice: ${printable((error as Error).message)}\n`);
    return error instanceof CommandError ? error.status : exitStatus.failed;
  }
}

function program(surroundings: Surroundings): Command {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(manifest) as { version: string };
  const sluice = new Command("sluice")
    .description("Try rate limits on real traffic before switching them on.")
    .version(version)
    .exitOverride()
    .showHelpAfterError("(sluice --help shows what there is)")
    .configureOutput({
      writeOut: (text) => void surroundings.stdout.write(text),
      writeErr: (text) => void surroundings.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "sluice: ")),
      getOutHelpWidth: () => widthOf(surroundings),
      getErrHelpWidth: () => widthOf(surroundings),
    })
    .addHelpText("after", statusHelp);
  for (const command of [simulateCommand(surroundings), demoCommand(surroundings)]) {
    sluice.addCommand(command.copyInheritedSettings(sluice));
  }
  return sluice;
}
