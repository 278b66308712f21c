#!/usr/bin/env node
// Finds, or fetches without installing anything, a real Redis or Valkey for the tests.
//   node scripts/servers.mjs                       print the server that the tests would use
//   node scripts/servers.mjs --get redis           unpack this Debian or Ubuntu release's redis-server under .cache/servers (any user)
//   node scripts/servers.mjs --get valkey@trixie   the same from another Debian suite (bookworm-backports, trixie, sid)
// As a module: findServer() says where one is, startServer() starts it on a free port of 127.0.0.1.
import { execFileSync, spawn } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

export const cache = resolve(import.meta.dirname, "..", ".cache", "servers");
const programs = ["valkey-server", "redis-server"];

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function onPath(name) {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** How to start a program of an unpacked tree: with the tree's own loader and libraries, so that any suite runs on any release. */
function fromTree(tree, program) {
  const executable = join(tree, "usr/bin", program);
  if (!existsSync(executable)) return undefined;
  const libraries = ["usr/lib", "lib"]
    .map((folder) => join(tree, folder))
    .filter(existsSync)
    .flatMap((folder) => readdirSync(folder, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory() && entry.name.endsWith("-linux-gnu"))
    .map((entry) => join(entry.parentPath, entry.name));
  const loader = libraries
    .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
    .find((file) => /\/ld-linux[^/]*\.so\.\d$/.test(file));
  const path = libraries.join(":");
  return loader
    ? { argv: [loader, "--library-path", path, executable], label: executable }
    : { argv: [executable], env: { LD_LIBRARY_PATH: path }, label: executable };
}

/** Every server unpacked so far. */
function unpacked() {
  if (!existsSync(cache)) return [];
  return readdirSync(cache).flatMap((tree) =>
    programs.flatMap((program) => fromTree(join(cache, tree), program) ?? []),
  );
}

/** A line for apt that names another suite on the mirror that this machine already uses. */
function sourceLine(suite) {
  const mirror = execFileSync("apt-get", ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], {
    encoding: "utf8",
  })
    .split("\n")
    .find((address) => /\/debian\/?$/.test(address));
  if (!mirror) throw new Error("this machine's apt sources name no Debian mirror");
  return `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} ${suite} main\n`;
}

/**
 * Unpacks `redis` or `valkey`, and the libraries it needs, from a Debian suite (or this machine's own) under
 * .cache/servers, and returns the folder. Private lists and cache: no root, nothing installed.
 */
export function get(specifier) {
  const [kind, suite] = specifier.split("@");
  const tree = join(cache, specifier);
  if (existsSync(tree)) return tree;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, ".unpacking-"));
  try {
    for (const folder of ["lists/partial", "cache/archives/partial", "tree"]) {
      mkdirSync(join(work, folder), { recursive: true });
    }
    writeFileSync(join(work, "status"), "");
    const settings = [
      `Dir::State=${work}`,
      `Dir::State::Lists=${work}/lists`,
      `Dir::State::status=${work}/status`,
      `Dir::Cache=${work}/cache`,
      "Debug::NoLocking=1",
      "APT::Sandbox::User=",
      "APT::Install-Recommends=false",
    ];
    const backports = suite?.endsWith("-backports");
    if (suite) {
      const suites = backports ? [suite, suite.replace("-backports", "")] : [suite];
      writeFileSync(join(work, "sources.list"), suites.map(sourceLine).join(""));
      settings.push(`Dir::Etc::sourcelist=${work}/sources.list`, "Dir::Etc::sourceparts=-");
    }
    const apt = (...args) =>
      execFileSync("apt-get", [...settings.flatMap((setting) => ["-o", setting]), "-qq", ...args], {
        stdio: ["ignore", "ignore", "inherit"],
      });
    apt("update");
    apt("-y", "--download-only", "install", `${kind}-server${backports ? `/${suite}` : ""}`);
    const archives = join(work, "cache/archives");
    for (const file of readdirSync(archives).filter((name) => name.endsWith(".deb"))) {
      execFileSync("dpkg", ["-x", join(archives, file), join(work, "tree")]);
    }
    renameSync(join(work, "tree"), tree);
    return tree;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** A server of one kind, "redis" or "valkey": installed, unpacked before, or unpacked now as `specifier`. Throws when it cannot be had. */
export function findKind(kind, specifier = kind) {
  const program = `${kind}-server`;
  const installed = onPath(program);
  if (installed) return { argv: [installed], label: installed };
  const server = fromTree(get(specifier), program);
  if (!server) throw new Error(`${specifier} holds no ${program}`);
  return server;
}

/** Where the tests get their server from, best first. Throws a message that says what to do. */
export function findServer() {
  const { REDIS_URL } = process.env;
  if (REDIS_URL) return { url: REDIS_URL, label: "REDIS_URL" };
  const installed = programs.map(onPath).find(Boolean);
  if (installed) return { argv: [installed], label: installed };
  const [tree] = unpacked();
  if (tree) return tree;
  if (onPath("apt-get") && onPath("dpkg")) {
    console.error("no Redis or Valkey here: unpacking Debian's redis-server under .cache/servers ...");
    try {
      const server = fromTree(get("redis"), "redis-server");
      if (server) return server;
    } catch (error) {
      console.error(`that failed: ${error.message.split("\n")[0]}`);
    }
  }
  throw new Error(
    "These tests need a Redis or Valkey server, and none was found.\n" +
      "  macOS:  brew install valkey\n" +
      "  Debian: apt-get install redis-server\n" +
      "  or run the tests that need none: npm run test:unit",
  );
}

/**
 * Below 32 768. From there on Linux takes the near ends of connections (macOS from 49 152): a port that is free now would be
 * somebody's connection before the server listens, or while a server that a test killed is down.
 */
const firstPort = 10_000;
const ports = 22_000;
let turn = Math.floor(Math.random() * ports);

/** A port of 127.0.0.1 that nobody listens on now, another one each time. */
export async function freePort() {
  for (;;) {
    const port = firstPort + (turn++ % ports);
    if (await canListen(port)) return port;
  }
}

function canListen(port) {
  return new Promise((answer, reject) => {
    const probe = createServer();
    probe.once("error", (error) => (error.code === "EADDRINUSE" ? answer(false) : reject(error)));
    probe.listen(port, "127.0.0.1", () => probe.close(() => answer(true)));
  });
}

/** Resolves when the child says that it is ready; rejects when it ends, or has said nothing in ten seconds. */
function ready(child, label) {
  return new Promise((resolveReady, reject) => {
    let log = "";
    const fail = (why) => reject(new Error(`${label} ${why}\n${log}`));
    const timer = setTimeout(() => fail("was not ready in 10 s"), 10_000);
    const read = (chunk) => {
      log += chunk;
      // A Sentinel is ready when it watches its primary
      if (/Ready to accept connections|\+monitor master/.test(log)) {
        clearTimeout(timer);
        child.stdout.off("data", read).resume();
        child.stderr.off("data", read).resume();
        resolveReady();
      }
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("error", (error) => fail(`did not start: ${error.message}`));
    child.once("exit", (code) => {
      clearTimeout(timer);
      fail(`exited with ${code}`);
    });
  });
}

/** Kills the child and removes its folder when this process ends, however it ends: a shell of its own group waits for that. */
function watch(child, folder) {
  const script = 'read -r _; kill -9 "$1"; rm -rf "$2"';
  const watchdog = spawn("sh", ["-c", script, "sh", String(child.pid), folder], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  watchdog.on("error", () => {});
  watchdog.stdin.on("error", () => {});
  watchdog.unref();
  watchdog.stdin.unref();
  // A process id may be given again: nobody is left to kill it for once the child is gone
  child.once("exit", () => watchdog.kill("SIGKILL"));
}

/**
 * Starts a server on `port` of 127.0.0.1, or on a free one, that keeps nothing on disk; `extra` is added to its command line.
 * Returns its address and `stop`. It dies with this process in any case.
 */
export async function startServer(found = findServer(), extra = [], port) {
  if (found.url)
    return { url: found.url, label: found.label, port: Number(new URL(found.url).port || 6379), stop: async () => {} };
  port ??= await freePort();
  const folder = mkdtempSync(join(tmpdir(), "sluice-server-"));
  const [command, ...args] = found.argv;
  const options = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
  const child = spawn(command, [...args, ...options, ...extra], {
    env: { ...process.env, ...found.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const kill = () => child.kill("SIGKILL");
  if (child.pid !== undefined) watch(child, folder);
  const stop = async () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      await new Promise((ended) => {
        child.once("exit", ended);
        kill();
      });
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await ready(child, found.label);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `redis://127.0.0.1:${port}`, label: found.label, port, pid: child.pid, stop };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const wanted = process.argv.indexOf("--get");
  if (wanted > 0) for (const specifier of process.argv.slice(wanted + 1)) console.log(get(specifier));
  else console.log(findServer().label);
}
