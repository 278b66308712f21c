import { defineConfig } from "vitest/config";
import base from "./vitest.config.ts";

/**
 * The tests that are to kill the mutants of a folder: its own, and for the core those of the memory store, which runs the
 * laws. With all others beside them a run took seven times as long.
 */
const killers = {
  algorithms: "algorithms/**/*.test.ts",
  core: "{core/*,stores/memory/{memory,conformance}}.test.ts",
};
const folder = process.env["MUTATE"] as keyof typeof killers;
if (killers[folder] === undefined) throw new Error("Say whose mutants: MUTATE=algorithms or MUTATE=core.");

export default defineConfig({
  plugins: base.plugins ?? [],
  resolve: base.resolve ?? {},
  test: {
    testTimeout: 20_000,
    setupFiles: ["vitest.stryker.setup.ts"],
    include: [`packages/sluice/src/${killers[folder]}`],
    exclude: ["**/*.redis.test.ts"],
    // of the laws a tenth of the usual cases
    env: { LAWS_EFFORT: "0.3" },
  },
});
