import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, vi } from "vitest";

const names = ["express", "fastify", "fetch", "hono", "koa", "nest", "node"];

describe("examples", () => {
  /** Each runs by itself under Node after a build; here it runs on the sources. */
  it.each(names)("http-%s limits, and leaves its health check alone", async (name) => {
    vi.stubEnv("PORT", "0");
    vi.spyOn(console, "log").mockImplementation(() => {});
    const { server } = (await import(`../../../../examples/http-${name}.mjs`)) as { server: Server };
    try {
      if (!server.listening) await once(server, "listening");
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const statuses = async (path: string): Promise<number[]> => {
        const found: number[] = [];
        for (let call = 0; call < 7; call++) found.push((await fetch(url + path)).status);
        return found;
      };
      expect(await statuses("/")).toEqual([200, 200, 200, 200, 200, 429, 429]);
      expect(await statuses("/health")).toEqual([200, 200, 200, 200, 200, 200, 200]);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      vi.unstubAllEnvs();
      vi.restoreAllMocks();
    }
  });
});
