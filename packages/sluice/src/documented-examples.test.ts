import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ExampleModules, entriesOf } from "../test/documented/modules.js";
import { runExample, stubSurroundings } from "../test/documented/surroundings.js";

const entries = await entriesOf();
const examples = new ExampleModules(entries);
afterAll(() => examples.remove());

describe("documented examples", () => {
  beforeAll(() => examples.compile());
  stubSurroundings();

  it("every exported function has one", () => {
    const without = entries.flatMap(({ name, exports, files }) => {
      const shown = examples.modules.filter(({ example }) => files.includes(example.file));
      return Object.keys(exports)
        .filter((each) => typeof exports[each] === "function" && !/^class\b/.test(String(exports[each])))
        .filter((each) => !shown.some(({ example }) => example.symbol === each))
        .map((each) => `${each} of ${name}`);
    });
    expect(without).toEqual([]);
  });

  it("all of them type-check", { timeout: 300_000 }, async () => {
    expect(examples.modules.length).toBeGreaterThan(40);
    expect(await examples.typeErrors()).toEqual([]);
  });

  // those that need a server are run by documented-examples.redis.test.ts
  for (const example of examples.modules) if (!example.redis) it(`${example.title} runs`, () => runExample(example));
});
