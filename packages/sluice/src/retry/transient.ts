import { isSluiceError, type SluiceError } from "../core/errors.js";

const programmingErrors = [ReferenceError, SyntaxError, RangeError, EvalError, URIError] as const;

/** Errors of this library after which it is over: what is closed stays closed, and retries were made further in. */
const finalCodes: ReadonlySet<string> = new Set(["ERR_CLOSED", "ERR_RETRY_LIMIT_REACHED"]);

/** The default of `when`: could the same call go well a little later? */
export function isTransient(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return true;
  if ((error as Error).name === "AbortError") return false;
  // a failed fetch is a TypeError too, with the network's error as its cause
  if (error instanceof TypeError) return error.cause !== undefined;
  if (programmingErrors.some((each) => error instanceof each)) return false;
  return !isSluiceError(error) || !(finalCodes.has(error.code) || canNeverPass(error));
}

function canNeverPass(error: SluiceError): boolean {
  const { retryAfter, wait } = error as { retryAfter?: unknown; wait?: unknown };
  return retryAfter === Number.POSITIVE_INFINITY || wait === Number.POSITIVE_INFINITY;
}
