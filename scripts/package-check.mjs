#!/usr/bin/env node
// Packs the library and the command as they would be published, and looks at the tarballs as those who install them would:
// publint, are the types wrong, an app that imports every entry, requires every entry, and type-checks both, and the
// command, run from its own tarball. Needs a build; needs no network: the app's node_modules holds the unpacked tarballs
// and links to the dependencies that their manifests name.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const work = mkdtempSync(join(tmpdir(), "sluice-package-"));
const app = join(work, "app");
const modules = join(app, "node_modules");

/** Runs a program in a folder, and gives what it printed; throws the program's own words when it fails. */
function run(what, folder, program, ...args) {
  try {
    const printed = execFileSync(program, args, { cwd: folder, encoding: "utf8", stdio: "pipe", maxBuffer: 1 << 27 });
    console.log(`ok   ${what}`);
    return printed;
  } catch (error) {
    throw new Error(`${what}\n${error.stdout ?? error.message}${error.stderr ?? ""}`, { cause: error });
  }
}
const tool = (name) => join(root, "node_modules/.bin", name);

/** Puts a package into the app, in the version that a workspace of the repository has. */
function link(name, workspace) {
  const own = join(root, "packages", workspace, "node_modules", name);
  const place = join(modules, name);
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(existsSync(own) ? own : join(root, "node_modules", name), place, "junction");
}

/** Packs a workspace, has publint look at it, and unpacks it into the app; its manifest. */
function install(workspace) {
  const packing = ["pack", "--ignore-scripts", "--json", "--workspace", workspace, "--pack-destination", work];
  const [{ filename }] = Object.values(JSON.parse(run(`npm pack ${workspace}`, root, "npm", ...packing)));
  const tarball = join(work, filename.replace(/^@/, "").replace("/", "-"));
  run(`publint ${workspace}`, root, tool("publint"), "run", tarball, "--strict");
  const place = join(modules, workspace);
  mkdirSync(place, { recursive: true });
  run(`unpack ${workspace}`, root, "tar", "-xzf", tarball, "-C", place, "--strip-components", "1");
  return { tarball, place, manifest: JSON.parse(readFileSync(join(place, "package.json"), "utf8")) };
}

try {
  const library = install("sluice");
  run("are the types wrong", root, tool("attw"), library.tarball, "--profile", "esm-only");
  for (const name of Object.keys({ ...library.manifest.dependencies, ...library.manifest.peerDependencies })) {
    link(name, "sluice");
  }

  const entries = Object.keys(library.manifest.exports)
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
  for (const types of ["@types/node", "@types/express", "@types/koa", "undici-types"]) link(types, "sluice");
  run("type-check an app that imports and one that requires", app, tool("tsc"), "-p", ".");

  const command = install("@sluice/cli");
  for (const name of Object.keys(command.manifest.dependencies).filter((each) => each !== "sluice")) link(name, "cli");
  const sluice = (...parameters) => [
    app,
    process.execPath,
    join(command.place, command.manifest.bin.sluice),
    ...parameters,
  ];
  writeFileSync(join(app, "access.log"), run("sluice demo --log", ...sluice("demo", "--log")));
  const policy = ["--policy", "sliding-window:100/1m"];
  const report = JSON.parse(run("sluice simulate", ...sluice("simulate", "access.log", "--json", ...policy)));
  if (!(report.policies[0].refused > 0)) throw new Error("sluice simulate: nothing was refused");
} catch (error) {
  console.log(`FAIL ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
