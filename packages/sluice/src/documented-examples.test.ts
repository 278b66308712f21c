import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deadLinksOf, pages } from "../test/documented/examples.js";
import { ExampleModules, entriesOf } from "../test/documented/modules.js";
import { declaredIn, mentionedIn } from "../test/documented/names.js";
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

  it("code is read right: what it declares, and what it takes from elsewhere", () => {
    const code = `import express, { type Router, json as body } from "express";
const { allowed, retryAfter: wait = 1, ...rest } = await limiter.consume("user:1", { cost });
export const GET = rateLimit(limiter)(() => decision.policy); // comment
async function load(url: string) { return [...lines, allowed]; }`;
    expect(declaredIn(code).exportable).toEqual(["express", "body", "allowed", "wait", "rest", "load"]);
    const needed = [...mentionedIn(code)].filter((name) => !declaredIn(code).all.has(name));
    expect(needed).toEqual(expect.arrayContaining(["limiter", "cost", "rateLimit", "decision", "lines"]));
    for (const name of ["policy", "comment", "user", "GET", "consume"]) expect(needed).not.toContain(name);
  });

  it("no page links to a file that is not there", () => {
    expect(pages().flatMap((page) => deadLinksOf(page).map((link) => `${page}: ${link}`))).toEqual([]);
  });

  it("all of them type-check", { timeout: 300_000 }, async () => {
    expect(examples.modules.length).toBeGreaterThan(40);
    expect(await examples.typeErrors()).toEqual([]);
  });

  // those that need a server are run by documented-examples.redis.test.ts
  for (const example of examples.modules) if (!example.redis) it(`${example.title} runs`, () => runExample(example));
});
