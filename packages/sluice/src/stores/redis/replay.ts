import { type Answer, newAnswer, noLog, noStamp, type Row } from "../../core/algorithm.js";
import { StoreError } from "../../core/errors.js";
import { type Policy, type Rule, ruleOf } from "../../core/policy.js";

/** A reply's value for one row: text of whole numbers, or nothing where the key is new. */
export type RowText = string | null;

/** One policy of a limiter, as the script reads it and as its answers are read back. */
export interface Part {
  readonly rule: Rule;
  readonly row: Row;
  /** The script keeps the log and answers itself; its four figures stand in the reply instead of a row. */
  readonly logged: boolean;
}

/** How many places a policy takes in a reply: a row, or four figures for each run. */
export const figuresPerLog = 4;

/** One row at work, for all limiters: what the script did to a row is done again here, to learn what it found. */
const answer: Answer = newAnswer();
const never = -1;

export function partsOf(policies: readonly Policy[]): readonly Part[] {
  return policies.map((policy) => {
    const rule = ruleOf(policy);
    const logged = rule.algorithm.logged === true;
    return { rule, row: new Float64Array(rule.algorithm.columns), logged };
  });
}

/** ms: a row is kept for one to two of these beyond what it says. As long as the limit takes to come back, within reason. */
export function marginOf({ window }: Policy): number {
  return Math.min(5000, Math.max(100, Math.ceil(window)));
}

/** A policy as the script reads it; a limiter is a list of them. */
export function encodePolicy(policy: Policy): string {
  const { algorithm, parameters } = ruleOf(policy);
  return JSON.stringify([...algorithm.encode(parameters), marginOf(policy), algorithm.name]);
}

export function loadRow(row: Row, text: RowText): void {
  row.fill(0);
  if (text === null) return;
  const single = Number(text);
  if (!Number.isNaN(single)) {
    row[0] = single;
    return;
  }
  let column = 0;
  for (const number of text.split(" ")) row[column++] = Number(number);
}

/** As the script writes it: without the zeros at the end. */
export function rowText(row: Row): string {
  let last = row.length;
  while (last > 1 && row[last - 1] === 0) last -= 1;
  return Array.from(row.subarray(0, last), (number) => number.toFixed(0)).join(" ");
}

/**
 * The reply of the script: a moment, then so many figures; one text where one row was asked for. Anything else is not an
 * answer to what was asked.
 */
export function checkedReply(told: unknown, figures: number): readonly unknown[] {
  // a client that makes numbers of texts has made one of a moment without a row
  const reply = typeof told === "string" || typeof told === "number" ? momentAndRow(String(told)) : told;
  const fits = Array.isArray(reply) && reply.length === 1 + figures;
  if (!fits || !Number.isSafeInteger(Number(reply[0])) || Number(reply[0]) <= 0) {
    throw unreadable(told);
  }
  return reply;
}

function momentAndRow(text: string): [number, RowText] {
  const gap = text.indexOf(" ");
  return gap < 0 ? [Number(text), null] : [Number(text.slice(0, gap)), text.slice(gap + 1)];
}

/** Why the script could not decide for a key, where that stands in its first place of a reply; else undefined. */
export function complaintOf(value: unknown): StoreError | undefined {
  const text = textOf(value);
  if (text === null || !text.startsWith("!")) return undefined;
  const message = text.slice(1);
  return new StoreError("ERR_STORE_UNAVAILABLE", `The store could not answer: ${message}`, {
    cause: new Error(message),
  });
}

function unreadable(reply: unknown): StoreError {
  return new StoreError("ERR_STORE_UNAVAILABLE", "The store gave a reply that this library cannot read.", {
    cause: reply,
  });
}

/** A reply's value as text; nothing where there was no row. What is neither must not pass for a key that is new. */
export function textOf(value: unknown): RowText {
  if (typeof value === "string") return value;
  if (value === null || value === undefined || value === false) return null;
  if (typeof value === "number") return String(value);
  throw unreadable(value);
}

/** Asks the row that is loaded, granting nothing; writes the findings at `at` and returns the start. */
export function look(part: Part, now: number, cost: number, findings: number[], at: number): number {
  const { algorithm, parameters } = part.rule;
  algorithm.step(part.row, noLog, now, now, never, cost, parameters, answer);
  note(findings, at, now, now);
  return answer.start;
}

/** Charges the row that is loaded from `start` on; writes the findings and returns the moment that the row knows. */
export function take(part: Part, now: number, start: number, cost: number, findings: number[], at: number): number {
  const { algorithm, parameters } = part.rule;
  algorithm.step(part.row, noLog, now, start, start, cost, parameters, answer);
  note(findings, at, now, start);
  return answer.stamp;
}

/** Adds to the row that is loaded, or takes from it; writes the findings. */
export function amend(part: Part, now: number, delta: number, findings: number[], at: number): void {
  const { algorithm, parameters } = part.rule;
  algorithm.amend(part.row, noLog, now, noStamp, delta, parameters, answer);
  note(findings, at, now, now);
}

/** When a grant of `granted` that left the row as `after` would have come back, had it cost `delta` more. */
export function backAt(part: Part, after: string, granted: number, stamp: number, delta: number): number {
  // a log knows its grants, and nothing is owed for one that it has forgotten
  if (part.logged) return 0;
  const { algorithm, parameters } = part.rule;
  loadRow(part.row, after);
  algorithm.amend(part.row, noLog, granted, stamp, delta, parameters, answer);
  return answer.resetAt;
}

/** One step on the row that is loaded: the hot path of a limiter with one policy. Returns the reused answer. */
export function stepOnce(part: Part, now: number, cost: number): Answer {
  const { algorithm, parameters } = part.rule;
  algorithm.step(part.row, noLog, now, now, now, cost, parameters, answer);
  return answer;
}

function note(findings: number[], at: number, now: number, moment: number): void {
  findings[at] = answer.start - now;
  findings[at + 1] = answer.remaining;
  findings[at + 2] = Math.max(0, answer.resetAt - moment);
}

/** The figures of a log in a reply: how many of a run were granted, and what the others, or the next, would find. */
export interface LogFigures {
  readonly granted: number;
  readonly wait: number;
  readonly remaining: number;
  readonly reset: number;
}

export function logFigures(reply: readonly unknown[], at: number): LogFigures {
  const granted = Number(reply[at]);
  const wait = Number(reply[at + 1]);
  const remaining = Number(reply[at + 2]);
  const reset = Number(reply[at + 3]);
  if (Number.isNaN(granted + wait + remaining + reset)) throw unreadable(reply);
  return { granted, wait: wait < 0 ? Number.POSITIVE_INFINITY : wait, remaining, reset };
}

/** What a log said to the call at `index` of a run, into the findings. */
export function noteLog(figures: LogFigures, index: number, cost: number, findings: number[], at: number): void {
  const allowed = index < figures.granted;
  findings[at] = allowed ? 0 : figures.wait;
  findings[at + 1] = figures.remaining + (allowed ? (figures.granted - index - 1) * cost : 0);
  findings[at + 2] = figures.reset;
}
