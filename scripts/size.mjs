#!/usr/bin/env node
// Bundles each exported entry of the library as an app would, with its dependencies, and fails when one is over its
// budget. Needs a build. Frameworks and clients, which the app has anyway, are left out.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { build } from "esbuild";

/** Bytes, minified and brotli-compressed. Every exported entry has a line. */
const budgets = {
  ".": 29_500,
  "./redis": 24_000,
  "./testing": 28_500,
  "./simulate": 16_500,
  "./http": 8_000,
  "./express": 24_500,
  "./fastify": 24_500,
  "./koa": 24_500,
  "./hono": 24_500,
  "./node": 24_500,
  "./fetch": 24_500,
  "./nest": 25_500,
  "./config": 39_500,
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
