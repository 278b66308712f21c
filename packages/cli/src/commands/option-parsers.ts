import { InvalidArgumentError } from "commander";

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

const unitMicros: Readonly<Record<string, number>> = { ms: 1e3, s: 1e6, m: 60e6, h: 3600e6, d: 86_400e6 };

/** A duration with its unit, in microseconds. */
export function microseconds(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)$/.exec(text) ?? [];
  if (number === undefined || unit === undefined) {
    throw new InvalidArgumentError("Expected a number with its unit (ms, s, m, h, d), such as 90s.");
  }
  return Math.round(Number(number) * (unitMicros[unit] as number));
}
