import type { Decision } from "../core/decision.js";
import { type HeaderFamily, headerRows } from "../core/headers.js";
import type { Policy } from "../core/policy.js";

/** How fields are read and written on a framework's response. */
export interface FieldAccess<Response> {
  get(response: Response, name: string): unknown;
  set(response: Response, name: string, value: string): void;
}

/** The values of one decision, family after family; undefined when nothing is known. */
export type FieldValues = readonly string[] | undefined;

/** The header families that a guard sends. */
export interface HeaderProfile {
  /** For the limiters of these policies: from a decision to values. */
  prepare(policies: readonly Policy[]): (decision: Decision) => FieldValues;
  /** Writes the values beside those of a limiter that came before; where only one can speak, a refusal does. */
  write<Response>(values: FieldValues, refused: boolean, response: Response, access: FieldAccess<Response>): void;
}

/** A profile over rows of the table of families. */
export function headerProfile(families: readonly HeaderFamily[], legacyReset: "delta" | "epoch"): HeaderProfile {
  const rows = families.map((family) => headerRows[family]);
  return {
    prepare: (policies) => {
      const [first, second, ...rest] = rows.map(({ prepare }) => prepare(policies, legacyReset));
      if (first === undefined) return () => undefined;
      if (second === undefined) return first;
      if (rest.length === 0) return (decision) => first(decision).concat(second(decision));
      return (decision) => [first, second, ...rest].flatMap((valuesOf) => valuesOf(decision));
    },
    write: (values, refused, response, access) => {
      if (values === undefined) return;
      let from = 0;
      for (const { names, stacked } of rows) {
        const before = access.get(response, names[0] as string);
        if (before === undefined || before === null) {
          for (let at = 0; at < names.length; at++) {
            const value = values[from + at] as string;
            if (value !== "") access.set(response, names[at] as string, value);
          }
        } else {
          writeBeside(names, stacked, values.slice(from, from + names.length), refused, response, access);
        }
        from += names.length;
      }
    },
  };
}

function writeBeside<Response>(
  names: readonly string[],
  stacked: "append" | "least",
  own: readonly string[],
  refused: boolean,
  response: Response,
  access: FieldAccess<Response>,
): void {
  const before = names.map((name) => {
    const value = access.get(response, name);
    return typeof value === "string" ? value : "";
  });
  if (stacked === "least" && !refused && left(before, names) < left(own, names)) return;
  names.forEach((name, at) => {
    const value = own[at] as string;
    const earlier = before[at] as string;
    if (value !== "")
      access.set(response, name, stacked === "append" && earlier !== "" ? `${earlier}, ${value}` : value);
  });
}

/** What remains, as the fields of a family say it: in a field of its own, or as a member. */
function left(values: readonly string[], names: readonly string[]): number {
  const own = values[names.findIndex((name) => /remaining/i.test(name))];
  return Number(own ?? /\bremaining=(\d+)/.exec(values.join(", "))?.[1] ?? Number.POSITIVE_INFINITY);
}
