import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

/** Each test has copies of its own of every module, for a warning is given once a process. */
async function modules() {
  const [{ fixedWindow, rateLimiter }, { rateLimit }] = await Promise.all([import("sluice"), import("sluice/node")]);
  return { fixedWindow, rateLimiter, rateLimit };
}

describe("warnings about a dangerous set-up", () => {
  const said: string[] = [];
  let server: Server | undefined;
  beforeEach(() => {
    vi.resetModules();
    said.length = 0;
    vi.spyOn(process, "emitWarning").mockImplementation((warning) => {
      said.push(String(warning));
    });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    server?.closeAllConnections();
    await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
    server = undefined;
  });
  const serve = async (
    limited: (request: IncomingMessage, response: import("node:http").ServerResponse) => void,
  ): Promise<(headers?: Record<string, string>) => Promise<number>> => {
    server = createServer(limited);
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return async (headers = {}) => (await fetch(`http://127.0.0.1:${port}/`, { headers })).status;
  };

  it("says once that a proxy speaks and nobody listens", async () => {
    const { fixedWindow, rateLimiter, rateLimit } = await modules();
    const limiter = rateLimiter(fixedWindow({ limit: 100, window: "1m" }));
    const get = await serve(rateLimit(limiter)((_request, response) => response.end()));
    await get();
    expect(said).toEqual([]);
    await get({ "x-forwarded-for": "203.0.113.1" });
    await get({ forwarded: "for=203.0.113.1" });
    expect(said).toEqual([expect.stringMatching(/X-Forwarded-For.*give `key`/)]);
  });

  it("says once that no request had a key", async () => {
    const { fixedWindow, rateLimiter, rateLimit } = await modules();
    const limiter = rateLimiter(fixedWindow({ limit: 100, window: "1m" }));
    const get = await serve(rateLimit(limiter, { key: () => undefined })((_request, response) => response.end()));
    for (let call = 0; call < 10; call++) expect(await get()).toBe(200);
    expect(said).toEqual([expect.stringMatching(/`key` gave undefined/)]);
  });

  it("says nothing where some requests have a key", async () => {
    const { fixedWindow, rateLimiter, rateLimit } = await modules();
    const limiter = rateLimiter(fixedWindow({ limit: 100, window: "1m" }));
    const key = ({ headers }: IncomingMessage): string | undefined => headers["x-key"] as string | undefined;
    const get = await serve(rateLimit(limiter, { key })((_request, response) => response.end()));
    await get();
    await get({ "x-key": "a" });
    for (let call = 0; call < 10; call++) await get();
    expect(said).toEqual([]);
  });

  it("says that each worker of a cluster counts for itself", async () => {
    const { default: cluster } = await import("node:cluster");
    vi.spyOn(cluster, "isWorker", "get").mockReturnValue(true);
    const { fixedWindow, rateLimiter, rateLimit } = await modules();
    rateLimit(rateLimiter(fixedWindow({ limit: 1, window: "1m" })));
    rateLimit(fixedWindow({ limit: 1, window: "1m" }));
    expect(said).toEqual([expect.stringMatching(/node:cluster.*redisStore/)]);
  });

  it("says that requests share one count where there are no addresses", async () => {
    const { fixedWindow, rateLimiter } = await modules();
    const { rateLimit } = await import("sluice/fetch");
    const limited = rateLimit(rateLimiter(fixedWindow({ limit: 1, window: "1m" })))(() => new Response("hello"));
    expect((await limited(new Request("http://localhost/"))).status).toBe(200);
    expect((await limited(new Request("http://localhost/"))).status).toBe(429);
    expect(said).toEqual([expect.stringMatching(/without a client address.*give `key`/i)]);
  });

  it("says once that a plain server answered 500, however many different errors come", async () => {
    const { fixedWindow, rateLimiter, rateLimit } = await modules();
    const limiter = rateLimiter(fixedWindow({ limit: 1, window: "1m" }));
    const key = ({ headers }: IncomingMessage): string => {
      throw new Error(`no key for ${String(headers["x-key"])}`);
    };
    const get = await serve(rateLimit(limiter, { key })((_request, response) => response.end()));
    for (const each of ["a", "b", "c"]) expect(await get({ "x-key": each })).toBe(500);
    expect(said).toEqual([expect.stringMatching(/500.*no key for a/)]);
  });
});
