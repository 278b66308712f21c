import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Decision } from "./core/decision.js";

/** What an example exports; run once. */
const run = async <T>(name: string): Promise<T> => import(`../../../examples/${name}.mjs`) as Promise<T>;

const names = ["express", "fastify", "fetch", "hono", "koa", "nest", "node"];

/** Each runs by itself under Node after a build; here it runs on the sources. */
describe("examples", () => {
  const said: string[] = [];
  beforeEach(() => {
    said.length = 0;
    vi.spyOn(console, "log").mockImplementation((line) => said.push(line));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });

  it.each(names)("http-%s limits, and leaves its health check alone", async (name) => {
    vi.stubEnv("PORT", "0");
    const { server } = await run<{ server: Server }>(`http-${name}`);
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
    }
  });

  it("retry: every call is answered, each attempt asks the limiter, and Retry-After is kept", async () => {
    const { answers, took } = await run<{ answers: string[]; took: number }>("retry");
    expect(answers).toHaveLength(15);
    expect(said.at(-1)).toMatch(/^15 answers to 18 calls/);
    // 18 calls at 20 a second, of which 5 at once; and one that the service sent away for a second
    expect(took).toBeGreaterThanOrEqual(995);
  });

  it("llm-budget: settles what was taken, and says how long more would have to wait", async () => {
    const { spent, left } = await run<{ spent: number[]; left: Decision }>("llm-budget");
    expect(spent).toEqual([750, 800, 750]);
    const total = spent.reduce((sum, tokens) => sum + tokens, 0);
    // a little flows in meanwhile
    expect(left.remaining).toBeGreaterThanOrEqual(9000 - total);
    expect(left.remaining).toBeLessThan(9000);
    expect(said.at(-1)).toMatch(/^9000 more would have to wait for \d+ s/);
  });
});
