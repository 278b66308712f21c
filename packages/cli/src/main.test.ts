import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const packages = resolve(import.meta.dirname, "../..");
const cache = resolve(packages, "../.cache");
let folder: string;

/** The command as one file, in a place from which its dependencies are found. */
beforeAll(async () => {
  mkdirSync(cache, { recursive: true });
  folder = mkdtempSync(join(cache, "cli-test-"));
  copyFileSync(join(packages, "cli/package.json"), join(folder, "package.json"));
  await build({
    entryPoints: [join(packages, "cli/src/main.ts")],
    outfile: join(folder, "dist/main.js"),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    external: ["commander", "cli-progress", "cli-table3", "picocolors"],
    alias: {
      sluice: join(packages, "sluice/src/index.ts"),
      "sluice/simulate": join(packages, "sluice/src/simulate/index.ts"),
    },
  });
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  /** How it ended, and what it said on standard error. */
  readonly ended: Promise<{ readonly status: number | null; readonly stderr: string }>;
}

function start(...parameters: string[]): Running {
  const child = spawn(process.execPath, [join(folder, "dist/main.js"), ...parameters]);
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = once(child, "close").then(([status]) => ({ status: status as number | null, stderr }));
  return { child, ended };
}

const policy = ["--policy", "sliding-window:9/1s"];
const line = '1.2.3.4 - - [01/Aug/1995:00:00:01 -0400] "GET / HTTP/1.0" 200 2326\n';

describe("the command as a process", () => {
  it("reads standard input to its end and prints the report", async () => {
    const { child, ended } = start("simulate", "-", "--json", ...policy);
    child.stdin.end(line.repeat(10));
    let stdout = "";
    for await (const chunk of child.stdout) stdout += String(chunk);
    expect(JSON.parse(stdout)).toMatchObject({ requests: 10, policies: [{ allowed: 9, refused: 1 }] });
    expect(await ended).toEqual({ status: 0, stderr: "" });
  });

  it("ends quietly when whoever reads has seen enough", async () => {
    const { child, ended } = start("demo", "--log");
    await once(child.stdout, "data");
    child.stdout.destroy();
    expect(await ended).toEqual({ status: 0, stderr: "" });
  });

  it("ends at once and quietly when it is interrupted", async () => {
    const { child, ended } = start("simulate", "-", ...policy);
    // more than a pipe holds: when it is written, the command reads
    await new Promise((written) => child.stdin.write(line.repeat(20_000), written));
    child.stdin.on("error", () => {});
    child.kill("SIGINT");
    expect(await ended).toEqual({ status: 130, stderr: "" });
  });

  it("does not wait for the end of an input that it cannot use", async () => {
    const { child, ended } = start("simulate", "-", ...policy);
    child.stdin.on("error", () => {});
    child.stdin.write(line.replace("1995", "1996") + line);
    const { status, stderr } = await ended;
    expect(status).toBe(1);
    expect(stderr).toContain("standard input, line 2: this request came");
  });

  it("says in one sentence what is wrong, and by its status whose mistake it was", async () => {
    const missing = await start("simulate", "nowhere.log", ...policy).ended;
    expect(missing).toEqual({ status: 1, stderr: "sluice: cannot read nowhere.log: there is no such file\n" });
    const wrong = await start("simulate", "nowhere.log").ended;
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toMatch(/^sluice: give at least one limit to try[^\n]+\n$/);
  });
});
