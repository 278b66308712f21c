import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Found, freePort, type Server, startServer } from "../../../../scripts/servers.mjs";

/** A server that a test may break: it keeps its port however often it dies. */
export interface PrivateServer {
  readonly url: string;
  readonly port: number;
  /** Stops its execution: connections are accepted and filled, nothing is answered (SIGSTOP). */
  pause(): void;
  /** Goes on with what has arrived meanwhile (SIGCONT). */
  resume(): void;
  /** Ends it at once (SIGKILL). */
  kill(): Promise<void>;
  /** Starts it again after `kill`. */
  start(): Promise<void>;
  /** Ends it and removes what it kept. */
  stop(): Promise<void>;
}

export interface PrivateServerOptions {
  /** Added to the command line. */
  readonly extra?: readonly string[];
  /** Keep data over `kill` and `start`, to the last write. Default false. */
  readonly persistent?: boolean;
}

/** Starts a server of a test's own. */
export async function startPrivateServer(found: Found, options: PrivateServerOptions = {}): Promise<PrivateServer> {
  const port = await freePort();
  const folder = options.persistent ? await mkdtemp(join(tmpdir(), "sluice-data-")) : undefined;
  const persistence = folder ? ["--dir", folder, "--appendonly", "yes", "--appendfsync", "always"] : [];
  const extra = ["--enable-debug-command", "yes", ...persistence, ...(options.extra ?? [])];
  let server: Server | undefined = await startServer(found, extra, port);

  const signal = (name: "SIGSTOP" | "SIGCONT"): void => {
    if (server?.pid === undefined) throw new Error(`The server on port ${port} is not running.`);
    process.kill(server.pid, name);
  };
  const kill = async (): Promise<void> => {
    await server?.stop();
    server = undefined;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pause: () => signal("SIGSTOP"),
    resume: () => signal("SIGCONT"),
    kill,
    async start() {
      server ??= await startServer(found, extra, port);
    },
    async stop() {
      await kill();
      if (folder) await rm(folder, { recursive: true, force: true });
    },
  };
}
