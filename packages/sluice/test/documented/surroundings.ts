import { Server } from "node:net";
import { afterEach, beforeEach, vi } from "vitest";
import type { ExampleModule } from "./modules.js";

/** Runs an example, and what it imports from the examples above it; a module that failed has to be asked for by another name. */
export async function runExample({ path }: ExampleModule, attempt = 0): Promise<void> {
  await import(`${path.replace(/\.ts$/, ".js")}${attempt === 0 ? "" : `?attempt=${attempt}`}`);
}

/** For every test: what an example prints is not shown, it reaches nothing outside this machine, and ends when it ends. */
export function stubSurroundings(): void {
  const servers: Server[] = [];
  beforeEach(() => {
    vi.spyOn(console, "log").mockImplementation(() => {});
    const { fetch } = globalThis;
    vi.stubGlobal("fetch", async (...[input, init]: Parameters<typeof fetch>) => {
      const { hostname } = new URL(input instanceof Request ? input.url : input);
      return hostname === "127.0.0.1" ? fetch(input, init) : Response.json({ id: "7" });
    });
    const { listen } = Server.prototype as unknown as { listen: (this: Server, ...args: unknown[]) => Server };
    vi.spyOn(Server.prototype, "listen").mockImplementation(function (this: Server, ...args: unknown[]) {
      servers.push(this);
      const then = args.at(-1);
      return listen.call(this, 0, "127.0.0.1", ...(typeof then === "function" ? [then] : []));
    });
  });
  afterEach(async () => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
    await Promise.all(servers.splice(0).map(async (server) => new Promise((resolve) => server.close(resolve))));
  });
}
