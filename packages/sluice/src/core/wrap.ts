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
  return decorator((fn) => {
    async function wrapped(this: unknown, ...args: unknown[]): Promise<unknown> {
      return around(async () => fn.apply(this, args) as unknown, args as A);
    }
    Object.defineProperty(wrapped, "name", { value: fn.name, configurable: true });
    Object.defineProperty(wrapped, "length", { value: fn.length, configurable: true });
    return wrapped;
  });
}

/**
 * Several wrappers as one, outermost first: `compose(retry(…), limiter.wrap(…))(fn)` asks the limiter before every attempt.
 *
 * @throws TypeError with code `ERR_INVALID_ARGUMENT` for what is no wrapper, or is put on what is no function.
 * @example
 * const limiter = rateLimiter(tokenBucket({ rate: 5, per: "1s" }))
 * const load = compose(retry({ retries: 3 }), limiter.wrap({ key: "api" }))(async (id: number) => ({ id }))
 * const order = await load(7)
 */
// biome-ignore lint/suspicious/noExplicitAny: wrappers of every argument list compose
export function compose(...wrappers: Wrapper<any>[]): Wrapper<any> {
  for (const each of wrappers) {
    if (typeof each !== "function") {
      throw typeError("ERR_INVALID_ARGUMENT", `Expected every argument of compose to be a wrapper, got ${show(each)}.`);
    }
  }
  if (wrappers.length === 0) return wrapper((call) => call());
  return decorator((fn) => wrappers.reduceRight<AnyFunction>((inner, each) => each(inner), fn));
}

/** What wraps functions as something that also decorates methods, by either standard. */
function decorator<A extends unknown[]>(wrap: (fn: AnyFunction) => AnyFunction): Wrapper<A> {
  const apply = (target: unknown, where?: unknown, descriptor?: PropertyDescriptor): unknown => {
    // only a legacy decorator is told a name; `functions.map(wrapper)` passes an index
    if (typeof where === "string" || typeof where === "symbol") {
      const method: unknown = descriptor?.value;
      if (typeof method !== "function") throw notAMethod();
      return { ...descriptor, value: wrap(method as AnyFunction) };
    }
    const { kind } = (where ?? {}) as { kind?: unknown };
    if (kind !== undefined && kind !== "method") throw notAMethod();
    if (typeof target !== "function") {
      throw typeError("ERR_INVALID_ARGUMENT", `Expected a function to wrap, got ${show(target)}.`);
    }
    return wrap(target as AnyFunction);
  };
  return apply as Wrapper<A>;
}

function notAMethod(): TypeError {
  return typeError("ERR_INVALID_ARGUMENT", "Expected the decorator to stand on a method.");
}
