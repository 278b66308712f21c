import { defineConfig } from "vitest/config";
import base from "./vitest.config.ts";

/**
 * The tests that are to kill the mutants of a folder. Those of the algorithms have their own: with all others beside them a
 * run took seven times as long. Those of the core have the memory store's, since it runs the laws, those of the HTTP
 * adapters, which are the ones that read the header fields, and those of what else is built on the core.
 */
const killers = { algorithms: "algorithms", core: "{core,stores/memory,http,retry}" };
const folder = process.env["MUTATE"] as keyof typeof killers;

export default defineConfig({
  plugins: base.plugins ?? [],
  resolve: base.resolve ?? {},
  test: {
    testTimeout: 20_000,
    setupFiles: ["vitest.stryker.setup.ts"],
    include: [`packages/sluice/src/${killers[folder]}/**/*.test.ts`],
    exclude: ["**/*.redis.test.ts"],
  },
});
