import { type ChildProcess, fork } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import type { Order, Report, Tally } from "./orders.js";

export interface Ended {
  readonly outcome: string;
  /** ms on a clock that all processes of this machine share. */
  readonly at: number;
}

/** A process that takes orders. */
export interface Member {
  readonly process: ChildProcess;
  tell(order: Order): Promise<Tally>;
  /** Resolves when the wait of this id has ended. */
  ended(id: number): Promise<Ended>;
}

export interface Program {
  /** Starts it in a process of its own; `env` beside this process's environment. */
  start(args: readonly string[], env?: Readonly<Record<string, string>>): ChildProcess;
  remove(): Promise<void>;
}

/** The library's entries that such programs import. */
const sources = {
  "sluice/redis": join(import.meta.dirname, "../../src/stores/redis/redis.ts"),
  sluice: join(import.meta.dirname, "../../src/index.ts"),
};

const modules = join(import.meta.dirname, "../../../../node_modules");

/** Bundles a program, and what it imports of the library by name, so that other processes can run it without a build. */
export async function programOf(entry: string): Promise<Program> {
  const cache = join(modules, ".cache");
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "sluice-fleet-"));
  const outfile = join(folder, "program.mjs");
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    packages: "external",
    alias: sources,
  });
  return {
    start: (args, env = {}) =>
      fork(outfile, args, {
        stdio: ["ignore", "inherit", "inherit", "ipc"],
        execArgv: [],
        env: { ...process.env, ...env },
      }),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Starts a member, and resolves when it is ready. `skew` in ms is how far off its clocks are. */
export async function startMember(program: Program, url: string, client: string, skew = 0): Promise<Member> {
  const child = program.start([url, client, String(skew)]);
  const pending = new Map<number, { resolve: (tally: Tally) => void; reject: (error: Error) => void }>();
  const ends = new Map<number, Ended>();
  const watchers = new Map<number, (ended: Ended) => void>();
  let number = 0;
  const answer = (id: number): Promise<Tally> =>
    new Promise((resolve, reject) => {
      pending.set(id, { resolve, reject });
    });
  child.on("message", (message) => {
    const report = message as Report;
    if ("ended" in report) {
      ends.set(report.ended, report);
      watchers.get(report.ended)?.(report);
      return;
    }
    const call = pending.get(report.done);
    pending.delete(report.done);
    if (report.error === undefined) call?.resolve(report.tally);
    else call?.reject(new Error(report.error));
  });
  child.on("exit", (code, signal) => {
    for (const { reject } of pending.values()) reject(new Error(`The member ended: ${code ?? signal}`));
  });
  await answer(-1);
  return {
    process: child,
    tell(order) {
      number += 1;
      child.send({ number, order });
      return answer(number);
    },
    async ended(id) {
      return (
        ends.get(id) ??
        new Promise((resolve) => {
          watchers.set(id, resolve);
        })
      );
    },
  };
}
