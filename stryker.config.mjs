/** Which folder's mutants: `npm run mutation` runs both, one after the other. */
const folder = process.env.MUTATE;

export default {
  testRunner: "vitest",
  vitest: { configFile: "vitest.stryker.config.ts" },
  mutate: [`packages/sluice/src/${folder}/**/*.ts`, "!packages/sluice/src/**/*.test.ts"],
  // TypeScript 7 has no compiler API: keep Stryker from opening tsconfig.json with it.
  tsconfigFile: "none.json",
  disableTypeChecks: false,
  ignorePatterns: [".cache", "dist", "coverage", "reports", "bench"],
  coverageAnalysis: "perTest",
  incremental: true,
  incrementalFile: `reports/mutation-${folder}-incremental.json`,
  htmlReporter: { fileName: `reports/mutation-${folder}.html` },
  jsonReporter: { fileName: `reports/mutation-${folder}.json` },
  reporters: ["clear-text", "progress", "html", "json"],
  concurrency: 2,
  // The algorithms are at 93 %, the core at 95. Of what is left most changes nothing that can be seen: short cuts for speed,
  // boundaries where both sides agree, options that are spread when they are undefined, timers of other runtimes.
  thresholds: { high: 95, low: 90, break: 90 },
  tempDirName: ".stryker-tmp",
};
