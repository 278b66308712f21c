#!/usr/bin/env node
// Runs the semaphore's soak against a server of its own: node packages/sluice/test/soak/semaphore.mjs [seconds, at most 60]
import { rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { startServer } from "../../../../scripts/servers.mjs";

const seconds = Math.min(Number(process.argv[2] ?? 60), 60);
const program = join(import.meta.dirname, `.semaphore-${process.pid}.mjs`);
const server = await startServer();
try {
  await build({
    entryPoints: [join(import.meta.dirname, "semaphore.ts")],
    outfile: program,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    logLevel: "error",
  });
  const { soakSemaphore } = await import(program);
  const report = await soakSemaphore(server.url, seconds);
  console.log(report);
  if (report.violations.length > 0) process.exitCode = 1;
} finally {
  rmSync(program, { force: true });
  await server.stop();
}
