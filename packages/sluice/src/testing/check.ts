/** Fails the test with a sentence. */
export function check(holds: boolean, message: () => string): asserts holds {
  if (!holds) throw new Error(message());
}

/** Fails the test when two values do not say the same. */
export function checkSame(actual: unknown, expected: unknown, about: () => string): void {
  const [got, wanted] = [JSON.stringify(actual, legible), JSON.stringify(expected, legible)];
  check(got === wanted, () => `${about()}\n  expected ${wanted}\n  got      ${got}`);
}

/** JSON knows no Infinity. */
function legible(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** What a promise came to. */
export type Outcome<T> = { readonly value: T } | { readonly error: unknown };

export async function outcomeOf<T>(promise: Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await promise };
  } catch (error) {
    return { error };
  }
}
