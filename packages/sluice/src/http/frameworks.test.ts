import { once } from "node:events";
import { createServer, get, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import express from "express";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { type Decision, fixedWindow, memoryStore, type RateLimiter, rateLimiter, type SyncRateLimiter } from "sluice";
import * as sluiceExpress from "sluice/express";
import * as sluiceFastify from "sluice/fastify";
import * as sluiceFetch from "sluice/fetch";
import * as sluiceHono from "sluice/hono";
import * as sluiceKoa from "sluice/koa";
import * as sluiceNode from "sluice/node";
import { manualClock } from "sluice/testing";
import { afterEach, describe, expect, it } from "vitest";

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

function limiterOf(limit: number, name = "default"): SyncRateLimiter {
  return rateLimiter(fixedWindow({ limit, window: "1m", name }), { store: memoryStore({ clock: manualClock(1e6) }) });
}

/** A promise that a test resolves. */
function signal(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** The same limiter, answering when a test says so. */
function slow(limiter: SyncRateLimiter): { limiter: RateLimiter; asked: Promise<void>; answer: () => void } {
  const answered = signal();
  const asked = signal();
  return {
    asked: asked.promise,
    answer: answered.resolve,
    limiter: {
      policies: limiter.policies,
      refund: async (key: string) => limiter.refundSync(key),
      consume: async (key: string): Promise<Decision> => {
        asked.resolve();
        await answered.promise;
        return limiter.consumeSync(key);
      },
    } as unknown as RateLimiter,
  };
}

function koaServer(app: Koa): Server {
  const handle = app.callback();
  return createServer((incoming, outgoing) => void handle(incoming, outgoing));
}

async function sendMeanwhile(asked: Promise<void>, reply: FastifyReply, answer: () => void): Promise<void> {
  await asked;
  reply.code(503).send("too slow");
  answer();
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(
    () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(resolve);
      }),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function statuses(times: number, url: string, init?: RequestInit): Promise<number[]> {
  const found: number[] = [];
  for (let call = 0; call < times; call++) {
    const response = await fetch(url, init);
    await response.arrayBuffer();
    found.push(response.status);
  }
  return found;
}

const json = (body: string): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body,
});

/** Sends a request and goes away as soon as `until` has come. */
async function goAway(url: string, until: Promise<unknown>): Promise<void> {
  const sent = get(url);
  sent.on("error", () => {});
  await until;
  sent.destroy();
}

describe("express", () => {
  it("writes nothing on a response that was sent while it decided", async () => {
    const { limiter, asked, answer } = slow(limiterOf(1));
    const app = express();
    let handled = 0;
    app.use(async (_request, response, next) => {
      next();
      await asked;
      response.status(503).end("too slow");
      answer();
    });
    app.use(sluiceExpress.rateLimit(limiter));
    app.use((_request, response) => {
      handled += 1;
      if (!response.headersSent) response.end();
    });
    const url = await listen(createServer(app));
    // allowed, then refused: only the first goes on
    expect(await statuses(2, url)).toEqual([503, 503]);
    expect(handled).toBe(1);
  });

  it("keeps what a client spent that went away before its answer", async () => {
    const limiter = limiterOf(5);
    const handling = signal();
    const closed = signal();
    const app = express();
    app.use(sluiceExpress.rateLimit(limiter, { refundWhen: () => true }));
    app.use((_request, response) => {
      response.once("close", closed.resolve);
      handling.resolve();
    });
    await goAway(await listen(createServer(app)), handling.promise);
    await closed.promise;
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(4);
  });

  it("counts bodies that cannot be parsed, and excludes by the whole path where it is mounted", async () => {
    const app = express();
    app.use("/api", sluiceExpress.rateLimit(limiterOf(2), { exclude: ["/api/health"] }));
    app.use(express.json());
    app.use("/api", (_request, response) => {
      response.end();
    });
    app.use((_error: unknown, _request: express.Request, response: express.Response, _next: express.NextFunction) => {
      response.status(400).end();
    });
    const url = await listen(createServer(app));
    expect(await statuses(3, `${url}/api`, json("{"))).toEqual([400, 400, 429]);
    expect(await statuses(2, `${url}/api/health`)).toEqual([200, 200]);
    expect(await statuses(2, `${url}/elsewhere`)).toEqual([404, 404]);
  });

  it("counts the logged-in user where passport leaves it", async () => {
    const limiter = limiterOf(2);
    const app = express();
    app.use((request, _response, next) => {
      const id = request.headers["x-id"];
      if (id !== undefined) Object.assign(request, { user: { id: Number(id) } });
      next();
    });
    app.use(sluiceExpress.limitByUser(limiter));
    app.use((_request, response) => {
      response.end();
    });
    const url = await listen(createServer(app));
    await statuses(1, url, { headers: { "x-id": "7" } });
    await statuses(2, url);
    expect((await limiter.peek("user=7")).remaining).toBe(1);
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(0);
  });
});

describe("koa", () => {
  it("writes nothing on a response that was sent while it decided", async () => {
    const { limiter, asked, answer } = slow(limiterOf(1));
    const app = new Koa();
    let handled = 0;
    app.use(async (context, next) => {
      const done = next();
      await asked;
      context.res.writeHead(503).end("too slow");
      answer();
      await done;
    });
    app.use(sluiceKoa.rateLimit(limiter));
    app.use(() => {
      handled += 1;
    });
    const url = await listen(koaServer(app));
    expect(await statuses(2, url)).toEqual([503, 503]);
    expect(handled).toBe(1);
  });

  it("ends the response itself where Koa was told to leave it alone", async () => {
    const app = new Koa();
    app.use(async (context, next) => {
      context.respond = false;
      await next();
    });
    app.use(sluiceKoa.rateLimit(limiterOf(1)));
    app.use(({ res }) => {
      res.statusCode = 200;
      res.end("hello");
    });
    const url = await listen(koaServer(app));
    expect(await statuses(2, url)).toEqual([200, 429]);
  });

  it("shows its refusal to middleware further out", async () => {
    const app = new Koa();
    const seen: number[] = [];
    app.use(async (context, next) => {
      await next();
      seen.push(context.status);
    });
    app.use(sluiceKoa.rateLimit(limiterOf(1), { deny: () => new Uint8Array([104, 105]) }));
    app.use((context) => {
      context.body = "hello";
    });
    const url = await listen(koaServer(app));
    await statuses(1, url);
    const refused = await fetch(url);
    expect(refused.headers.get("content-type")).toBe("application/octet-stream");
    expect(await refused.text()).toBe("hi");
    expect(seen).toEqual([200, 429]);
  });
});

describe("node", () => {
  it("keeps the handler's name, `this`, and what it throws", async () => {
    function hello(this: unknown, _request: unknown, response: { end(text: string): void }): void {
      response.end(String(this === server));
    }
    const limited = sluiceNode.rateLimit(limiterOf(5))(hello);
    expect(limited.name).toBe("hello");
    const server = createServer(limited);
    const url = await listen(server);
    expect(await (await fetch(url)).text()).toBe("true");
    const failing = sluiceNode.rateLimit(limiterOf(5))(() => {
      throw new Error("the handler's own");
    });
    const socket = { remoteAddress: "127.0.0.1" };
    const response = { headersSent: false, getHeader: () => undefined, setHeader: () => undefined };
    expect(() => failing({ headers: {}, socket } as never, response as never)).toThrow("the handler's own");
  });
});

describe("fastify", () => {
  const up = async (build: (app: FastifyInstance) => void): Promise<string> => {
    const app = fastify();
    open.push(() => app.close());
    build(app);
    return app.listen({ port: 0, host: "127.0.0.1" });
  };
  const hello = async (): Promise<string> => "hello";

  it("takes a route's own limiter in place of the plugin's, in every form", async () => {
    const own = limiterOf(1);
    const policy = fixedWindow({ limit: 1, window: "1h" });
    const url = await up((app) => {
      app.register(sluiceFastify.rateLimit(limiterOf(2)));
      app.register(async (routes) => {
        routes.get("/plain", hello);
        routes.get("/none", { config: { rateLimit: false } }, hello);
        routes.get("/limiter", { config: { rateLimit: own } }, hello);
        routes.get("/policy/a", { config: { rateLimit: policy } }, hello);
        routes.get("/policy/b", { config: { rateLimit: policy } }, hello);
        routes.get("/function", { config: { rateLimit: () => limiterOf(1) } }, hello);
        routes.get(
          "/options/:id",
          {
            config: { rateLimit: { limiter: policy, key: (request) => (request.params as { id: string }).id } },
          },
          hello,
        );
      });
    });
    expect(await statuses(3, `${url}/none`)).toEqual([200, 200, 200]);
    expect(await statuses(2, `${url}/limiter`)).toEqual([200, 429]);
    // the same policy on two routes: two counts; HEAD shares that of GET
    expect(await statuses(2, `${url}/policy/a`)).toEqual([200, 429]);
    expect(await statuses(1, `${url}/policy/b`)).toEqual([200]);
    expect(await statuses(1, `${url}/policy/b`, { method: "HEAD" })).toEqual([429]);
    expect(await statuses(2, `${url}/function`)).toEqual([200, 200]);
    expect(await statuses(2, `${url}/options/1`)).toEqual([200, 429]);
    expect(await statuses(2, `${url}/options/2`)).toEqual([200, 429]);
    expect(await statuses(3, `${url}/plain`)).toEqual([200, 200, 429]);
  });

  it("refuses a route's wrong limiter when the route is added", async () => {
    const app = fastify();
    await app.register(sluiceFastify.rateLimit(limiterOf(2)));
    for (const wrong of [5, { limiter: 5 }, { limiter: limiterOf(1), headers: ["x"] }]) {
      expect(() => app.get("/wrong", { config: { rateLimit: wrong as never } }, hello)).toThrow(TypeError);
    }
    await app.close();
  });

  it("keeps to the context that registers it", async () => {
    const url = await up((app) => {
      app.register(async (inner) => {
        await inner.register(sluiceFastify.rateLimit(limiterOf(1)));
        inner.get("/inside", hello);
      });
      app.get("/outside", hello);
    });
    expect(await statuses(2, `${url}/inside`)).toEqual([200, 429]);
    expect(await statuses(2, `${url}/outside`)).toEqual([200, 200]);
  });

  it("counts in both of two plugins, and in a route's own limiter once", async () => {
    const own = limiterOf(5, "own");
    const second = limiterOf(5, "second");
    const url = await up((app) => {
      app.register(sluiceFastify.rateLimit(limiterOf(5, "first")));
      app.register(sluiceFastify.rateLimit(second));
      app.register(async (routes) => {
        routes.get("/", { config: { rateLimit: own } }, hello);
      });
    });
    const { headers } = await fetch(url);
    expect(headers.get("ratelimit")).toBe('"own";r=4;t=60, "second";r=4;t=60');
  });

  it("gives a route's own limiter the plugin's key and options, where the route says nothing itself", async () => {
    const byId = async (request: FastifyRequest): Promise<void> => {
      const id = request.headers["x-id"];
      if (id !== undefined) Object.assign(request, { user: { id } });
    };
    const policy = fixedWindow({ limit: 1, window: "1h" });
    const url = await up((app) => {
      app.addHook("onRequest", byId);
      app.register(sluiceFastify.limitByUser(limiterOf(9), { headers: false }));
      app.register(async (routes) => {
        routes.get("/quiet", { config: { rateLimit: policy } }, hello);
        routes.get("/loud", { config: { rateLimit: { limiter: policy, headers: ["legacy"] } } }, hello);
      });
    });
    for (const id of ["ada", "bob"]) {
      const response = await fetch(`${url}/quiet`, { headers: { "x-id": id } });
      expect(response.status).toBe(200);
      expect(response.headers.get("ratelimit")).toBeNull();
    }
    expect(await statuses(1, `${url}/quiet`, { headers: { "x-id": "ada" } })).toEqual([429]);
    expect((await fetch(`${url}/loud`)).headers.get("x-ratelimit-remaining")).toBe("0");
  });

  it("counts apart in two apps that share a policy, and a plugin", async () => {
    const policy = fixedWindow({ limit: 1, window: "1h" });
    const shared = sluiceFastify.rateLimit(limiterOf(9));
    const build = (app: FastifyInstance): void => {
      app.register(shared);
      app.register(async (routes) => {
        routes.get("/", { config: { rateLimit: policy } }, hello);
      });
    };
    const urls = [await up(build), await up(build)];
    for (const url of urls) expect(await statuses(2, url)).toEqual([200, 429]);
  });

  it("counts bodies that cannot be parsed by the user that is known by then, and refuses them", async () => {
    const limiter = limiterOf(2);
    const url = await up((app) => {
      app.addHook("onRequest", async (request) => {
        Object.assign(request, { user: { id: "ada" } });
      });
      app.register(sluiceFastify.limitByUser(limiter));
      app.register(async (routes) => {
        routes.post("/", hello);
      });
    });
    expect(await statuses(3, url, json("{"))).toEqual([400, 400, 429]);
    expect((await limiter.peek("user=ada")).remaining).toBe(0);
  });

  it("counts them by address where the user is found later, and counts nobody twice", async () => {
    const limiter = limiterOf(3);
    const url = await up((app) => {
      app.register(sluiceFastify.limitByUser(limiter));
      app.addHook("preValidation", async (request) => {
        Object.assign(request, { user: { id: "ada" } });
      });
      app.register(async (routes) => {
        routes.post("/", hello);
        routes.post("/fails", async () => {
          throw new Error("failed");
        });
      });
    });
    expect(await statuses(1, url, json("{"))).toEqual([400]);
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(2);
    expect(await statuses(1, url, json("{}"))).toEqual([200]);
    expect(await statuses(1, `${url}/fails`, json("{}"))).toEqual([500]);
    expect((await limiter.peek("user=ada")).remaining).toBe(1);
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(2);
  });

  it("counts what is not found, without a handler for it, and bodies that cannot be parsed", async () => {
    const url = await up((app) => {
      app.register(sluiceFastify.rateLimit(limiterOf(4)));
      app.register(async (routes) => {
        routes.post("/", hello);
      });
    });
    expect(await statuses(2, `${url}/missing`)).toEqual([404, 404]);
    expect(await statuses(3, url, json("{"))).toEqual([400, 400, 429]);
  });

  it("counts the user that a later onRequest hook finds", async () => {
    const limiter = limiterOf(2);
    const url = await up((app) => {
      app.register(sluiceFastify.limitByUser(limiter));
      app.addHook("onRequest", async (request) => {
        Object.assign(request, { user: { sub: "ada" } });
      });
      app.get("/", hello);
    });
    expect(await statuses(3, url)).toEqual([200, 200, 429]);
    expect((await limiter.peek("user=ada")).remaining).toBe(0);
  });

  it("writes nothing on a response that was sent while it decided", async () => {
    const { limiter, asked, answer } = slow(limiterOf(1));
    let handled = 0;
    const url = await up((app) => {
      app.addHook("onRequest", (_request, reply, next) => {
        next();
        void sendMeanwhile(asked, reply, answer);
      });
      app.register(sluiceFastify.rateLimit(limiter));
      app.get("/", async () => {
        handled += 1;
        return "hello";
      });
    });
    // allowed: nobody is called, for Fastify knows that it was sent
    expect(await statuses(1, url)).toEqual([503]);
    expect(handled).toBe(0);
  });
});

describe("hono, where there is no Node response", () => {
  const env = { remoteAddr: { hostname: "203.0.113.7" } };
  const hello = () => new Response("hello");

  it("limits, shows every stacked limiter, and leaves the handler alone on a refusal", async () => {
    let handled = 0;
    const app = new Hono();
    app.use(sluiceHono.rateLimit(limiterOf(3, "wide")), sluiceHono.rateLimit(limiterOf(2, "narrow")));
    app.get("/", (context) => {
      handled += 1;
      return context.text("hello");
    });
    const first = await app.request("/", {}, env);
    expect(await first.text()).toBe("hello");
    expect(first.headers.get("ratelimit")).toBe('"wide";r=2;t=60, "narrow";r=1;t=60');
    expect(first.headers.get("x-ratelimit-limit")).toBe("2");
    await app.request("/", {}, env);
    const refused = await app.request("/", {}, env);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("x-ratelimit-remaining")).toBe("0");
    expect(refused.headers.get("cache-control")).toBe("no-store");
    expect(handled).toBe(2);
    const other = { remoteAddr: { hostname: "203.0.113.8" } };
    expect((await app.request("/", {}, other)).status).toBe(200);
  });

  it.each<[string, () => Response]>([
    ["a Response of its own", () => new Response("hello")],
    ["a redirection, whose headers cannot be changed", () => Response.redirect("http://localhost/there", 303)],
  ])("shows the fields where the handler returns %s", async (_what, handler) => {
    const app = new Hono();
    app.use(sluiceHono.rateLimit(limiterOf(3, "wide")), sluiceHono.rateLimit(limiterOf(2, "narrow")));
    app.get("/", handler);
    const { headers } = await app.request("/", {}, env);
    expect(headers.get("ratelimit")).toBe('"wide";r=2;t=60, "narrow";r=1;t=60');
    expect(headers.get("x-ratelimit-limit")).toBe("2");
    expect(headers.get("location")).toBe(handler().headers.get("location"));
  });

  it("keeps cookies and a handler's headers, and shows the fields on what an error handler answers", async () => {
    const app = new Hono();
    app.use(sluiceHono.rateLimit(limiterOf(3)));
    app.onError((_error, context) => context.text("failed", 500));
    app.get("/", (context) => {
      context.header("set-cookie", "a=1", { append: true });
      context.header("set-cookie", "b=2", { append: true });
      return context.text("hello");
    });
    app.get("/throw", () => {
      throw new Error("failed");
    });
    const { headers } = await app.request("/", {}, env);
    expect(headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect(headers.get("x-ratelimit-remaining")).toBe("2");
    const failed = await app.request("/throw", {}, env);
    expect(failed.status).toBe(500);
    expect(failed.headers.get("x-ratelimit-remaining")).toBe("1");
  });

  it("lets `deny` answer with a Response, whose own words stand", async () => {
    const app = new Hono();
    const deny = () => new Response("<h1>Slow down</h1>", { status: 429, headers: { "content-type": "text/html" } });
    app.use(sluiceHono.rateLimit(limiterOf(1), { deny }));
    app.get("/", hello);
    await app.request("/", {}, env);
    const refused = await app.request("/", {}, env);
    expect(await refused.text()).toBe("<h1>Slow down</h1>");
    expect(refused.headers.get("content-type")).toBe("text/html");
    expect(refused.headers.get("retry-after")).toBe("60");
    expect(refused.headers.get("ratelimit")).toBe('"default";r=0;t=60');
  });

  it("refunds when the response is known", async () => {
    const limiter = limiterOf(2);
    const app = new Hono();
    app.use(sluiceHono.rateLimit(limiter, { refundWhen: (_context, status) => status === 200 }));
    app.get("/", hello);
    for (let call = 0; call < 4; call++) expect((await app.request("/", {}, env)).status).toBe(200);
    for (let call = 0; call < 2; call++) expect((await app.request("/missing", {}, env)).status).toBe(404);
    expect((await app.request("/", {}, env)).status).toBe(429);
  });

  it("counts the user that authentication left", async () => {
    const limiter = limiterOf(2);
    const app = new Hono<{ Variables: { jwtPayload: unknown } }>();
    app.use(async (context, next) => {
      context.set("jwtPayload", { sub: "ada" });
      await next();
    });
    app.use(sluiceHono.limitByUser(limiter));
    app.get("/", hello);
    await app.request("/", {}, env);
    expect((await limiter.peek("user=ada")).remaining).toBe(1);
  });
});

describe("fetch", () => {
  const url = "http://localhost/";
  it.each<[string, unknown, RequestInit & { cf?: unknown }]>([
    ["Node", { incoming: { socket: { remoteAddress: "::ffff:203.0.113.7" } } }, {}],
    ["Bun", { requestIP: () => ({ address: "203.0.113.7" }) }, {}],
    ["Deno", { remoteAddr: { hostname: "203.0.113.7" } }, {}],
    ["Netlify", { ip: "203.0.113.7" }, {}],
    ["API Gateway 1", { requestContext: { identity: { sourceIp: "203.0.113.7" } } }, {}],
    ["API Gateway 2", { requestContext: { http: { sourceIp: "203.0.113.7" } } }, {}],
    ["Cloudflare", {}, { cf: {}, headers: { "cf-connecting-ip": "203.0.113.7" } }],
  ])("takes the address from %s", async (_name, context, { cf, ...init }) => {
    const limiter = limiterOf(5);
    const limited = sluiceFetch.rateLimit(limiter)((_request: Request, _context: unknown) => new Response());
    await limited(Object.assign(new Request(url, init), cf === undefined ? {} : { cf }), context);
    expect((await limiter.peek("ip=203.0.113.7")).remaining).toBe(4);
  });

  it("does not take a client's word for Cloudflare's", async () => {
    const limiter = limiterOf(5);
    const limited = sluiceFetch.rateLimit(limiter)(() => new Response());
    await limited(new Request(url, { headers: { "cf-connecting-ip": "203.0.113.7" } }));
    expect((await limiter.peek("ip=203.0.113.7")).remaining).toBe(5);
    expect((await limiter.peek("ip=unknown")).remaining).toBe(4);
  });

  it("adds fields to a response whose headers cannot be changed", async () => {
    const limited = sluiceFetch.rateLimit(limiterOf(5))(() => Response.redirect("http://localhost/there", 303));
    const response = await limited(new Request(url));
    expect(response.status).toBe(303);
    expect(response.headers.get("location")).toBe("http://localhost/there");
    expect(response.headers.get("ratelimit")).toBe('"default";r=4;t=60');
  });

  it("keeps the handler's name and arguments, and passes on what is no Response", async () => {
    async function GET(_request: Request, { id }: { id: number }): Promise<Response> {
      return new Response(String(id));
    }
    const limited = sluiceFetch.rateLimit(limiterOf(5))(GET);
    expect(limited.name).toBe("GET");
    expect(await (await limited(new Request(url), { id: 7 })).text()).toBe("7");
    const upgraded = sluiceFetch.rateLimit(limiterOf(5))(() => undefined as unknown as Response);
    expect(await upgraded(new Request(url))).toBeUndefined();
  });

  it("keeps what a client spent that went away, and what a handler failed on", async () => {
    const limiter = limiterOf(5);
    const refundWhen = (): boolean => true;
    const abort = new AbortController();
    const limited = sluiceFetch.rateLimit(limiter, { refundWhen })(() => {
      abort.abort();
      return new Response();
    });
    await limited(new Request(url, { signal: abort.signal }));
    const failing = sluiceFetch.rateLimit(limiter, { refundWhen })(() => Promise.reject(new Error("failed")));
    await expect(failing(new Request(url))).rejects.toThrow("failed");
    expect((await limiter.peek("ip=unknown")).remaining).toBe(3);
    const fine = sluiceFetch.rateLimit(limiter, { refundWhen })(() => new Response());
    await fine(new Request(url));
    expect((await limiter.peek("ip=unknown")).remaining).toBe(3);
  });
});

describe("what never reaches a framework", () => {
  it("is answered by Node itself, uncounted, and harms nobody", async () => {
    const limiter = limiterOf(5);
    const url = await listen(
      createServer(sluiceNode.rateLimit(limiter)((_request, response) => response.end("hello"))),
    );
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    await once(socket, "connect");
    socket.write("NONSENSE\r\n\r\n");
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(String(answer)).toMatch(/^HTTP\/1\.1 400/);
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(5);
    expect(await statuses(1, url)).toEqual([200]);
  });
});
