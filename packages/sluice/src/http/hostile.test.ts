import { once } from "node:events";
import { createServer, request as httpRequest, type Server } from "node:http";
import http2, { type ClientHttp2Session, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "@hono/node-server";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { fixedWindow, memoryStore, type RateLimiter, rateLimiter, type SyncRateLimiter } from "sluice";
import * as sluiceExpress from "sluice/express";
import * as sluiceFastify from "sluice/fastify";
import * as sluiceHono from "sluice/hono";
import * as sluiceKoa from "sluice/koa";
import * as sluiceNode from "sluice/node";
import { manualClock } from "sluice/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { rawExchange, rawStatus } from "../../test/http/raw.js";
import { parseList } from "../../test/http/structured-fields.js";

/**
 * What a hostile client, a careless operator or a confused proxy sends, case by case, through real servers. Each test is
 * named after what is sent; those that every adapter has to pass stand in `behaviour.test.ts`.
 */
const open: (() => Promise<unknown>)[] = [];
const said: string[] = [];
beforeEach(() => {
  said.length = 0;
  vi.spyOn(process, "emitWarning").mockImplementation((warning) => {
    said.push(String(warning));
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of open.splice(0)) await close();
});

function limiterOf(limit: number, options: { name?: string; maxKeys?: number } = {}): SyncRateLimiter {
  const { name = "default", maxKeys = 1000 } = options;
  const store = memoryStore({ clock: manualClock(1e6), maxKeys });
  return rateLimiter(fixedWindow({ limit, window: "1m", name }), { store });
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

const hello: sluiceNode.NodeHandler = (_request, response) => response.end("hello");

/** A plain server whose key is what the client says in `X-Who`, percent-encoded. */
async function keyed(limiter: RateLimiter): Promise<(who: string) => Promise<number>> {
  const key = ({ headers }: { headers: Record<string, unknown> }): string | undefined => {
    const who = headers["x-who"];
    // lone surrogates cannot be percent-encoded: \ud800 is written out
    return typeof who === "string" ? (JSON.parse(`"${who}"`) as string) : undefined;
  };
  const port = await listen(createServer(sluiceNode.rateLimit(limiter, { key })(hello)));
  return async (who) => {
    const written = JSON.stringify(who)
      .slice(1, -1)
      .replace(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
    const { status } = await fetch(`http://127.0.0.1:${port}/`, { headers: { "x-who": written } });
    return status;
  };
}

describe("limits and costs", () => {
  const answering = async (options: Parameters<typeof sluiceNode.rateLimit>[1], source: unknown = limiterOf(10)) => {
    const port = await listen(createServer(sluiceNode.rateLimit(source as RateLimiter, options)(hello)));
    return rawStatus(port, "/");
  };

  it.each([undefined, null, "5", 5, Number.NaN, {}])(
    "1, 2, 3: a function that chooses %s for a limiter: 500",
    async (chosen) => {
      expect(await answering({}, () => chosen)).toBe(500);
    },
  );

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 1e308, -5, -1000, "1", 0.1, 0, null, undefined, {}])(
    "11 to 16: a cost of %s: 500, nothing charged, nothing credited",
    async (cost) => {
      const limiter = limiterOf(10);
      expect(await answering({ cost: () => cost as never }, limiter)).toBe(500);
      expect(limiter.peekSync("ip=127.0.0.1").remaining).toBe(10);
    },
  );

  it("17: a cost above the limit: 429 without Retry-After, and no state", async () => {
    const limiter = limiterOf(10);
    const port = await listen(createServer(sluiceNode.rateLimit(limiter, { cost: 11 })(hello)));
    const refused = await fetch(`http://127.0.0.1:${port}/`);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBeNull();
    expect(limiter.peekSync("ip=127.0.0.1").remaining).toBe(10);
  });
});

describe("keys that a client chooses", () => {
  it("19: names of an object's own members", async () => {
    const ask = await keyed(limiterOf(1));
    for (const who of ["__proto__", "constructor", "hasOwnProperty", "toString"]) {
      expect([await ask(who), await ask(who)], who).toEqual([200, 429]);
    }
  });

  it("20, 21: none, or an empty one: not counted, and said so", async () => {
    const limiter = limiterOf(1);
    const ask = await keyed(limiter);
    for (let call = 0; call < 3; call++) expect(await ask("")).toBe(200);
    expect((await limiter.peek("undefined")).remaining).toBe(1);
  });

  it.each([null, 5, {}, ["a"]])("20: %s, which is no text: 500", async (key) => {
    const port = await listen(createServer(sluiceNode.rateLimit(limiterOf(1), { key: () => key as never })(hello)));
    expect(await rawStatus(port, "/")).toBe(500);
  });

  it("22: a megabyte: kept as its hash", async () => {
    const limiter = limiterOf(1);
    const long = "x".repeat(1_000_000);
    let key = long;
    const port = await listen(createServer(sluiceNode.rateLimit(limiter, { key: () => key })(hello)));
    expect([await rawStatus(port, "/"), await rawStatus(port, "/")]).toEqual([200, 429]);
    key = `${long.slice(1)}y`;
    expect(await rawStatus(port, "/")).toBe(200);
    expect(limiter.peekSync(`hash=${await sha256(long)}`).remaining).toBe(0);
  });

  it("23: line ends, NUL and braces", async () => {
    const ask = await keyed(limiterOf(1));
    for (const who of ["a\r\nSet-Cookie: b", "a\0", "a\0b", "{a}", "}{", "{a", "a}"]) {
      expect([await ask(who), await ask(who)], JSON.stringify(who)).toEqual([200, 429]);
    }
  });

  it("24: halves of surrogate pairs: each its own, and well-formed", async () => {
    const limiter = limiterOf(1);
    const keys: string[] = [];
    const seeing = {
      policies: limiter.policies,
      consume: async (key: string) => {
        keys.push(key);
        return limiter.consumeSync(key);
      },
    } as unknown as RateLimiter;
    const ask = await keyed(seeing);
    for (const who of ["\ud800", "\udbff", "a\udc00", "😀"])
      expect([await ask(who), await ask(who)]).toEqual([200, 429]);
    expect(keys.every((key) => key.isWellFormed())).toBe(true);
    expect(keys.at(-1)).toBe("😀");
  });

  it("25: two spellings of one name are two, until a key function makes them one", async () => {
    const ask = await keyed(limiterOf(1));
    expect([await ask("caf\u00e9"), await ask("cafe\u0301"), await ask("CAF\u00e9")]).toEqual([200, 200, 200]);
  });

  it("26, 27: names that look like another kind of key", async () => {
    const limiter = limiterOf(1);
    const ask = await keyed(limiter);
    for (const who of ["ip=127.0.0.1", "user=a", "api-key=a", "hash=a", "own=ip=127.0.0.1"]) {
      expect([await ask(who), await ask(who)], who).toEqual([200, 429]);
    }
    expect(limiter.peekSync("ip=127.0.0.1").remaining).toBe(1);
    expect(limiter.peekSync("user=a").remaining).toBe(1);
    const app = express();
    const user = (request: express.Request): string | undefined => request.get("x-user");
    app.use(sluiceExpress.limitByUser(limiter, { user }));
    app.use((_request, response) => {
      response.end();
    });
    const port = await listen(createServer(app));
    // a user who is called like an address, or like somebody else's key
    for (const name of ["127.0.0.1", "ip=127.0.0.1", "own=user=a"]) {
      const as = () => rawStatus(port, "/", [`X-User: ${name}`]);
      expect([await as(), await as()], name).toEqual([200, 429]);
    }
    expect(limiter.peekSync("ip=127.0.0.1").remaining).toBe(1);
  });

  it("28: a secret is in no key, header or warning", async () => {
    const limiter = limiterOf(1);
    const keys: string[] = [];
    const seeing = {
      policies: limiter.policies,
      consume: async (key: string) => {
        keys.push(key);
        return limiter.consumeSync(key);
      },
    } as unknown as RateLimiter;
    const port = await listen(createServer(sluiceNode.limitByApiKey(seeing)(hello)));
    const ask = () => fetch(`http://127.0.0.1:${port}/`, { headers: { "x-api-key": "hunter2" } });
    const answers = [await ask(), await ask()];
    const told = answers.flatMap(({ headers }) => [...headers].flat());
    told.push(...keys, ...said, await (answers[1] as Response).text());
    expect(told.join("\n")).not.toContain("hunter2");
    expect(keys).toEqual([`api-key=${await sha256("hunter2")}`, `api-key=${await sha256("hunter2")}`]);
  });
});

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Buffer.from(digest).toString("base64url");
}

describe("addresses", () => {
  /** Express that trusts so many proxies, and answers with what remains. */
  async function behind(trust: unknown, limiter = limiterOf(100)) {
    const app = express();
    app.set("trust proxy", trust);
    app.use(sluiceExpress.rateLimit(limiter));
    app.use((_request, response) => {
      response.end();
    });
    return { limiter, port: await listen(createServer(app)) };
  }
  const spentBy = (limiter: SyncRateLimiter, address: string): number =>
    100 - limiter.peekSync(`ip=${address}`).remaining;

  it("29: a made-up X-Forwarded-For, where nobody is trusted: the socket's address", async () => {
    const { limiter, port } = await behind(false);
    await rawStatus(port, "/", ["X-Forwarded-For: 203.0.113.1"]);
    await rawStatus(port, "/", [
      "Forwarded: for=203.0.113.1",
      "X-Real-IP: 203.0.113.1",
      "CF-Connecting-IP: 203.0.113.1",
    ]);
    expect(spentBy(limiter, "127.0.0.1")).toBe(2);
    expect(spentBy(limiter, "203.0.113.1")).toBe(0);
  });

  it("29: the same before the proxy's own word: only the proxy's counts", async () => {
    const { limiter, port } = await behind(1);
    await rawStatus(port, "/", ["X-Forwarded-For: 6.6.6.6, 203.0.113.1"]);
    expect(spentBy(limiter, "203.0.113.1")).toBe(1);
    expect(spentBy(limiter, "6.6.6.6")).toBe(0);
  });

  it("30: with a port, which would make a new key of each connection", async () => {
    const { limiter, port } = await behind(1);
    for (const address of ["203.0.113.1:1234", "203.0.113.1:1235", "[2001:db8::1]:443", "[2001:db8::1]:444"]) {
      await rawStatus(port, "/", [`X-Forwarded-For: ${address}`]);
    }
    expect(spentBy(limiter, "203.0.113.1")).toBe(2);
    expect(spentBy(limiter, "2001:db8::/64")).toBe(2);
  });

  it.each(["garbage", "<script>alert(1)</script>", "unknown", "_hidden", "999.1.1.1", "1.2.3", "'; DROP TABLE", "%00"])(
    "31, 37: %s for an address: the proxy's, and never echoed",
    async (address) => {
      const { limiter, port } = await behind(1);
      const head = `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: ${address}\r\n\r\n`;
      const received = await rawExchange(port, head);
      expect(received).toMatch(/^HTTP\/1\.1 200/);
      expect(received).not.toContain(address);
      expect(spentBy(limiter, "127.0.0.1")).toBe(1);
    },
  );

  it("31: a thousand hops", async () => {
    const { limiter, port } = await behind(1);
    const hops = [...Array.from({ length: 1000 }, () => "6.6.6.6"), "203.0.113.1"].join(",");
    expect(await rawStatus(port, "/", [`X-Forwarded-For: ${hops}`])).toBe(200);
    expect(spentBy(limiter, "203.0.113.1")).toBe(1);
    expect(spentBy(limiter, "6.6.6.6")).toBe(0);
  });

  it("32: two lines of it, odd case, tabs, and a comma at the end: as one line", async () => {
    const { limiter, port } = await behind(1);
    await rawStatus(port, "/", ["x-forwarded-FOR: 6.6.6.6", "X-FORWARDED-for: \t203.0.113.1\t"]);
    expect(spentBy(limiter, "203.0.113.1")).toBe(1);
    await rawStatus(port, "/", ["X-Forwarded-For: 6.6.6.6,\t203.0.113.1 "]);
    expect(spentBy(limiter, "203.0.113.1")).toBe(2);
    await rawStatus(port, "/", ["X-Forwarded-For: 6.6.6.6, 203.0.113.1,"]);
    expect(spentBy(limiter, "203.0.113.1")).toBe(3);
    expect(spentBy(limiter, "6.6.6.6")).toBe(0);
  });

  it.each<[string, unknown, boolean, boolean]>([
    ["1, which Fastify takes for nobody", 1, false, true],
    ["false", false, false, true],
    ["an address", "127.0.0.1", true, false],
    ["a list of networks", ["10.0.0.0/8", "127.0.0.0/8"], true, false],
    ["a function", (address: string) => address === "127.0.0.1", true, false],
    ["true", true, true, true],
  ])("33: Fastify's trustProxy as %s", async (_form, trustProxy, believed, warned) => {
    vi.resetModules();
    const { rateLimit } = await import("sluice/fastify");
    const limiter = limiterOf(100);
    const app = fastify({ trustProxy: trustProxy as never });
    open.push(() => app.close());
    await app.register(rateLimit(limiter));
    app.get("/", async () => "hello");
    await app.listen({ port: 0, host: "127.0.0.1" });
    const { port } = app.server.address() as AddressInfo;
    for (let call = 0; call < 2; call++) await rawStatus(port, "/", ["X-Forwarded-For: 203.0.113.1"]);
    expect(spentBy(limiter, believed ? "203.0.113.1" : "127.0.0.1")).toBe(2);
    expect(said.filter((warning) => /X-Forwarded-For/.test(warning))).toHaveLength(warned ? 1 : 0);
  });

  it("34: one address in many spellings", async () => {
    const { limiter, port } = await behind(1);
    const spellings = ["203.0.113.1", "::ffff:203.0.113.1", "::FFFF:cb00:7101", "0:0:0:0:0:ffff:cb00:7101"];
    for (const address of spellings) await rawStatus(port, "/", [`X-Forwarded-For: ${address}`]);
    expect(spentBy(limiter, "203.0.113.1")).toBe(spellings.length);
    for (const address of ["fe80::1%eth0", "FE80::0001%1", "fe80:0:0:0::1"]) {
      await rawStatus(port, "/", [`X-Forwarded-For: ${address}`]);
    }
    expect(spentBy(limiter, "fe80::/64")).toBe(3);
  });

  it("35: addresses of one /64, in turn", async () => {
    const { limiter, port } = await behind(1);
    for (let low = 1; low <= 20; low++)
      await rawStatus(port, "/", [`X-Forwarded-For: 2001:db8:1:2::${low.toString(16)}`]);
    expect(spentBy(limiter, "2001:db8:1:2::/64")).toBe(20);
  });

  it("36: NAT64 and 6to4: the IPv4 client inside", async () => {
    const { limiter, port } = await behind(1);
    for (const address of ["64:ff9b::203.0.113.1", "64:ff9b::cb00:7101", "2002:cb00:7101::1"]) {
      await rawStatus(port, "/", [`X-Forwarded-For: ${address}`]);
    }
    expect(spentBy(limiter, "203.0.113.1")).toBe(3);
    expect(spentBy(limiter, "64:ff9b::/64")).toBe(0);
  });

  describe("37: no address at all, over a Unix socket", () => {
    async function over(server: Server): Promise<(headers?: Record<string, string>) => Promise<number>> {
      const path = join(tmpdir(), `sluice-${process.pid}-${Math.random().toString(36).slice(2)}.sock`);
      await new Promise<void>((resolve) => server.listen(path, resolve));
      open.push(async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      });
      return async (headers = {}) => {
        const sent = httpRequest({ socketPath: path, path: "/", headers });
        sent.end();
        const [response] = (await once(sent, "response")) as [import("node:http").IncomingMessage];
        response.resume();
        return response.statusCode ?? 0;
      };
    }

    const onExpress = (limiter: RateLimiter, trust: unknown): Server => {
      const app = express();
      app.set("trust proxy", trust);
      app.use(sluiceExpress.rateLimit(limiter));
      app.use((_request, response) => {
        response.end();
      });
      return createServer(app);
    };
    const onKoa = (limiter: RateLimiter, trust: boolean): Server => {
      const app = new Koa({ proxy: trust, maxIpsCount: 1 });
      app.use(sluiceKoa.rateLimit(limiter));
      app.use((context) => {
        context.body = "hello";
      });
      const handle = app.callback();
      return createServer((incoming, outgoing) => void handle(incoming, outgoing));
    };
    const onFastify = async (limiter: RateLimiter, trust: unknown): Promise<Server> => {
      const app = fastify({ trustProxy: trust as never });
      await app.register(sluiceFastify.rateLimit(limiter));
      app.get("/", async () => "hello");
      await app.ready();
      return app.server;
    };

    it.each<[string, (limiter: RateLimiter) => Server | Promise<Server>]>([
      ["express", (limiter) => onExpress(limiter, false)],
      ["koa", (limiter) => onKoa(limiter, false)],
      ["fastify", (limiter) => onFastify(limiter, false)],
      ["node", (limiter) => createServer(sluiceNode.rateLimit(limiter)(hello))],
    ])("%s: one count for all, whatever they say of themselves", async (_name, make) => {
      const limiter = limiterOf(2);
      const get = await over(await make(limiter));
      expect([await get(), await get({ "x-forwarded-for": "203.0.113.1" }), await get()]).toEqual([200, 200, 429]);
      expect(limiter.peekSync("ip=unknown").remaining).toBe(0);
    });

    it.each<[string, (limiter: RateLimiter) => Server | Promise<Server>]>([
      ["express", (limiter) => onExpress(limiter, 1)],
      ["koa", (limiter) => onKoa(limiter, true)],
      ["fastify", (limiter) => onFastify(limiter, (_address: unknown, hop: number) => hop === 0)],
    ])("%s: the proxy's word, where it is trusted", async (_name, make) => {
      const limiter = limiterOf(1);
      const get = await over(await make(limiter));
      const from = (address: string) => get({ "x-forwarded-for": `6.6.6.6, ${address}` });
      expect([await from("203.0.113.1"), await from("203.0.113.2"), await from("203.0.113.1")]).toEqual([
        200, 200, 429,
      ]);
    });
  });
});

describe("paths", () => {
  /** Servers that exclude /health, and whose `/api/*` tells whether it ran. */
  const servers: Record<string, (limiter: RateLimiter) => Promise<number>> = {
    express: async (limiter) => {
      const app = express();
      app.use(sluiceExpress.rateLimit(limiter, { exclude: ["/health", "/public/*"] }));
      app.use((_request, response) => {
        response.end("hello");
      });
      return listen(createServer(app));
    },
    fastify: async (limiter) => {
      const app = fastify({
        useSemicolonDelimiter: true,
        routerOptions: { caseSensitive: false, ignoreDuplicateSlashes: true, ignoreTrailingSlash: true },
      });
      await app.register(sluiceFastify.rateLimit(limiter, { exclude: ["/health", "/public/*"] }));
      app.get("/*", async () => "hello");
      await app.ready();
      return listen(app.server);
    },
    koa: async (limiter) => {
      const app = new Koa();
      app.use(sluiceKoa.rateLimit(limiter, { exclude: ["/health", "/public/*"] }));
      app.use((context) => {
        context.body = "hello";
      });
      const handle = app.callback();
      return listen(createServer((incoming, outgoing) => void handle(incoming, outgoing)));
    },
    node: async (limiter) =>
      listen(createServer(sluiceNode.rateLimit(limiter, { exclude: ["/health", "/public/*"] })(hello))),
  };

  const targets: readonly [string, readonly string[]][] = [
    ["38: case, trailing slash, an encoded letter", ["/HEALTH", "/health/", "/%48EALTH"]],
    [
      "39: dot segments, plain and encoded",
      [
        "/health/../admin",
        "/health/%2e%2e/admin",
        "/health/.%2E/admin",
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/..%2fadmin",
        "/public/..%5cadmin",
      ],
    ],
    ["40: double slashes and parameters", ["//health", "/health//", "/health;x=1", "//public/a", "/public/..;/admin"]],
    ["41: absolute form with dots, other schemes, odd authorities", ["http://h/health/../admin", "http://u@h/health"]],
  ];
  describe.each(Object.keys(servers))("%s", (name) => {
    it.each(targets)("%s: limited", async (_what, disguised) => {
      const limiter = limiterOf(1);
      const port = await (servers[name] as (limiter: RateLimiter) => Promise<number>)(limiter);
      await rawStatus(port, "/first");
      expect(limiter.peekSync("ip=127.0.0.1").remaining).toBe(0);
      for (const target of disguised) expect(await rawStatus(port, target), target).toBe(429);
      expect(await rawStatus(port, "/health")).not.toBe(429);
      expect(await rawStatus(port, "http://h/health?x")).not.toBe(429);
      expect(await rawStatus(port, "/public/a/b?x=/../")).not.toBe(429);
    });
  });
});

describe("42: many requests on one HTTP/2 connection", () => {
  async function session(server: Http2Server): Promise<ClientHttp2Session> {
    if (!server.listening) await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    open.push(async () => {
      await new Promise<void>((resolve) => client.close(resolve));
      await new Promise((resolve) => server.close(resolve));
    });
    return client;
  }

  async function ask(
    client: ClientHttp2Session,
  ): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
    const stream = client.request({ ":path": "/" });
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    stream.setEncoding("utf8");
    let body = "";
    for await (const chunk of stream) body += chunk;
    return { status: headers[":status"] as number, headers, body };
  }

  it.each<[string, (limiter: RateLimiter) => Http2Server | Promise<Http2Server>]>([
    ["node", (limiter) => http2.createServer(sluiceNode.rateLimit(limiter)(hello) as never)],
    [
      "fastify",
      async (limiter) => {
        const app = fastify({ http2: true });
        await app.register(sluiceFastify.rateLimit(limiter as never) as never);
        app.get("/", async () => "hello");
        await app.ready();
        return app.server;
      },
    ],
    [
      "koa",
      (limiter) => {
        const app = new Koa();
        app.use(sluiceKoa.rateLimit(limiter));
        app.use((context) => {
          context.body = "hello";
        });
        return http2.createServer(app.callback() as never);
      },
    ],
    [
      "hono",
      async (limiter) => {
        const app = new Hono();
        app.use(sluiceHono.rateLimit(limiter));
        app.get("/", (context) => context.text("hello"));
        const server = serve({
          fetch: app.fetch,
          port: 0,
          hostname: "127.0.0.1",
          createServer: http2.createServer as never,
        });
        if (!server.listening) await once(server, "listening");
        return server as Http2Server;
      },
    ],
  ])("%s: each is counted, with fields, and the rest refused", async (_name, make) => {
    const client = await session(await make(limiterOf(10)));
    const answers = await Promise.all(Array.from({ length: 60 }, () => ask(client)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(50);
    for (const { headers, body } of refused) {
      expect(headers["retry-after"]).toBe("60");
      expect(headers["content-type"]).toMatch(/^application\/problem\+json/);
      expect(JSON.parse(body)).toMatchObject({ status: 429 });
    }
    const left = answers.map(({ headers }) => parseList(String(headers["ratelimit"]))[0]?.parameters.get("r"));
    expect(new Set(left)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
  });

  it("node: gives back what a response earned", async () => {
    const limiter = limiterOf(1);
    const limited = sluiceNode.rateLimit(limiter, { refundWhen: (_request, status) => status === 200 })(hello);
    const client = await session(http2.createServer(limited as never));
    for (let call = 0; call < 3; call++) {
      expect((await ask(client)).status).toBe(200);
      await expect.poll(() => limiter.peekSync("ip=127.0.0.1").remaining).toBe(1);
    }
  });
});

describe("what is asked, and what becomes of the answer", () => {
  it("43: many operations in one request: a cost for each", async () => {
    const app = express();
    app.use(express.json());
    app.use(sluiceExpress.rateLimit(limiterOf(5), { cost: ({ body }) => (body as unknown[]).length }));
    app.use((_request, response) => {
      response.end();
    });
    const port = await listen(createServer(app));
    const batch = (length: number) =>
      fetch(`http://127.0.0.1:${port}/batch`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(Array.from({ length }, () => ({}))),
      });
    expect([(await batch(4)).status, (await batch(2)).status, (await batch(1)).status]).toEqual([200, 429, 200]);
    expect((await batch(0)).status).toBe(500);
  });

  it.each(["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PROPFIND", "QUERY"])(
    "44: %s counts with the others",
    async (method) => {
      const limiter = limiterOf(2);
      const port = await listen(createServer(sluiceNode.rateLimit(limiter)(hello)));
      const one = `${method} / HTTP/1.1\r\nHost: a\r\nX-HTTP-Method-Override: TRACE\r\n\r\n`;
      const last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
      const received = await rawExchange(port, one + last);
      expect(received.match(/HTTP\/1\.1 \d+/g)?.slice(0, 2)).not.toContain("HTTP/1.1 429");
      expect(limiter.peekSync("ip=127.0.0.1").remaining).toBe(received.startsWith("HTTP/1.1 400") ? 2 : 0);
    },
  );

  it("45: a client that goes away before the answer gets nothing back", async () => {
    const limiter = limiterOf(5);
    let handled = 0;
    const limited = sluiceNode.rateLimit(limiter, { refundWhen: () => true })((_request, response) => {
      handled += 1;
      response.write("half");
    });
    const port = await listen(createServer(limited));
    for (let call = 0; call < 3; call++) {
      await rawExchange(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", (received) => received.includes("half"));
    }
    await expect.poll(() => handled).toBe(3);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(limiter.peekSync("ip=127.0.0.1").remaining).toBe(2);
  });

  it("46: a refusal is for no cache, whatever the service says of its answers", async () => {
    const app = express();
    app.use((_request, response, next) => {
      response.set("Cache-Control", "public, max-age=3600");
      next();
    });
    app.use(sluiceExpress.rateLimit(limiterOf(1)));
    app.use((_request, response) => {
      response.end();
    });
    const port = await listen(createServer(app));
    const get = () => fetch(`http://127.0.0.1:${port}/`);
    expect((await get()).headers.get("cache-control")).toBe("public, max-age=3600");
    expect((await get()).headers.get("cache-control")).toBe("no-store");
  });

  it("47: whether somebody else has asked for a key shows in no field, where they are switched off", async () => {
    const limiter = limiterOf(5);
    limiter.consumeSync("known@example.com", { cost: 3 });
    const key = ({ url = "" }: { url?: string | undefined }): string => url.slice(1);
    const port = await listen(createServer(sluiceNode.rateLimit(limiter, { key, headers: false })(hello)));
    const fieldsOf = async (name: string): Promise<string[]> => {
      const { headers } = await fetch(`http://127.0.0.1:${port}/${name}`);
      return [...headers].filter(([field]) => field !== "date").map((field) => field.join(": "));
    };
    expect(await fieldsOf("known@example.com")).toEqual(await fieldsOf("other@example.com"));
  });

  it("48: a flood of new keys washes no spent one, and stays within the bound", async () => {
    const limiter = limiterOf(5, { maxKeys: 200 });
    const ask = await keyed(limiter);
    for (let call = 0; call < 5; call++) expect(await ask("attacker")).toBe(200);
    for (let junk = 0; junk < 400; junk++) await ask(`junk-${junk}`);
    expect(await ask("attacker")).toBe(429);
  });
});
