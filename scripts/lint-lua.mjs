#!/usr/bin/env node
// Checks every Lua file of the packages, or formats it (--write): StyLua for the form, luacheck for the rest.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const files = readdirSync(join(root, "packages"))
  .map((name) => join("packages", name, "src"))
  .flatMap((folder) => readdirSync(join(root, folder), { recursive: true }).map((file) => join(folder, file)))
  .filter((file) => file.endsWith(".lua"));
const write = process.argv.includes("--write");

/** Runs a program on every file. True when it was content, undefined when it is not installed. */
function run(command, ...options) {
  const { error, status } = spawnSync(command, [...options, ...files], { cwd: root, stdio: "inherit" });
  if (error?.code === "ENOENT") return undefined;
  if (error) throw error;
  return status === 0;
}

if (files.length === 0) {
  console.log("no Lua files");
} else {
  const formatted = run(join(root, "node_modules/.bin/stylua"), ...(write ? [] : ["--check"]));
  const checked = write ? true : run("luacheck", "-q");
  if (checked === undefined) console.log("luacheck is not installed (Debian: apt-get install lua-check): skipped");
  process.exitCode = formatted && checked !== false ? 0 : 1;
}
