/** What decorators say of a method or a class. */
export interface Mark<Rule> {
  /** From the top down. */
  readonly rules: Rule[];
  skip: boolean;
}

/** The metadata's name; shared between copies of the package. */
const metadata: unique symbol = Symbol.for("sluice.nest.rate-limit");

/**
 * The mark that a decorator writes on. A method has one, kept in two places: with the function, where Nest keeps its own
 * metadata, so that a wrapper which copies that carries it on; and under the method's name, where it is found although
 * another decorator has put a function of its own in the method's place. A limit that is lost fails open.
 */
export function markOf<Rule>(target: object, key?: string | symbol, descriptor?: PropertyDescriptor): Mark<Rule> {
  const method = descriptor?.value as object | undefined;
  // a class, or a method as the standard's decorators pass it
  if (method === undefined || key === undefined) return read<Rule>(target) ?? keep({ rules: [], skip: false }, target);
  const mark = read<Rule>(target, key) ?? { rules: [], skip: false };
  keep(mark, target, key);
  return keep(mark, method);
}

/** What was said of the method of a class that this function is, or stands in for. */
export function marksOfMethod<Rule>(type: object, method: object): Mark<Rule> | undefined {
  let at: unknown = (type as { prototype?: unknown }).prototype;
  while (typeof at === "object" && at !== null) {
    const place: object = at;
    const key = Reflect.ownKeys(place).find((each) => Object.getOwnPropertyDescriptor(place, each)?.value === method);
    const found = key === undefined ? undefined : read<Rule>(place, key);
    if (found !== undefined) return found;
    at = Object.getPrototypeOf(place);
  }
  return read<Rule>(method);
}

/** The nearest of the class and those it extends that says something. */
export function marksOfClass<Rule>(type: object | null): Mark<Rule> | undefined {
  for (let at = type; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    const found = read<Rule>(at);
    if (found !== undefined) return found;
  }
  return undefined;
}

function read<Rule>(target: object, key?: string | symbol): Mark<Rule> | undefined {
  const found: unknown =
    key === undefined ? Reflect.getOwnMetadata(metadata, target) : Reflect.getOwnMetadata(metadata, target, key);
  return found as Mark<Rule> | undefined;
}

function keep<Rule>(mark: Mark<Rule>, target: object, key?: string | symbol): Mark<Rule> {
  if (key === undefined) Reflect.defineMetadata(metadata, mark, target);
  else Reflect.defineMetadata(metadata, mark, target, key);
  return mark;
}
