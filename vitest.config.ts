import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { transform } from "esbuild";
import { defineConfig, type ViteUserConfig } from "vitest/config";

/** Every exported entry of the library, mapped to its source, so that tests need no build. The exports map is the only list. */
const library = resolve(import.meta.dirname, "packages/sluice");
const { exports } = JSON.parse(readFileSync(resolve(library, "package.json"), "utf8")) as {
  exports: Record<string, string | { default: string }>;
};
const alias = Object.entries(exports).flatMap(([entry, target]) =>
  typeof target === "string"
    ? []
    : [
        {
          find: new RegExp(`^sluice${entry.slice(1)}$`),
          replacement: resolve(library, target.default.replace("./dist/", "src/").replace(/\.js$/, ".ts")),
        },
      ],
);

/** Vite's own compiler leaves standard decorators as they are, and Node 20 cannot read them: esbuild compiles files that use one. */
const standardDecorators: NonNullable<ViteUserConfig["plugins"]>[number] = {
  name: "standard-decorators",
  enforce: "pre",
  async transform(source, file) {
    if (!file.endsWith(".ts") || !/^\s*@[a-z]/im.test(source)) return undefined;
    const { code, map } = await transform(source, {
      loader: "ts",
      target: "es2022",
      sourcefile: file,
      sourcemap: true,
      tsconfigRaw: { compilerOptions: { experimentalDecorators: false } },
    });
    return { code, map };
  },
};

const everywhere = "packages/*/src/**";

export default defineConfig({
  plugins: [standardDecorators],
  resolve: { alias },
  test: {
    testTimeout: 20_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [`${everywhere}/*.test.ts`, "scripts/*.test.mjs"],
          exclude: [`${everywhere}/*.redis.test.ts`],
        },
      },
      {
        extends: true,
        test: {
          name: "redis",
          // one file at a time: some count what the shared servers do
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
          include: ["packages/*/{src,test}/**/*.redis.test.ts"],
          globalSetup: "packages/sluice/test/redis.setup.ts",
        },
      },
    ],
    coverage: {
      provider: "v8",
      include: [`${everywhere}/*.ts`],
      exclude: [`${everywhere}/*.test.ts`, `${everywhere}/*.gen.ts`],
      reporter: ["text", "json-summary"],
    },
  },
});
