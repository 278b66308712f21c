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
  const servers: Server[] = [];
  beforeEach(() => {
    vi.resetModules();
    said.length = 0;
    vi.spyOn(process, "emitWarning").mockImplementation((warning) => {
      said.push(String(warning));
    });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    for (const each of servers.splice(0)) {
      each.closeAllConnections();
      await new Promise((resolve) => each.close(resolve));
    }
  });
  const serve = async (
    limited: (request: IncomingMessage, response: import("node:http").ServerResponse) => void,
  ): Promise<(headers?: Record<string, string>) => Promise<number>> => {
    const server = createServer(limited);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
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

  it("says once that anybody is believed", async () => {
    const { fixedWindow, rateLimiter } = await modules();
    const [{ default: express }, { default: Koa }, { default: fastify }] = await Promise.all([
      import("express"),
      import("koa"),
      import("fastify"),
    ]);
    const limited = async <M>(helper: (limiter: import("sluice").RateLimiter) => M): Promise<M> =>
      helper(rateLimiter(fixedWindow({ limit: 100, window: "1m" })));

    const onExpress = express();
    onExpress.set("trust proxy", true);
    onExpress.use(await limited((await import("sluice/express")).rateLimit));
    onExpress.use((_request, response) => {
      response.end();
    });
    const onKoa = new Koa({ proxy: true });
    onKoa.use(await limited((await import("sluice/koa")).rateLimit));
    onKoa.use((context) => {
      context.body = "hello";
    });
    const onFastify = fastify({ trustProxy: true });
    await onFastify.register(await limited((await import("sluice/fastify")).rateLimit));
    onFastify.get("/", async () => "hello");
    await onFastify.ready();
    const handle = onKoa.callback();

    for (const [listener, advice] of [
      [onExpress, /trust proxy/],
      [(incoming, outgoing) => void handle(incoming, outgoing), /maxIpsCount/],
      [(incoming, outgoing) => onFastify.routing(incoming, outgoing), /trustProxy/],
    ] as [import("node:http").RequestListener, RegExp][]) {
      said.length = 0;
      const get = await serve(listener);
      expect(await get()).toBe(200);
      expect(said).toEqual([]);
      for (let call = 0; call < 2; call++) expect(await get({ "x-forwarded-for": "203.0.113.1" })).toBe(200);
      expect(said).toEqual([expect.stringMatching(/Every proxy is trusted/)]);
      expect(said[0]).toMatch(advice);
    }
    await onFastify.close();
  });

  it("says nothing where a proxy is trusted by number or by address", async () => {
    const { fixedWindow, rateLimiter } = await modules();
    const { default: express } = await import("express");
    const { default: fastify } = await import("fastify");
    const limiter = rateLimiter(fixedWindow({ limit: 100, window: "1m" }));
    const onExpress = express();
    onExpress.set("trust proxy", 1);
    onExpress.use((await import("sluice/express")).rateLimit(limiter));
    const onFastify = fastify({ trustProxy: "127.0.0.1" });
    await onFastify.register((await import("sluice/fastify")).rateLimit(limiter));
    await onFastify.ready();
    for (const listener of [
      onExpress,
      (incoming, outgoing) => onFastify.routing(incoming, outgoing),
    ] as import("node:http").RequestListener[]) {
      const get = await serve(listener);
      await get({ "x-forwarded-for": "198.51.100.1, 203.0.113.1" });
    }
    expect(said).toEqual([]);
    await onFastify.close();
  });

  it("says of a store when it goes and when it is back, each outage and each limiter, and not all the time", async () => {
    const { fixedWindow, rateLimit } = await modules();
    const { StoreError } = await import("sluice");
    const now = vi.spyOn(performance, "now").mockReturnValue(1_000_000);
    const [policy] = [fixedWindow({ limit: 100, window: "1m", name: "logins" })];
    let away = true;
    const decision = {
      allowed: true,
      policy: "logins",
      limit: 1,
      remaining: 1,
      retryAfter: 0,
      resetAfter: 0,
      parts: [],
    };
    const limiter = () =>
      ({
        policies: [policy],
        consume: async () => {
          if (away) throw new StoreError("ERR_STORE_UNAVAILABLE", "connection refused");
          return { ...decision, degraded: false };
        },
      }) as unknown as import("sluice").RateLimiter;
    const one = limiter();
    const get = await serve(rateLimit(one)((_request, response) => response.end()));
    const gone = /"logins" does not answer.*let through uncounted.*connection refused/;
    const back = /"logins" answers again/;

    for (let call = 0; call < 3; call++) await get();
    expect(said).toEqual([expect.stringMatching(gone)]);
    away = false;
    for (let call = 0; call < 3; call++) await get();
    expect(said.slice(1)).toEqual([expect.stringMatching(back)]);
    // a store that flutters
    for (let call = 0; call < 6; call++) {
      away = call % 2 === 0;
      await get();
    }
    expect(said).toHaveLength(2);
    // another outage
    now.mockReturnValue(1_020_000);
    away = true;
    for (let call = 0; call < 3; call++) await get();
    expect(said.slice(2)).toEqual([expect.stringMatching(gone)]);
    // another limiter
    const other = await serve(rateLimit(limiter(), { whenStoreFails: "deny" })((_request, response) => response.end()));
    expect(await other()).toBe(503);
    expect(said.slice(3)).toEqual([expect.stringMatching(/refused with 503/)]);
  });

  it("says that two families write the same fields, and sends the newer", async () => {
    const { fixedWindow, rateLimiter, rateLimit } = await modules();
    const limiter = rateLimiter(fixedWindow({ limit: 100, window: "1m" }));
    const headers = ["ietf", "legacy", "draft-7"] as const;
    const handler = (_request: IncomingMessage, response: import("node:http").ServerResponse) => response.end();
    await serve(rateLimit(limiter, { headers })(handler));
    expect(said).toEqual([expect.stringMatching(/'ietf' and 'draft-7'.*only 'ietf' is sent/)]);
    const { port } = (servers.at(-1) as Server).address() as AddressInfo;
    const sent = await fetch(`http://127.0.0.1:${port}/`);
    expect(sent.headers.get("ratelimit")).toMatch(/^"default";r=99;t=/);
  });

  it("says once that two limiters before a handler have policies of one name", async () => {
    const { fixedWindow, rateLimiter, rateLimit } = await modules();
    const limiter = (name?: string) =>
      rateLimiter(fixedWindow({ limit: 100, window: "1m", ...(name === undefined ? {} : { name }) }));
    const handler = (_request: IncomingMessage, response: import("node:http").ServerResponse) => response.end();
    const apart = await serve(rateLimit(limiter("wide"))(rateLimit(limiter())(handler)));
    await apart();
    expect(said).toEqual([]);
    const alike = await serve(rateLimit(limiter())(rateLimit(limiter())(handler)));
    for (let call = 0; call < 2; call++) await alike();
    expect(said).toEqual([expect.stringMatching(/policy called "default".*Give each policy a `name`/)]);
  });

  it("says that a user names nobody, and counts one whose id has a text of its own", async () => {
    const { fixedWindow, rateLimiter } = await modules();
    const { limitByUser } = await import("sluice/node");
    const limiter = rateLimiter(fixedWindow({ limit: 100, window: "1m" }));
    class ObjectId {
      toString(): string {
        return "507f1f77bcf86cd799439011";
      }
    }
    let user: unknown = { id: new ObjectId() };
    const limited = limitByUser(limiter)((_request, response) => response.end());
    const get = await serve((request, response) => {
      Object.assign(request, { user });
      limited(request, response);
    });
    await get();
    expect(said).toEqual([]);
    expect(limiter.peekSync("user=507f1f77bcf86cd799439011").remaining).toBe(99);
    for (user of [{ id: { $oid: "1" } }, { id: new Uint8Array(12) }, { id: [1] }, { name: "ada" }]) await get();
    expect(said).toEqual([expect.stringMatching(/names nobody.*Give `user`/)]);
    expect(limiter.peekSync("ip=127.0.0.1").remaining).toBe(96);
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

  it("takes an empty key for none", async () => {
    const { fixedWindow, rateLimiter, rateLimit } = await modules();
    const limiter = rateLimiter(fixedWindow({ limit: 1, window: "1m" }));
    const get = await serve(rateLimit(limiter, { key: () => "" })((_request, response) => response.end()));
    for (let call = 0; call < 5; call++) expect(await get()).toBe(200);
    expect(said).toEqual([expect.stringMatching(/`key` gave undefined/)]);
  });

  it("says that requests share one count where there are no addresses", async () => {
    const { fixedWindow, rateLimiter } = await modules();
    const { rateLimit } = await import("sluice/fetch");
    const limited = rateLimit(rateLimiter(fixedWindow({ limit: 1, window: "1m" })))(() => new Response("hello"));
    expect((await limited(new Request("http://localhost/"))).status).toBe(200);
    expect((await limited(new Request("http://localhost/"))).status).toBe(429);
    expect(said).toEqual([expect.stringMatching(/without a client address.*give `key`/i)]);
    expect(said[0]?.match(/give `key`/gi)).toHaveLength(1);
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
