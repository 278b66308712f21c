import type { TestProject } from "vitest/node";
import { type Found, findKind, findServer, type Server, startServer } from "../../../scripts/servers.mjs";
import { type Address, type Cluster, startCluster } from "./cluster.js";

declare module "vitest" {
  export interface ProvidedContext {
    /** The servers that stand alone. */
    servers: readonly { readonly name: string; readonly url: string }[];
    /** The nodes of a cluster; undefined where none could be started. */
    cluster: readonly Address[] | undefined;
    /** What tests may start for themselves, to break it; undefined where there is none. */
    program: Found | undefined;
  }
}

/** Some tests look into the server, and some make it slow. */
const settings = ["--enable-debug-command", "yes"];

/** One server to be started, or undefined after a line that says why there is none. */
function found(name: string, find: () => Found): { readonly name: string; readonly found: Found } | undefined {
  try {
    return { name, found: find() };
  } catch (error) {
    console.error(`No ${name} for the tests: ${(error as Error).message.split("\n")[0]}`);
    return undefined;
  }
}

/** Tests break servers, and start their own for that: one that runs already, at REDIS_URL, is not enough. */
const noProgram =
  "These tests start and break servers of their own, and there is no redis-server or valkey-server here to start " +
  "(macOS: brew install valkey, Debian: apt-get install redis-server). npm run test:unit runs the tests that need none.";

/**
 * Starts the servers that the `*.redis.test.ts` share: Redis as Debian ships it, Valkey 8, and a cluster of three nodes;
 * or takes the one that REDIS_URL names instead of the first two.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redis = found("Redis", () => findKind("redis"));
  const valkey = found("Valkey", () => findKind("valkey", "valkey@bookworm-backports"));
  const any = redis ?? valkey ?? found("server", findServer);
  if (any?.found.argv === undefined) throw new Error(noProgram);
  const alone =
    process.env["REDIS_URL"] || !(redis ?? valkey) ? [{ name: "Redis", found: findServer() }] : [redis, valkey];

  const running: Promise<Server | Cluster>[] = [];
  const started = <T extends Server | Cluster>(server: Promise<T>): Promise<T> => {
    running.push(server);
    return server;
  };
  const stop = async (): Promise<void> => {
    for (const server of await Promise.allSettled(running))
      if (server.status === "fulfilled") await server.value.stop();
  };

  try {
    const [cluster, ...servers] = await Promise.all([
      started(startCluster(any.found, 3, { extra: settings })),
      ...alone
        .filter((server) => server !== undefined)
        .map(async ({ name, found: program }) => ({ name, url: (await started(startServer(program, settings))).url })),
    ]);
    project.provide("servers", servers);
    project.provide("cluster", cluster.nodes);
    project.provide("program", any.found);
    return stop;
  } catch (error) {
    await stop();
    throw error;
  }
}
