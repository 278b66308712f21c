import { InvalidArgumentError } from "commander";
import { micros } from "sluice/simulate";

/** What separates columns: one ASCII character, a tab also as it is written in code. */
export function oneCharacter(text: string): string {
  const character = text === "\\t" ? "\t" : text;
  if (!/^[\t -~]$/.test(character) || character === '"') {
    throw new InvalidArgumentError("Expected one ASCII character, such as ';'.");
  }
  return character;
}

/** A whole number within bounds. */
export function upTo(most: number, least: number): (text: string) => number {
  return (text) => {
    const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(number >= least && number <= most)) {
      throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`);
    }
    return number;
  };
}

/** A duration with its unit, in microseconds. */
export function duration(text: string): number {
  try {
    return micros(text, "it", 0);
  } catch {
    throw new InvalidArgumentError("Expected a number with its unit (ms, s, m, h, d, w), such as 90s.");
  }
}
