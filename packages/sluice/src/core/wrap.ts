import { show, typeError } from "./errors.js";

// biome-ignore lint/suspicious/noExplicitAny: a wrapper takes functions of every shape, and `unknown` would refuse them
type AnyFunction = (this: any, ...args: any[]) => any;

/**
 * Puts something around a function: inline (`wrapper(fn)`), as a TC39 method decorator, or as TypeScript's legacy one.
 * The wrapped function keeps its name, `length`, `this`, arguments and type; what it throws at once becomes a rejection.
 */
export interface Wrapper<A extends unknown[] = unknown[]> {
  <T extends AnyFunction>(
    fn: T,
    context?: ClassMethodDecoratorContext,
  ): (this: ThisParameterType<T>, ...args: Parameters<T>) => Promise<Awaited<ReturnType<T>>>;
  /** TypeScript's legacy decorators. */
  // biome-ignore lint/suspicious/noConfusingVoidType: the type that legacy decorators have
  (target: object, key: string | symbol, descriptor: PropertyDescriptor): PropertyDescriptor | void;
  /** Never there: it tells the compiler what `A` is, the arguments that the wrapper's own functions (`key`, `cost`) read. */
  argumentsOf?(...args: A): void;
}

/**
 * The one place where wrappers are made. `around` gets the call as a function without arguments, and the arguments.
 */
export function wrapper<A extends unknown[]>(
  around: (call: () => Promise<unknown>, args: A) => Promise<unknown>,
): Wrapper<A> {
  const wrapFunction = (fn: AnyFunction): AnyFunction => {
    async function wrapped(this: unknown, ...args: unknown[]): Promise<unknown> {
      return around(async () => fn.apply(this, args), args as A);
    }
    Object.defineProperty(wrapped, "name", { value: fn.name, configurable: true });
    Object.defineProperty(wrapped, "length", { value: fn.length, configurable: true });
    return wrapped;
  };
  const apply = (target: unknown, _key?: unknown, descriptor?: PropertyDescriptor): unknown => {
    if (descriptor !== undefined && typeof descriptor === "object") {
      if (typeof descriptor.value !== "function") {
        throw typeError("ERR_INVALID_ARGUMENT", "Expected the decorator to stand on a method.");
      }
      return { ...descriptor, value: wrapFunction(descriptor.value as AnyFunction) };
    }
    if (typeof target !== "function") {
      throw typeError("ERR_INVALID_ARGUMENT", `Expected a function to wrap, got ${show(target)}.`);
    }
    return wrapFunction(target as AnyFunction);
  };
  return apply as Wrapper<A>;
}

/**
 * Several wrappers as one, outermost first: `compose(retry(…), limiter.wrap(…))(fn)` asks the limiter before every attempt.
 *
 * @example
 * const call = compose(retry({ retries: 3 }), limiter.wrap({ key: "api" }))(fetchOne)
 */
// biome-ignore lint/suspicious/noExplicitAny: wrappers of every argument list compose
export function compose(...wrappers: Wrapper<any>[]): Wrapper<any> {
  for (const each of wrappers) {
    if (typeof each !== "function") {
      throw typeError("ERR_INVALID_ARGUMENT", `Expected every argument of compose to be a wrapper, got ${show(each)}.`);
    }
  }
  const apply = (target: unknown, key?: unknown, descriptor?: PropertyDescriptor): unknown => {
    if (descriptor !== undefined && typeof descriptor === "object") {
      return wrappers.reduceRight<PropertyDescriptor>(
        (inner, each) =>
          (each(target as object, key as string | symbol, inner) as PropertyDescriptor | undefined) ?? inner,
        descriptor,
      );
    }
    if (typeof target !== "function") {
      throw typeError("ERR_INVALID_ARGUMENT", `Expected a function to wrap, got ${show(target)}.`);
    }
    return wrappers.reduceRight<AnyFunction>((inner, each) => each(inner), target as AnyFunction);
  };
  // biome-ignore lint/suspicious/noExplicitAny: as above
  return apply as Wrapper<any>;
}
