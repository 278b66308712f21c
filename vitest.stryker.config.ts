import { defineConfig } from "vitest/config";
import base from "./vitest.config.ts";

/**
 * The tests that are to kill mutants: the core's and the algorithms', the memory store's, since it runs the laws, those of
 * the HTTP adapters, which are the ones that read the header fields, and those of what else is built on the core.
 */
export default defineConfig({
  plugins: base.plugins ?? [],
  resolve: base.resolve ?? {},
  test: {
    testTimeout: 20_000,
    include: ["packages/sluice/src/{core,algorithms,stores/memory,http,retry}/**/*.test.ts"],
    exclude: ["**/*.redis.test.ts"],
  },
});
