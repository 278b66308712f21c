/** What the command's exit status means. */
export const exitStatus = {
  done: 0,
  failed: 1,
  usage: 2,
  /** 128 and the number of the signal, as shells have it. */
  signals: { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 },
} as const;

/** The same for the help. */
export const statusHelp: string = `
Exit status:
  ${exitStatus.done}    done
  ${exitStatus.failed}    the input could not be read, or not replayed
  ${exitStatus.usage}    the command line is wrong
  ${exitStatus.signals.SIGINT}  interrupted (${exitStatus.signals.SIGHUP} hung up, ${exitStatus.signals.SIGTERM} terminated)`;

/** Ends the command with one sentence for the user and an exit status. */
export class CommandError extends Error {
  readonly status: number;

  constructor(message: string, status: number = exitStatus.failed, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** The command line was wrong. */
export function usageError(message: string, options?: ErrorOptions): CommandError {
  return new CommandError(message, exitStatus.usage, options);
}
