/** 1234567 as "1,234,567". */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** A share as per cent, with one decimal; what is not quite nothing, or not quite all, does not look so. */
export function percent(share: number): string {
  if (share > 0 && share < 0.0005) return "<0.1 %";
  if (share < 1 && share > 0.9995) return ">99.9 %";
  return `${(share * 100).toFixed(1)} %`;
}

const units = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
] as const;

/** ms as "850 ms", "12.3 s", "4 min 20 s", "1 d 3 h": two units at most. */
export function duration(milliseconds: number): string {
  if (milliseconds === 0) return "0 s";
  if (milliseconds < 999.5) return `${Number(milliseconds.toPrecision(3))} ms`;
  if (milliseconds < 59_950) return `${Number((milliseconds / 1000).toPrecision(3))} s`;
  const seconds = Math.round(milliseconds / 1000);
  const [largest] = units.filter(([, size]) => seconds * 1000 >= size);
  const [unit, size] = largest as (typeof units)[number];
  const [smaller, smallerSize] = units[units.indexOf(largest as (typeof units)[number]) + 1] ?? ["s", 1000];
  const rest = Math.floor(((seconds * 1000) % size) / smallerSize);
  const whole = `${Math.floor((seconds * 1000) / size)} ${unit}`;
  return rest === 0 ? whole : `${whole} ${rest} ${smaller}`;
}

/** ms since 1970 as "2026-11-21 12:00:05 UTC". */
export function moment(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** Text of strangers, safe on a terminal: what would move the cursor, change colours or turn the direction of writing is shown as its number. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) as number).toString(16)}}`,
  );
}

/** At most `width` characters, with its end left out. */
export function shortened(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(1, width - 1))}…`;
}
