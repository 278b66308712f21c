import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, copyFileSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
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
    alias: library(),
  });
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** The library's entries, each as its source. */
function library(): Record<string, string> {
  const { exports } = JSON.parse(readFileSync(join(packages, "sluice/package.json"), "utf8")) as {
    exports: Record<string, string | { default: string }>;
  };
  return Object.fromEntries(
    Object.entries(exports).flatMap(([entry, target]) => {
      if (typeof target === "string") return [];
      const source = target.default.replace("./dist/", "src/").replace(/js$/, "ts");
      return [[`sluice${entry.slice(1)}`, join(packages, "sluice", source)]];
    }),
  );
}

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

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("ends at once and quietly on %s", async (signal, status) => {
    const { child, ended } = start("simulate", "-", ...policy);
    // more than a pipe holds: when it is written, the command reads
    await new Promise((written) => child.stdin.write(line.repeat(20_000), written));
    child.stdin.on("error", () => {});
    child.kill(signal);
    expect(await ended).toEqual({ status, stderr: "" });
  });

  it("does not wait for the end of an input that it cannot use", async () => {
    const { child, ended } = start("simulate", "-", "--format", "common", ...policy);
    child.stdin.on("error", () => {});
    child.stdin.write(line.replace("00:00:01", "00:05:01") + line + line);
    const { status, stderr } = await ended;
    expect(status).toBe(1);
    expect(stderr).toContain("standard input, line 2: this request came");
  });

  it("ends as it would have ended when nobody reads what went wrong", async () => {
    const { child, ended } = start("simulate", "nowhere.log", ...policy);
    child.stderr.destroy();
    expect((await ended).status).toBe(1);
  });

  it("says why the report could not be written", async () => {
    const unwritable = openSync(join(folder, "package.json"), "r");
    const child = spawn(process.execPath, [join(folder, "dist/main.js"), "demo"], {
      stdio: ["ignore", unwritable, "pipe"],
    });
    closeSync(unwritable);
    let stderr = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    const [status] = (await once(child, "close")) as [number | null];
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "sluice: cannot write: EBADF: bad file descriptor, write\n",
    });
  });

  it("says in one sentence what is wrong, and by its status whose mistake it was", async () => {
    const missing = await start("simulate", "nowhere.log", ...policy).ended;
    expect(missing).toEqual({ status: 1, stderr: "sluice: cannot read nowhere.log: there is no such file\n" });
    const wrong = await start("simulate", "nowhere.log").ended;
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toMatch(/^sluice: give at least one limit to try[^\n]+\n$/);
  });
});
