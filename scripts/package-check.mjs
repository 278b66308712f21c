#!/usr/bin/env node
// Packs the library as it would be published, and looks at the tarball as those who install it would: publint, are the
// types wrong, and an app that imports every entry, requires every entry, and type-checks both. Needs a build; needs no
// network: the app's node_modules holds the unpacked tarball and links to the dependencies that its manifest names.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const work = mkdtempSync(join(tmpdir(), "sluice-package-"));
const app = join(work, "app");
const modules = join(app, "node_modules");
const installed = join(modules, "sluice");

/** Runs a program in a folder; ends this script with the program's own words when it fails. */
function run(what, folder, program, ...args) {
  try {
    execFileSync(program, args, { cwd: folder, encoding: "utf8", stdio: "pipe" });
    console.log(`ok   ${what}`);
  } catch (error) {
    console.log(`FAIL ${what}\n${error.stdout ?? error.message}${error.stderr ?? ""}`);
    throw new Error(what, { cause: error });
  }
}
const tool = (name) => join(root, "node_modules/.bin", name);

/** Puts a package of the repository into the app. */
function link(name) {
  const place = join(modules, name);
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(join(root, "node_modules", name), place, "junction");
}

try {
  mkdirSync(installed, { recursive: true });
  const packing = ["pack", "--ignore-scripts", "--workspace", "sluice", "--pack-destination", work];
  run("npm pack", root, "npm", ...packing);
  const tarball = join(
    work,
    readdirSync(work).find((name) => name.endsWith(".tgz")),
  );
  run("publint", root, tool("publint"), "run", tarball, "--strict");
  run("are the types wrong", root, tool("attw"), tarball, "--profile", "esm-only");

  run("unpack", root, "tar", "-xzf", tarball, "-C", installed, "--strip-components", "1");
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })) link(name);

  const entries = Object.keys(manifest.exports)
    .filter((entry) => !entry.endsWith(".json"))
    .map((entry) => `sluice${entry.slice(1)}`);
  const list = JSON.stringify(entries);
  const check = "if (Object.keys(module).length === 0) throw new Error(entry + ' exports nothing');";
  const files = {
    "package.json": JSON.stringify({ name: "app", private: true, type: "module" }),
    "import.mjs": `for (const entry of ${list}) { const module = await import(entry); ${check} }`,
    "require.cjs": `for (const entry of ${list}) { const module = require(entry); ${check} }`,
    "app.ts": entries.map((entry, index) => `export * as entry${index} from "${entry}";\n`).join(""),
    "common.cts":
      entries.map((entry, index) => `import entry${index} = require("${entry}");\n`).join("") +
      `export = [${entries.map((_, index) => `entry${index}`).join(", ")}];\n`,
    "tsconfig.json": JSON.stringify({
      compilerOptions: {
        target: "es2022",
        module: "nodenext",
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        types: ["node"],
        // Koa's types mean these, and find Express's newer copy of the package, which has types of its own
        paths: { "content-disposition": [join(root, "node_modules/@types/content-disposition")] },
      },
      files: ["app.ts", "common.cts"],
    }),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(app, name), text);

  run(`import ${entries.join(", ")}`, app, process.execPath, "--throw-deprecation", "import.mjs");
  run("require the same", app, process.execPath, "require.cjs");
  for (const types of ["@types/node", "@types/express", "@types/koa", "undici-types"]) link(types);
  run("type-check an app that imports and one that requires", app, tool("tsc"), "-p", ".");
} catch {
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
