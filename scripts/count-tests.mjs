#!/usr/bin/env node
// Prints `N passed, N failed` from Vitest's JSON report. A file that could not be run counts as a failed test, and so does
// a report that is not there.
import { existsSync, readFileSync } from "node:fs";

const [, , report] = process.argv;
let passed = 0;
let failed = 0;
if (existsSync(report)) {
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, "utf8"));
  const broken = testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
  passed = numPassedTests;
  failed = numFailedTests + broken.length;
} else {
  failed = 1;
}
console.log(`${passed} passed, ${failed} failed`);
