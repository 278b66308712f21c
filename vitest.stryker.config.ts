import { defineConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** The tests that are to kill mutants: the core's, the algorithms' and, since it runs the laws, the memory store's. */
export default defineConfig({
  plugins: base.plugins ?? [],
  resolve: base.resolve ?? {},
  test: {
    testTimeout: 20_000,
    include: ["packages/sluice/src/{core,algorithms,stores/memory}/**/*.test.ts"],
  },
});
