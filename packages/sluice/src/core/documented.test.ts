import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

const read = (file: string): string => readFileSync(new URL(file, import.meta.url), "utf8");

it("every code of an error has a section in docs/errors.md, and every section is a code", () => {
  const union = /export type ErrorCode =([^;]+);/.exec(read("./errors.ts"))?.[1] ?? "";
  const codes = Array.from(union.matchAll(/"(ERR_[A-Z_]+)"/g), ([, code]) => code);
  const sections = Array.from(read("../../../../docs/errors.md").matchAll(/^### (ERR_[A-Z_]+)$/gm), ([, code]) => code);
  expect(codes.length).toBeGreaterThan(10);
  expect(new Set(sections)).toEqual(new Set(codes));
  expect(sections).toHaveLength(codes.length);
});
