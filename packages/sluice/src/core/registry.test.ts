import { expect, it } from "vitest";
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
