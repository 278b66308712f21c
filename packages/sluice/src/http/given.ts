import { show } from "../core/errors.js";

/**
 * A function that the caller gave, with what it answers made plain: a promise of any make becomes one of ours, and what
 * it throws, or rejects with, becomes an error. Frameworks take an error that is nothing for "go on", and Express takes
 * a text for the name of a place to go on at: a request would pass uncounted.
 */
export function given<A, T>(own: (first: A) => T | PromiseLike<T>): (first: A) => T | Promise<T>;
export function given<A, B, T>(
  own: (first: A, second: B) => T | PromiseLike<T>,
): (first: A, second: B) => T | Promise<T>;
export function given(own: (first: unknown, second: unknown) => unknown): (first: unknown, second: unknown) => unknown {
  return (first, second) => {
    let answer: unknown;
    try {
      answer = own(first, second);
    } catch (error) {
      throw asError(error);
    }
    return isThenable(answer) ? Promise.resolve(answer).catch(rethrow) : answer;
  };
}

function isThenable(answer: unknown): answer is PromiseLike<unknown> {
  return typeof (answer as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
}

function rethrow(error: unknown): never {
  throw asError(error);
}

function asError(error: unknown): unknown {
  if (typeof error === "object" && error !== null) return error;
  return new Error(`An option of the limiter threw ${show(error)}, which is no error.`, { cause: error });
}
