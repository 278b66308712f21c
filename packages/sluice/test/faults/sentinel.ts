import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Found, startServer } from "../../../../scripts/servers.mjs";

/** A Redis Sentinel that watches one primary. */
export interface Sentinel {
  /** What it calls the primary. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Starts a Sentinel that watches the server on `primary`, a port of 127.0.0.1, and holds it for dead after a second of
 * silence; `quorum` of them have to agree.
 */
export async function startSentinel(found: Found, primary: number, quorum = 1): Promise<Sentinel> {
  const name = "primary";
  const folder = await mkdtemp(join(tmpdir(), "sluice-sentinel-"));
  const file = join(folder, "sentinel.conf");
  const settings = [
    `sentinel monitor ${name} 127.0.0.1 ${primary} ${quorum}`,
    `sentinel down-after-milliseconds ${name} 1000`,
    `sentinel failover-timeout ${name} 4000`,
  ];
  await writeFile(file, settings.map((line) => `${line}\n`).join(""));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const server = await startServer({ ...found, argv: [...(found.argv ?? []), file, "--sentinel"] });
    return {
      name,
      host: "127.0.0.1",
      port: server.port,
      async stop() {
        await server.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
