import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, posix } from "node:path";
import { promisify } from "node:util";
import { transform } from "esbuild";
import { type Example, examplesOfDocstrings, examplesOfPages, root } from "./examples.js";
import { declaredIn, mentionedIn } from "./names.js";

/** An example, made a module. */
export interface ExampleModule {
  readonly example: Example;
  /** Where it stands: file and line. */
  readonly title: string;
  /** Of the source for the compiler; beside it stands what runs, `.js`. */
  readonly path: string;
  /** It, or what it imports from the examples above it, needs a server. */
  readonly redis: boolean;
}

/** An entry of the library: the names that it exports, and the files that they come from. */
export interface Entry {
  readonly name: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly files: readonly string[];
}

/** Names in docstrings that are not the library's. Pages say themselves what they import. */
const foreign: Readonly<Record<string, string>> = {
  Redis: '{ Redis } from "ioredis"',
  express: 'express from "express"',
  fastify: '{ fastify } from "fastify"',
  Hono: '{ Hono } from "hono"',
  Koa: 'Koa from "koa"',
  createServer: '{ createServer } from "node:http"',
  IncomingMessage: '{ type IncomingMessage } from "node:http"',
  Controller: '{ Controller } from "@nestjs/common"',
  Module: '{ Module } from "@nestjs/common"',
  UseGuards: '{ UseGuards } from "@nestjs/common"',
  APP_GUARD: '{ APP_GUARD } from "@nestjs/core"',
  describe: '{ describe } from "../packages/sluice/test/documented/runner.js"',
  it: '{ it } from "../packages/sluice/test/documented/runner.js"',
};

/** The entries, as the exports map has them. */
export async function entriesOf(): Promise<Entry[]> {
  const library = "packages/sluice";
  const manifest = JSON.parse(readFileSync(join(root, library, "package.json"), "utf8")) as {
    exports: Record<string, string | { default: string }>;
  };
  return Promise.all(
    Object.entries(manifest.exports).flatMap(([entry, target]) => {
      if (typeof target === "string") return [];
      const name = `sluice${entry.slice(1)}`;
      const source = posix.join(library, target.default.replace("./dist/", "src/").replace(/\.js$/, ".ts"));
      const text = readFileSync(join(root, source), "utf8");
      const files = Array.from(text.matchAll(/^(?:export .*|\}) from "(\..*)\.js";$/gm), ([, file]) =>
        posix.join(posix.dirname(source), `${file}.ts`),
      );
      return [import(name).then((exports: Entry["exports"]) => ({ name, exports, files: [source, ...files] }))];
    }),
  );
}

/** Writes every example as a module of its own into a new folder, with what the compiler needs. */
export class ExampleModules {
  readonly modules: ExampleModule[] = [];
  readonly #folder: string;

  constructor(entries: readonly Entry[]) {
    // in the repository, so that packages are found from there
    this.#folder = mkdtempSync(join(root, ".examples-"));
    const options = {
      noUnusedLocals: false,
      noUnusedParameters: false,
      noPropertyAccessFromIndexSignature: false,
      // as Nest has it; a wrapper decorates methods by either standard
      experimentalDecorators: true,
    };
    this.#write("tsconfig.json", JSON.stringify({ extends: "../tsconfig.base.json", compilerOptions: options }));
    for (const example of examplesOfDocstrings()) this.#addDocstring(example, entries);
    for (const page of examplesOfPages()) this.#addPage(page);
  }

  /** Compiles what runs. */
  async compile(): Promise<void> {
    await Promise.all(
      this.modules.map(async ({ path }) => {
        const source = readFileSync(path, "utf8");
        const compilerOptions = { experimentalDecorators: source.includes("@nestjs/common") };
        const { code } = await transform(source, { loader: "ts", target: "es2022", tsconfigRaw: { compilerOptions } });
        writeFileSync(path.replace(/\.ts$/, ".js"), code);
      }),
    );
  }

  /** What the compiler has against them, by the lines where they stand. */
  async typeErrors(): Promise<string[]> {
    const compiler = join(root, "node_modules/typescript/bin/tsc");
    const args = [compiler, "-p", this.#folder, "--pretty", "false"];
    const output = await promisify(execFile)(process.execPath, args).then(
      () => "",
      (error: Error & { stdout?: string }) => error.stdout || error.message,
    );
    return output
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => {
        const [, file = "", at = "", message = ""] = /^(.*)\((\d+),\d+\): (.*)$/.exec(line) ?? [];
        const module = this.modules.find(({ path }) => basename(path) === basename(file));
        if (module === undefined) return line;
        const { example } = module;
        return `${example.file}:${example.line + Number(at) - 1 - linesBefore}: ${message}`;
      });
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #addDocstring(example: Example, entries: readonly Entry[]): void {
    const nearest = entries.toSorted(
      (one, other) => Number(other.files.includes(example.file)) - Number(one.files.includes(example.file)),
    );
    const imports = needsOf(example).flatMap((name) => {
      const entry = nearest.find(({ exports }) => Object.hasOwn(exports, name));
      if (entry !== undefined) return [`{ ${name} } from "${entry.name}"`];
      return Object.hasOwn(foreign, name) ? [foreign[name] as string] : [];
    });
    this.#add(example, imports, [], /\bRedis\(/.test(example.code));
  }

  /** A block sees the names of the blocks above it: it imports them from the latest that has them. */
  #addPage(page: readonly Example[]): void {
    const above: { readonly names: readonly string[]; readonly module: ExampleModule }[] = [];
    for (const example of page) {
      const needed = needsOf(example).flatMap((name) => {
        const found = above.findLast(({ names }) => names.includes(name));
        return found === undefined ? [] : [{ name, module: found.module }];
      });
      const imports = needed.map(({ name, module }) => `{ ${name} } from "./${basename(module.path, ".ts")}.js"`);
      const redis = /from "ioredis"/.test(example.code) || needed.some(({ module }) => module.redis);
      const { exportable } = declaredIn(example.code);
      above.push({ names: exportable, module: this.#add(example, imports, exportable, redis) });
    }
  }

  #add(example: Example, imports: readonly string[], exported: readonly string[], redis: boolean): ExampleModule {
    const title = `${example.file}:${example.line}`;
    const name = `${title.replaceAll(/\W+/g, "-")}.ts`;
    const helper = '{ shows as $shows } from "../packages/sluice/test/documented/runner.js"';
    const head = [...imports, helper].map((each) => `import ${each};`).join(" ");
    this.#write(name, `${head}\n${withChecks(example)}\nexport { ${exported.join(", ")} };\n`);
    const module = { example, title, path: join(this.#folder, name), redis };
    this.modules.push(module);
    return module;
  }

  #write(name: string, text: string): void {
    writeFileSync(join(this.#folder, name), text);
  }
}

/** Lines of a module before its example. */
const linesBefore = 1;

/** Names that it mentions and does not declare. */
function needsOf({ code }: Example): string[] {
  const { all } = declaredIn(code);
  return [...mentionedIn(code)].filter((name) => !all.has(name));
}

/** `expression // value`, `console.log(expression) // value` and `const name = expression // value` are held to it. */
function withChecks({ code, file, line }: Example): string {
  const said = /^(const (\w+) = )?(.*?);? +\/\/ (-?[\d_.]+|".*"|true|false|undefined|-?Infinity|\[.*\]|\{.*\})$/;
  return code
    .split("\n")
    .map((text, index) => {
      const [whole, constant, name, expression = "", value] = said.exec(text) ?? [];
      if (whole === undefined) return text;
      const where = JSON.stringify(`${file}:${line + index}`);
      const printed = /^console\.log\((.*)\)$/.exec(expression)?.[1] ?? expression;
      if (constant === undefined) return `$shows(${printed}, ${value}, ${where});`;
      return `${constant}${expression}; $shows(${name}, ${value}, ${where});`;
    })
    .join("\n");
}
