import { expect, it } from "vitest";
import { fixedWindow } from "../algorithms/fixed-window/fixed-window.js";
import { Registry } from "./registry.js";

const policies = [fixedWindow({ limit: 1, window: "1h" })];

it.each([
  ["holds the counts stays", true],
  ["holds none is gone", false],
])("a gate that nobody uses, and that %s", (_, stateful) => {
  let made = 0;
  const registry = new Registry(() => {
    made += 1;
    return { forget: () => {} };
  }, stateful);
  const gate = registry.open("name", policies);
  expect(registry.leave("name")).toBe(gate);
  expect(Array.from(registry.values())).toEqual(stateful ? [gate] : []);
  registry.open("name", policies);
  expect(made).toBe(stateful ? 1 : 2);
});
