#!/usr/bin/env node
// Puts the Lua programs into TypeScript modules, so that they travel with the code through every compiler and bundler.
//   node scripts/programs.mjs            write the modules
//   node scripts/programs.mjs --check    end with 1 if one of them is not as it would be written
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const source = resolve(import.meta.dirname, "../packages/sluice/src");

/** The algorithms by name. Each file is a block that returns one, and runs when a call first needs it. */
const algorithms = {
  "fixed-window": "algorithms/fixed-window/fixed-window.lua",
  "sliding-counter": "algorithms/sliding-counter/sliding-counter.lua",
  "sliding-window": "algorithms/sliding-window/sliding-window.lua",
  "token-bucket": "algorithms/token-bucket/continuous.lua",
  "token-bucket-interval": "algorithms/token-bucket/interval.lua",
};

/** The short form of an algorithm's step, where it has one. */
const singles = {
  "fixed-window": "algorithms/fixed-window/single.lua",
  "token-bucket": "algorithms/token-bucket/single.lua",
};

/** A function that runs one of the files, each a block that returns something, by name. */
const choice = (name, files) => [
  { line: `local function ${name}(name)` },
  ...Object.entries(files).flatMap(([key, file]) => [{ line: `if name == "${key}" then` }, { file }, { line: "end" }]),
  { line: "end" },
];

/** Each module, the Lua files and lines that its program is made of, in order, and the name under which it exports it. */
const programs = [
  { out: "semaphore/semaphore.gen.ts", parts: [{ file: "semaphore/semaphore.lua" }], name: "semaphoreScript" },
  {
    out: "stores/redis/programs.gen.ts",
    parts: [
      ...choice("newSingle", singles),
      { file: "stores/redis/lone.lua" },
      ...choice("newAlgorithm", algorithms),
      { file: "stores/redis/driver.lua" },
    ],
    name: "limiterScript",
  },
];

/** What the server needs of a program: no comment lines, no indentation, no empty lines. */
function stripped(lua) {
  return lua
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("--"));
}

function moduleOf({ out, parts, name }) {
  const lines = parts.flatMap(({ file, line }) => (file ? stripped(readFileSync(join(source, file), "utf8")) : [line]));
  const sources = parts.flatMap(({ file }) => file ?? []);
  const text = lines.map((line) => `${line}\n`).join("");
  const store = relative(join(source, dirname(out)), join(source, "core/store.js"));
  return `// Written by scripts/programs.mjs from ${sources.join(", ")}. Do not edit.
import type { Script } from "${store}";

export const ${name}: Script = {
  text:
    ${lines.map((line) => JSON.stringify(`${line}\n`)).join(" +\n    ")},
  sha: "${createHash("sha1").update(text).digest("hex")}",
};
`;
}

const check = process.argv.includes("--check");
for (const program of programs) {
  const file = join(source, program.out);
  const text = moduleOf(program);
  if (existsSync(file) && readFileSync(file, "utf8") === text) continue;
  if (check) {
    console.error(`${relative(process.cwd(), file)} is out of date: run node scripts/programs.mjs`);
    process.exitCode = 1;
  } else {
    writeFileSync(file, text);
    console.log(`wrote ${relative(process.cwd(), file)}`);
  }
}
