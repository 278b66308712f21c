import picocolors from "picocolors";

export type Colours = ReturnType<typeof picocolors.createColors>;

/** Colours for this stream: on a terminal, unless NO_COLOR or TERM=dumb; elsewhere only with FORCE_COLOR. */
export function coloursFor(
  stream: { readonly isTTY?: boolean },
  environment: Readonly<Record<string, string | undefined>>,
): Colours {
  const { NO_COLOR: none = "", FORCE_COLOR: force = "", TERM: terminal } = environment;
  const wanted = force !== "" && force !== "0";
  return picocolors.createColors(none === "" && (wanted || (stream.isTTY === true && terminal !== "dumb")));
}
