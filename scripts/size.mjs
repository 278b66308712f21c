#!/usr/bin/env node
// Bundles each exported entry of the library as an app would, with its dependencies, and fails when one is over its
// budget. Needs a build. Frameworks and clients, which the app has anyway, are left out.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { build } from "esbuild";

/** Bytes, minified and brotli-compressed. Every exported entry has a line. */
const budgets = {
  ".": 25_000,
  "./redis": 18_000,
  "./testing": 26_000,
  "./simulate": 14_500,
  "./http": 8_000,
  "./express": 22_000,
  "./fastify": 22_000,
  "./koa": 22_000,
  "./hono": 22_000,
  "./node": 22_000,
  "./fetch": 22_000,
  "./nest": 22_000,
  "./config": 32_000,
};

const library = resolve(import.meta.dirname, "../packages/sluice");
const manifest = JSON.parse(readFileSync(resolve(library, "package.json"), "utf8"));
const outside = Object.keys({ ...manifest.peerDependencies, ...manifest.devDependencies });
const entries = Object.entries(manifest.exports).filter(([, target]) => typeof target === "object");

for (const [entry, target] of entries) {
  const { outputFiles, metafile } = await build({
    entryPoints: [resolve(library, target.default)],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    external: outside,
    write: false,
    metafile: true,
    logLevel: "error",
  });
  const size = brotliCompressSync(outputFiles[0].contents).length;
  const budget = budgets[entry];
  const fits = size <= budget;
  if (!fits) process.exitCode = 1;
  const verdict = fits ? "ok  " : "OVER";
  const modules = Object.keys(metafile.inputs).length;
  console.log(`${verdict} ${entry.padEnd(12)} ${size} of ${budget ?? "no budget:"} B, ${modules} modules`);
}
for (const entry of Object.keys(budgets)) {
  if (entries.some(([name]) => name === entry)) continue;
  process.exitCode = 1;
  console.log(`budget for ${entry}, which is not exported`);
}
