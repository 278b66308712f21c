const said = new Set<string>();

/** Tells the operator of a dangerous set-up, once a process for each `about`, as a `SluiceWarning`. */
export function warnOnce(about: string, message: string): void {
  if (said.has(about)) return;
  said.add(about);
  warn(message);
}

/** Tells the operator, as a `SluiceWarning`. */
export function warn(message: string): void {
  const { process } = globalThis as { process?: { emitWarning?: (message: string, type: string) => void } };
  if (process?.emitWarning === undefined) console.warn(`SluiceWarning: ${message}`);
  else process.emitWarning(message, "SluiceWarning");
}
