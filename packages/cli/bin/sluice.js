#!/usr/bin/env node
// Lies outside dist so that npm can link the command in a fresh clone, before the first build.
import { existsSync } from "node:fs";

const main = new URL("../dist/main.js", import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  console.error("sluice: not built yet, run `npm run build` first");
  process.exitCode = 1;
}
