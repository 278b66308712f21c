import type { Decision } from "../core/decision.js";
import { type HeaderFamily, type HeaderRow, headerRows } from "../core/headers.js";
import type { Policy } from "../core/policy.js";
import { warnOnce } from "../core/warn.js";

/** How fields are read and written on a framework's response. */
export interface FieldAccess<Response> {
  get(response: Response, name: string): unknown;
  set(response: Response, name: string, value: string): void;
}

/** The values of one decision, for each family; undefined when nothing is known. */
export type FieldValues = readonly (readonly string[])[] | undefined;

/** When a limiter writes its fields. */
export interface Writing {
  /** Who refuses what the response answers: the limiter that writes, one that has written before, or nobody. */
  readonly refusedBy: "this" | "earlier" | undefined;
  /** The limiters that have written before stand further in: where there is no response before the handler's. */
  readonly fromInside: boolean;
}

/** The header families that a guard sends. */
export interface HeaderProfile {
  /** For the limiters of these policies: from a decision to values. */
  prepare(policies: readonly Policy[]): (decision: Decision) => FieldValues;
  /**
   * Writes the values beside those of a limiter that came before; where only one can speak, the one that refused does,
   * or else the one with the least left. After `Retry-After`, which no time in the fields of a refusal may exceed.
   */
  write<Response>(values: FieldValues, writing: Writing, response: Response, access: FieldAccess<Response>): void;
}

/** A profile over rows of the table of families. */
export function headerProfile(families: readonly HeaderFamily[], legacyReset: "delta" | "epoch"): HeaderProfile {
  const rows = families.map((family) => headerRows[family]);
  const othersWithTimes = Object.values(headerRows).filter((row) => row.until !== undefined && !rows.includes(row));
  return {
    prepare: (policies) => {
      const all = rows.map(({ prepare }) => prepare(policies, legacyReset));
      if (all.length === 0) return () => undefined;
      return (decision) => all.map((valuesOf) => valuesOf(decision));
    },
    write: (values, writing, response, access) => {
      const { refusedBy } = writing;
      if (values === undefined && refusedBy === undefined) return;
      for (let index = 0; index < rows.length; index++) {
        const row = rows[index] as HeaderRow;
        const { names } = row;
        const own = values?.[index];
        const before = access.get(response, names[0] as string);
        const isFirst = before === undefined || before === null;
        // beside a refusal of another limiter, what is told of this one has to agree with it
        const alone = isFirst && (refusedBy !== "earlier" || row.until === undefined);
        if (!alone) {
          writeBeside(row, own, writing, response, access);
        } else if (own !== undefined) {
          for (let at = 0; at < names.length; at++) set(response, names[at] as string, own[at] as string, access);
        }
      }
      // another limiter may send a family that this one does not
      if (refusedBy !== "this") return;
      for (const row of othersWithTimes) writeBeside(row, undefined, writing, response, access);
    },
  };
}

function writeBeside<Response>(
  { names, stacked, until }: HeaderRow,
  own: readonly string[] | undefined,
  { refusedBy, fromInside }: Writing,
  response: Response,
  access: FieldAccess<Response>,
): void {
  const before = names.map((name) => {
    const value = access.get(response, name);
    return typeof value === "string" ? value : "";
  });
  if (stacked === "least") {
    if (own === undefined || refusedBy === "earlier") return;
    if (refusedBy === undefined && left(before, names) < left(own, names)) return;
    for (const [at, name] of names.entries()) set(response, name, own[at] as string, access);
    return;
  }
  if (own !== undefined) lookForSameName(before[0] as string, own[0] as string);
  for (const [at, name] of names.entries()) {
    const both = fromInside ? [own?.[at], before[at]] : [before[at], own?.[at]];
    const joined = both.filter((value) => value !== undefined && value !== "").join(", ");
    const timed = at === 0 && until !== undefined && refusedBy !== undefined;
    set(response, name, timed ? noLater(joined, until, access.get(response, "Retry-After")) : joined, access);
  }
}

function set<Response>(response: Response, name: string, value: string, access: FieldAccess<Response>): void {
  if (value !== "") access.set(response, name, value);
}

/** What remains, as the fields of a family say it: in a field of its own, or as a member. */
function left(values: readonly string[], names: readonly string[]): number {
  const own = values[names.findIndex((name) => /remaining/i.test(name))];
  return Number(own ?? /\bremaining=(\d+)/.exec(values.join(", "))?.[1] ?? Number.POSITIVE_INFINITY);
}

/** A list without the times that are later than `Retry-After`. What stands in quotes is a name, whatever it looks like. */
function noLater(value: string, until: string, retryAfter: unknown): string {
  if (typeof retryAfter !== "string") return value;
  const textOrTime = new RegExp(`"(?:[^"\\\\]|\\\\.)*"|; *${until}=(\\d+)`, "g");
  return value.replace(textOrTime, (found, time: string | undefined) =>
    time !== undefined && Number(time) > Number(retryAfter) ? "" : found,
  );
}

/** A client cannot tell members of one name apart. */
function lookForSameName(before: string, own: string): void {
  const name = own.slice(0, own.indexOf(";"));
  if (!before.startsWith(`${name};`) && !before.includes(`, ${name};`)) return;
  warnOnce(
    "http-same-name",
    `Two limiters before one handler both have a policy called ${name}, so a client cannot tell their RateLimit members apart. Give each policy a \`name\`.`,
  );
}
