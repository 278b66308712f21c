import { type ErrorCode, rangeError, show, typeError } from "./errors.js";

/** The longest key, in UTF-16 code units. Long keys are legal; absurd ones are a mistake. */
const maxKeyLength = 65_536;

/**
 * A positive whole number up to `most`, or an error with `code` that names the value.
 * Used for limits, costs, permits, weights: everything that is counted.
 */
export function wholeNumber(
  value: unknown,
  what: string,
  code: ErrorCode,
  least = 1,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== "number") {
    throw typeError(
      code,
      `Expected ${what} to be a whole number from ${least} to ${most}, got ${show(value)} (${typeof value}).`,
    );
  }
  if (!Number.isInteger(value) || value < least || value > most) {
    throw rangeError(code, `Expected ${what} to be a whole number from ${least} to ${most}, got ${show(value)}.`);
  }
  return value;
}

/** A whole number, or `Infinity` for no bound. */
export function countOrInfinity(value: unknown, what: string, least: number): number {
  return value === Number.POSITIVE_INFINITY ? value : wholeNumber(value, what, "ERR_INVALID_LIMIT", least);
}

/** The cost of a call: 1 unless the caller says otherwise. */
export function costOf(options: { readonly cost?: number | undefined } | undefined): number {
  const cost = options?.cost;
  if (cost === undefined) {
    if (options !== undefined && (typeof options !== "object" || options === null)) checkOptions(options);
    return 1;
  }
  return wholeNumber(cost, "cost", "ERR_INVALID_COST");
}

/** Options are an object or absent. */
export function checkOptions(options: unknown): void {
  if (options !== undefined && (typeof options !== "object" || options === null)) {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected options to be an object, got ${show(options)}.`);
  }
}

/** A key is a string of 1 to 65 536 characters. */
export function checkKey(key: unknown): asserts key is string {
  if (typeof key !== "string") {
    throw typeError("ERR_INVALID_KEY", `Expected key to be a string, got ${show(key)} (${typeof key}).`);
  }
  if (key.length === 0 || key.length > maxKeyLength) {
    throw rangeError("ERR_INVALID_KEY", `Expected key to have 1 to ${maxKeyLength} characters, got ${key.length}.`);
  }
}

/** A name is 1 to 128 characters of printable ASCII: it stands in header fields and in keys. */
export function checkName(name: unknown, what: string): asserts name is string {
  if (typeof name !== "string") {
    throw typeError("ERR_INVALID_NAME", `Expected ${what} to be a string, got ${show(name)} (${typeof name}).`);
  }
  if (!/^[\x20-\x7e]{1,128}$/.test(name)) {
    throw rangeError(
      "ERR_INVALID_NAME",
      `Expected ${what} to be 1 to 128 characters of printable ASCII, got ${show(name)}.`,
    );
  }
}

/** A function, or an error that says which one was expected. */
export function checkFunction(value: unknown, what: string): void {
  if (typeof value !== "function") {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected ${what} to be a function, got ${show(value)}.`);
  }
}

/** An AbortSignal or nothing. */
export function checkSignal(signal: unknown): void {
  if (signal === undefined) return;
  const candidate: Partial<AbortSignal> | null = typeof signal === "object" ? signal : null;
  if (
    candidate === null ||
    typeof candidate.addEventListener !== "function" ||
    typeof candidate.aborted !== "boolean"
  ) {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected signal to be an AbortSignal, got ${show(signal)}.`);
  }
}
