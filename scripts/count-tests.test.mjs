import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const script = resolve(import.meta.dirname, "count-tests.mjs");

/** What the script says of files, each given as its verdict and the states of its tests. */
function said(files, status) {
  const folder = mkdtempSync(join(tmpdir(), "sluice-count-"));
  try {
    const testResults = files.map(([verdict, ...states]) => ({
      status: verdict,
      assertionResults: states.map((state) => ({ status: state })),
    }));
    const report = join(folder, "report.json");
    if (files.length > 0) writeFileSync(report, JSON.stringify({ testResults }));
    return execFileSync(process.execPath, [script, report, String(status)], { encoding: "utf8" }).trim();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("count-tests", () => {
  it("counts what passed and what failed", () => {
    expect(said([["passed", "passed", "passed"]], 0)).toBe("2 passed, 0 failed");
    expect(
      said(
        [
          ["passed", "passed"],
          ["failed", "passed", "failed"],
        ],
        1,
      ),
    ).toBe("2 passed, 1 failed");
    expect(said([["passed", "passed", "skipped", "todo"]], 0)).toBe("1 passed, 0 failed");
  });

  it("counts tests behind a hook that threw, and a file that could not be read", () => {
    expect(said([["failed", "passed", "skipped", "skipped"]], 1)).toBe("1 passed, 2 failed");
    expect(said([["failed"], ["passed", "passed"]], 1)).toBe("1 passed, 1 failed");
    expect(said([["failed", "passed"]], 1)).toBe("1 passed, 1 failed");
  });

  it("never calls a run clean that failed, told nothing, or left no report", () => {
    expect(said([["passed", "passed"]], 1)).toBe("1 passed, 1 failed");
    expect(said([["passed"]], 0)).toBe("0 passed, 1 failed");
    expect(said([], 0)).toBe("0 passed, 1 failed");
  });
});
