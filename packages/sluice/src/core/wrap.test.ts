import { describe, expect, expectTypeOf, it } from "vitest";
import { compose, type Wrapper, wrapper } from "./wrap.js";

/** Notes when it begins and ends around a call. */
function noting(log: string[], name: string): Wrapper {
  return wrapper(async (call) => {
    log.push(`${name} begins`);
    try {
      return await call();
    } finally {
      log.push(`${name} ends`);
    }
  });
}

const plain: Wrapper = wrapper((call) => call());
const twice: Wrapper = wrapper(async (call) => [await call(), await call()]);

/** Every way to put a wrapper on a method, each as a class whose `sum` adds `base` to its arguments. */
function summing(wrap: Wrapper<never[]> | Wrapper) {
  const around = wrap as Wrapper;
  class Inline {
    readonly base = 1;
    sum = around(async function sum(this: { base: number }, one: number, other: number): Promise<number> {
      return this.base + one + other;
    });
  }
  class Decorated {
    readonly base = 1;
    @around
    async sum(one: number, other: number): Promise<number> {
      return this.base + one + other;
    }
  }
  class Legacy {
    readonly base = 1;
    async sum(one: number, other: number): Promise<number> {
      return this.base + one + other;
    }
  }
  const descriptor = Object.getOwnPropertyDescriptor(Legacy.prototype, "sum") as PropertyDescriptor;
  // what TypeScript emits for `experimentalDecorators`
  Object.defineProperty(Legacy.prototype, "sum", around(Legacy.prototype, "sum", descriptor) ?? descriptor);
  return { inline: new Inline(), "a decorator": new Decorated(), "a legacy decorator": new Legacy() };
}

describe.each(["inline", "a decorator", "a legacy decorator"] as const)("as %s", (way) => {
  it("keeps the name, the length, this and the arguments", async () => {
    const api = summing(plain)[way];
    expect(api.sum.name).toBe("sum");
    expect(api.sum).toHaveLength(2);
    expect(await api.sum(2, 3)).toBe(6);
  });

  it("decides whether, when and how often to call", async () => {
    expect(await summing(twice)[way].sum(2, 3)).toEqual([6, 6]);
    expect(await summing(wrapper(async () => "never called"))[way].sum(2, 3)).toBe("never called");
  });

  it("sees the arguments", async () => {
    const product = wrapper<[number, number]>(async (call, [one, other]) => (await call()) === one + other + 1);
    expect(await summing(product as Wrapper)[way].sum(2, 3)).toBe(true);
  });

  it("composes, outermost first", async () => {
    const log: string[] = [];
    const both = compose(noting(log, "outer"), noting(log, "inner"));
    const api = summing(both)[way];
    expect(await api.sum(2, 3)).toBe(6);
    expect(api.sum.name).toBe("sum");
    expect(log).toEqual(["outer begins", "inner begins", "inner ends", "outer ends"]);
  });
});

const count = (name: string, more?: number): number => name.length + (more ?? 0);
const letter = async (): Promise<"a"> => "a";

describe("a wrapped function", () => {
  it("has the type of the function, with a promise", () => {
    const sync = plain(count);
    expectTypeOf(sync).parameters.toEqualTypeOf<Parameters<typeof count>>();
    expectTypeOf(sync).returns.toEqualTypeOf<Promise<number>>();
    const async = plain(letter);
    expectTypeOf(async).returns.toEqualTypeOf<Promise<"a">>();
    expect([sync.name, async.name]).toEqual(["count", "letter"]);
  });

  it("rejects with what is thrown at once, the very same", async () => {
    const error = new Error("at once");
    const throws = plain(() => {
      throw error;
    });
    const outcome = throws();
    await expect(outcome).rejects.toBe(error);
    const rejects = plain(() => Promise.reject(error));
    await expect(rejects()).rejects.toBe(error);
  });

  it("rejects with what the wrapper itself throws", async () => {
    const error = new Error("in the wrapper");
    const broken = wrapper(() => {
      throw error;
    });
    await expect(broken(() => 1)()).rejects.toBe(error);
  });

  it("runs each of many concurrent calls with its own this and arguments", async () => {
    const waits = wrapper(async (call, [turns]: [number]) => {
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      return call();
    });
    const tell = waits(function tell(this: { id: number }, turns: number) {
      return `${this.id}:${turns}`;
    });
    const calls = Array.from({ length: 50 }, (_, id) => tell.call({ id }, (id * 7) % 13));
    expect(await Promise.all(calls)).toEqual(calls.map((_, id) => `${id}:${(id * 7) % 13}`));
  });
});

describe("a decorator", () => {
  it("stands on static and private methods too", async () => {
    class Api {
      static readonly base = 10;
      readonly #base = 20;
      @twice
      static async shared(): Promise<number> {
        return Api.base;
      }
      @twice
      async #hidden(): Promise<number> {
        return this.#base;
      }
      async open(): Promise<number> {
        return this.#hidden();
      }
    }
    expect(await Api.shared()).toEqual([10, 10]);
    expect(await new Api().open()).toEqual([20, 20]);
  });

  it("stacks: the upper one is the outer one", async () => {
    const log: string[] = [];
    class Api {
      @noting(log, "upper")
      @noting(log, "lower")
      async call(): Promise<void> {
        log.push("call");
      }
    }
    await new Api().call();
    expect(log).toEqual(["upper begins", "lower begins", "call", "lower ends", "upper ends"]);
  });

  it("works in a subclass that calls its parent", async () => {
    class Parent {
      @twice
      async call(): Promise<unknown> {
        return "parent";
      }
    }
    class Child extends Parent {
      @twice
      override async call(): Promise<unknown> {
        return super.call();
      }
    }
    const pair = ["parent", "parent"];
    expect(await new Child().call()).toEqual([pair, pair]);
  });
});

describe("a legacy decorator", () => {
  const descriptor: PropertyDescriptor = {
    value: () => 1,
    writable: true,
    enumerable: false,
    configurable: true,
  };

  it("returns a new descriptor with the same attributes, and leaves the old one alone", () => {
    const before = { ...descriptor };
    for (const around of [plain, compose(plain, twice)]) {
      const made = around({}, "call", descriptor) as PropertyDescriptor;
      expect(made).toEqual({ ...descriptor, value: expect.any(Function) });
      expect(made.value).not.toBe(descriptor.value);
      expect(descriptor).toEqual(before);
    }
  });

  it("stands on methods only", () => {
    const getter: PropertyDescriptor = { get: () => 1, configurable: true };
    for (const around of [plain, compose(plain)]) {
      expect(() => around({}, "call", getter)).toThrow(
        expect.objectContaining({ code: "ERR_INVALID_ARGUMENT", constructor: TypeError }),
      );
    }
  });
});

describe("what is no function", () => {
  it.each([undefined, null, 5, "fn", {}, []])("%o cannot be wrapped or composed", (value) => {
    const message = expect.stringMatching(/^Expected .*(to wrap|to be a wrapper), got .*\.$/);
    const error = expect.objectContaining({ code: "ERR_INVALID_ARGUMENT", constructor: TypeError, message });
    expect(() => plain(value as never)).toThrow(error);
    expect(() => compose(plain)(value as never)).toThrow(error);
    expect(() => compose(plain, value as never)).toThrow(error);
  });
});

describe("where a wrapper stands", () => {
  it("wraps the functions of an array, whatever else map passes along", async () => {
    const each = plain as unknown as (fn: () => number, index: number) => () => Promise<number>;
    const [first] = [() => 1, () => 2].map(each);
    expect(await first?.()).toBe(1);
  });

  it("refuses a standard decorator on anything but a method", () => {
    for (const around of [plain, compose(plain)]) {
      expect(() => around(() => 1, { kind: "getter" } as never)).toThrow(
        expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
      );
    }
  });

  it("refuses a static property that holds no method, and does not take the class for the function", () => {
    const Service = function Service(): void {};
    expect(() => plain(Service as never, "field", undefined as never)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
  });

  it("of no wrappers, still turns what is thrown at once into a rejection", async () => {
    const failing = compose()(() => {
      throw new Error("at once");
    });
    await expect(failing()).rejects.toThrow("at once");
  });
});
