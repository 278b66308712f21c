import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { fixedWindow } from "../algorithms/fixed-window/fixed-window.js";
import { Registry } from "./registry.js";

const policies = [fixedWindow({ limit: 1, window: "1h" })];

it("limiters that are closed and have nothing left are dropped as others are opened, a few at a time", () => {
  const registry = new Registry((_, name) => ({ name, forget: () => {}, retire: () => {} }), true);
  const names = (): string[] => Array.from(registry.values(), ({ name }) => name).toSorted();
  const over = new Set<string>();
  const open = (name: string): void => {
    let looks = 0;
    registry.dropIdle((gate) => {
      looks += 1;
      return over.has(gate.name);
    });
    expect(looks).toBeLessThanOrEqual(4);
    registry.open(name, policies);
  };
  for (let index = 0; index < 100; index++) {
    open(`limiter-${index}`);
    if (index >= 10) over.add(`limiter-${index}`);
    if (index !== 50) registry.leave(`limiter-${index}`);
  }
  // one is in use, ten have something left
  for (let more = 0; more < 20; more++) {
    open("more");
    registry.leave("more");
  }
  const left = [...Array.from({ length: 10 }, (_, index) => `limiter-${index}`), "limiter-50", "more"];
  expect(names()).toEqual(left.toSorted());
});

it.each([
  ["holds the counts stays", true],
  ["holds none is gone", false],
])("a gate that nobody uses, and that %s", (_, stateful) => {
  let made = 0;
  const registry = new Registry(() => {
    made += 1;
    return { forget: () => {}, retire: () => {} };
  }, stateful);
  const gate = registry.open("name", policies);
  expect(registry.leave("name")).toBe(gate);
  expect(Array.from(registry.values())).toEqual(stateful ? [gate] : []);
  registry.open("name", policies);
  expect(made).toBe(stateful ? 1 : 2);
});

describe("limiters of one name", () => {
  const counting = (stateful: boolean) => new Registry(() => ({ forget: () => {}, retire: () => {} }), stateful);
  const others = [fixedWindow({ limit: 2, window: "1h" })];
  const warnings: unknown[] = [];
  beforeEach(() => {
    warnings.length = 0;
    vi.spyOn(process, "emitWarning").mockImplementation((warning) => {
      warnings.push(warning);
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("that share a count are warned of, once for each name", () => {
    const registry = counting(true);
    for (const name of ["registry one", "registry two"]) {
      registry.open(name, policies);
      expect(warnings).toEqual([]);
      registry.open(name, policies);
      registry.open(name, policies);
      expect(warnings.splice(0)).toEqual([
        `Two limiters named "${name}" share one store and one count. If that is not meant, give each a \`name\` of its own.`,
      ]);
    }
  });

  it("one after the other are nothing to warn of", () => {
    const registry = counting(true);
    registry.open("registry again", policies);
    registry.leave("registry again");
    registry.open("registry again", policies);
    expect(warnings).toEqual([]);
  });

  it.each([true, false])("keep their gate until the last of them leaves (stateful: %s)", (stateful) => {
    const registry = counting(stateful);
    const name = `registry three ${stateful}`;
    const gate = registry.open(name, policies);
    expect([registry.open(name, policies), registry.open(name, policies)]).toEqual([gate, gate]);
    expect([registry.leave(name), registry.leave(name)]).toEqual([undefined, undefined]);
    expect(Array.from(registry.values())).toEqual([gate]);
    expect(() => registry.open(name, others)).toThrow(expect.objectContaining({ code: "ERR_LIMITER_NAME_TAKEN" }));
    expect(registry.leave(name)).toBe(gate);
    expect(registry.open(name, others)).not.toBe(gate);
  });

  it.each([true, false])(
    "that nobody uses cannot be left, and count as before when opened (stateful: %s)",
    (stateful) => {
      const registry = counting(stateful);
      expect(registry.leave("registry four")).toBeUndefined();
      registry.open("registry four", policies);
      registry.leave("registry four");
      expect(registry.leave("registry four")).toBeUndefined();
      const gate = registry.open("registry four", policies);
      expect(() => registry.open("registry four", others)).toThrow(RangeError);
      expect(registry.leave("registry four")).toBe(gate);
    },
  );
});
