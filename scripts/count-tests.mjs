#!/usr/bin/env node
// Prints `N passed, N failed` from Vitest's JSON report and the exit status of its run.
//   node scripts/count-tests.mjs reports/vitest.json 1
// What did not run because something before it broke counts as failed: a file without a test, the tests behind a hook that
// threw. A run that failed is never counted as clean, whatever its report says, and neither is one without a report.
import { existsSync, readFileSync } from "node:fs";

const [, , report = "", status = "1"] = process.argv;

/** How many tests of a file passed, and how many did not. */
function counted({ status: verdict, assertionResults }) {
  const having = (...states) => assertionResults.filter((test) => states.includes(test.status)).length;
  const failed = having("failed");
  if (verdict !== "failed") return { passed: having("passed"), failed };
  const unrun = assertionResults.length - having("passed", "failed", "todo");
  return { passed: having("passed"), failed: Math.max(1, failed + unrun) };
}

const files = existsSync(report) ? JSON.parse(readFileSync(report, "utf8")).testResults.map(counted) : [];
const passed = files.reduce((sum, file) => sum + file.passed, 0);
const failed = files.reduce((sum, file) => sum + file.failed, 0);
const clean = status === "0" && passed > 0;
console.log(`${passed} passed, ${clean ? failed : Math.max(1, failed)} failed`);
