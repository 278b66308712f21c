import "reflect-metadata";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { serve } from "@hono/node-server";
import { All, Controller, type INestApplication, Module, Next, Req, Res, UseGuards } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import express from "express";
import express4 from "express4";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import type { Decision, Policy, RateLimiter } from "sluice";
import * as sluiceExpress from "sluice/express";
import * as sluiceFastify from "sluice/fastify";
import * as sluiceFetch from "sluice/fetch";
import * as sluiceHono from "sluice/hono";
import type { HttpOptions } from "sluice/http";
import * as sluiceKoa from "sluice/koa";
import * as sluiceNest from "sluice/nest";
import * as sluiceNode from "sluice/node";

/** What option functions of the tests read, whatever the framework's request. */
export interface Facts {
  header(name: string): string | undefined;
}

/** One limiter before the handler; several are stacked, the first one outermost. */
export interface Stacked {
  helper?: "rateLimit" | "limitByUser" | "limitByApiKey";
  limiter: RateLimiter | Policy | ((facts: Facts) => RateLimiter | Promise<RateLimiter>);
  options?: HttpOptions<Facts> & { user?: (facts: Facts) => string | undefined; header?: string };
}

/** What the framework itself is told. */
export interface Setup {
  /** Trust one proxy in front. */
  trustProxy?: boolean;
}

/** A server on 127.0.0.1. */
export interface Running {
  readonly url: string;
  readonly port: number;
  /** Times that a handler was invoked. */
  readonly handled: () => number;
  close(): Promise<void>;
}

/** What every server answers: status, body and header fields by path. */
interface Reply {
  readonly status: number;
  readonly body: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** `/status/418`, `/missing`, `/cached` (304 to who has it), `/throw`, `/stream` (three chunks); anything else: hello. */
function replyTo(path: string, ifNoneMatch: string | undefined): Reply {
  const [, code] = /^\/status\/(\d+)$/.exec(path) ?? [];
  if (code !== undefined) return { status: Number(code), body: `status ${code}`, headers: {} };
  if (path === "/missing") return { status: 404, body: "not found", headers: {} };
  if (path === "/throw") throw new Error("handler failed");
  if (path === "/cached" && ifNoneMatch === '"1"') return { status: 304, body: undefined, headers: { ETag: '"1"' } };
  if (path === "/cached") return { status: 200, body: "cached", headers: { ETag: '"1"' } };
  return { status: 200, body: "hello", headers: {} };
}

const chunks = ["one ", "two ", "three"];

/** Converts options over `Facts` to options over a framework's request. */
export function optionsFor<R>(
  factsOf: (request: R) => Facts,
  options: Stacked["options"] = {},
): HttpOptions<R> & { user?: (request: R) => string | undefined; header?: string } {
  const converted: Record<string, unknown> = { ...options };
  for (const name of ["key", "skip", "cost", "deny", "refundWhen", "user"] as const) {
    const given = options[name];
    if (typeof given !== "function") continue;
    converted[name] = (request: R, rest: number | Decision) =>
      (given as (facts: Facts, rest: unknown) => unknown)(factsOf(request), rest);
  }
  return converted;
}

function sourceFor<R>(
  factsOf: (request: R) => Facts,
  limiter: Stacked["limiter"],
): RateLimiter | Policy | ((request: R) => RateLimiter | Promise<RateLimiter>) {
  return typeof limiter === "function" ? (request: R) => limiter(factsOf(request)) : limiter;
}

type Helper<R, M> = (
  limiter: RateLimiter | Policy | ((request: R) => RateLimiter | Promise<RateLimiter>),
  options?: HttpOptions<R>,
) => M;

function middlewareOf<R, M>(
  helpers: Record<"rateLimit" | "limitByUser" | "limitByApiKey", Helper<R, M>>,
  factsOf: (request: R) => Facts,
  { helper = "rateLimit", limiter, options }: Stacked,
): M {
  return helpers[helper](sourceFor(factsOf, limiter), optionsFor(factsOf, options));
}

const nodeFacts = (request: { headers: IncomingMessage["headers"] }): Facts => ({
  header: (name) => request.headers[name.toLowerCase()] as string | undefined,
});

async function listening(server: Server, handled: () => number, close?: () => Promise<unknown>): Promise<Running> {
  if (!server.listening) {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
  }
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    handled,
    close: async () => {
      server.closeAllConnections();
      if (close !== undefined) await close();
      else await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The handler, for frameworks that leave Node's response to it. */
function nodeHandler(count: () => void): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    count();
    const path = (request.url ?? "").replace(/\?.*/s, "");
    if (path === "/stream") {
      Readable.from(chunks).pipe(response);
      return;
    }
    const { status, body, headers } = replyTo(path, request.headers["if-none-match"]);
    response.statusCode = status;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.end(body);
  };
}

/** The handler, for frameworks of `Request → Response`. */
function webHandler(request: Request): Response {
  const path = new URL(request.url).pathname;
  if (path === "/stream") {
    return new Response(Readable.toWeb(Readable.from(chunks.map((chunk) => Buffer.from(chunk)))) as ReadableStream);
  }
  const { status, body, headers } = replyTo(path, request.headers.get("if-none-match") ?? undefined);
  return new Response(body ?? null, { status, headers });
}

export type Start = (stack: readonly Stacked[], setup?: Setup) => Promise<Running>;

function expressStart(make: typeof express): Start {
  return async (stack, { trustProxy = false } = {}) => {
    let handled = 0;
    const app = make();
    app.disable("x-powered-by");
    app.disable("etag");
    if (trustProxy) app.set("trust proxy", 1);
    for (const each of stack) app.use(middlewareOf(sluiceExpress, nodeFacts, each));
    app.use((request, response, next) => {
      if (request.path === "/missing") return next();
      return nodeHandler(() => {
        handled += 1;
      })(request, response);
    });
    app.use((_error: unknown, _request: express.Request, response: express.Response, _next: express.NextFunction) => {
      response.statusCode = 500;
      response.end("failed");
    });
    return listening(createServer(app), () => handled);
  };
}

const startNode: Start = async (stack) => {
  let handled = 0;
  const inner = nodeHandler(() => {
    handled += 1;
  });
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    try {
      inner(request, response);
    } catch {
      response.statusCode = 500;
      response.end("failed");
    }
  };
  const limited = stack.reduceRight<sluiceNode.NodeHandler>(
    (before, each) => middlewareOf(sluiceNode, nodeFacts, each)(before),
    handler,
  );
  return listening(createServer(limited), () => handled);
};

const startFastify: Start = async (stack, { trustProxy = false } = {}) => {
  let handled = 0;
  const app = fastify({ trustProxy: trustProxy ? "127.0.0.1" : false });
  for (const each of stack) app.register(middlewareOf(sluiceFastify, nodeFacts, each));
  app.register(async (routes) => {
    routes.all("/stream", (_request, reply) => {
      handled += 1;
      return reply.send(Readable.from(chunks));
    });
    routes.all("/*", (request, reply) => {
      handled += 1;
      const path = request.url.replace(/\?.*/s, "");
      if (path === "/missing") return reply.callNotFound();
      const { status, body, headers } = replyTo(path, request.headers["if-none-match"]);
      return reply.code(status).headers(headers).send(body);
    });
  });
  await app.ready();
  return listening(
    app.server,
    () => handled,
    () => app.close(),
  );
};

const startKoa: Start = async (stack, { trustProxy = false } = {}) => {
  let handled = 0;
  const app = new Koa({ proxy: trustProxy, maxIpsCount: trustProxy ? 1 : 0 });
  app.silent = true;
  for (const each of stack) app.use(middlewareOf(sluiceKoa, nodeFacts, each));
  app.use((context) => {
    if (context.path === "/missing") return;
    handled += 1;
    if (context.path === "/stream") {
      context.body = Readable.from(chunks);
      return;
    }
    const { status, body, headers } = replyTo(context.path, context.get("if-none-match"));
    context.status = status;
    context.set(headers);
    if (body !== undefined) context.body = body;
  });
  const handle = app.callback();
  return listening(
    createServer((incoming, outgoing) => void handle(incoming, outgoing)),
    () => handled,
  );
};

const honoFacts = (context: { req: { header(name: string): string | undefined } }): Facts => ({
  header: (name) => context.req.header(name),
});

/** A server of what turns a Request, and what is known beside it, into a Response. */
type Serve = (handle: (request: Request, around: never) => Response | Promise<Response>) => Promise<Server>;

/** By `@hono/node-server`, which hands Node's request and response on. */
const onNode: Serve = async (handle) => {
  const server = serve({ fetch: handle as never, port: 0, hostname: "127.0.0.1" }) as Server;
  await new Promise<void>((resolve) => (server.listening ? resolve() : server.once("listening", resolve)));
  return server;
};

/** As Deno does: a URL that is resolved, the client's address beside it, and nothing of Node's. */
const elsewhere: Serve = async (handle) => {
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const body = Buffer.concat((await incoming.toArray()) as Buffer[]);
    const request = new Request(new URL(incoming.url ?? "", "http://localhost"), {
      method: incoming.method ?? "GET",
      headers: Object.entries(incoming.headers).map(([name, value]) => [name, String(value)] as [string, string]),
      body: body.length > 0 ? body : null,
    });
    const around = { remoteAddr: { hostname: incoming.socket.remoteAddress } };
    const response = await handle(request, around as never);
    outgoing.writeHead(response.status, response.statusText, [...response.headers].flat());
    outgoing.end(Buffer.from(await response.arrayBuffer()));
  };
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing).catch(() => {
      outgoing.statusCode = 500;
      outgoing.end("failed");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
};

const startHono =
  (serveBy: Serve): Start =>
  async (stack) => {
    let handled = 0;
    const app = new Hono();
    for (const each of stack) app.use(middlewareOf(sluiceHono, honoFacts, each));
    app.onError((_error, context) => context.text("failed", 500));
    app.all("/missing", (context) => context.notFound());
    app.all("/hello", (context) => {
      handled += 1;
      return context.text("hello");
    });
    app.all("*", (context) => {
      handled += 1;
      return webHandler(context.req.raw);
    });
    return listening(await serveBy(app.fetch), () => handled);
  };

const fetchFacts = (request: Request): Facts => ({ header: (name) => request.headers.get(name) ?? undefined });

const startFetch =
  (serveBy: Serve): Start =>
  async (stack) => {
    let handled = 0;
    const handler = async (request: Request): Promise<Response> => {
      handled += 1;
      try {
        return webHandler(request);
      } catch {
        return new Response("failed", { status: 500 });
      }
    };
    const limited = stack.reduceRight<(request: Request, ...context: unknown[]) => Response | Promise<Response>>(
      (before, each) => middlewareOf(sluiceFetch, fetchFacts, each)(before),
      handler,
    );
    const server = await serveBy(async (request, around) => {
      try {
        return await limited(request, around);
      } catch {
        return new Response("failed", { status: 500 });
      }
    });
    return listening(server, () => handled);
  };

const nestHelpers = {
  rateLimit: sluiceNest.RateLimit,
  limitByUser: sluiceNest.LimitByUser,
  limitByApiKey: sluiceNest.LimitByApiKey,
};

/** Decorators applied by hand, as the compiler would: from the bottom up. */
export function decorateController(
  type: new () => object,
  method: string,
  decorators: readonly MethodDecorator[],
): void {
  const descriptor = Object.getOwnPropertyDescriptor(type.prototype, method) as PropertyDescriptor;
  for (const each of decorators.toReversed()) each(type.prototype as object, method, descriptor);
  Object.defineProperty(type.prototype, method, descriptor);
}

/** A Nest application on Express, its handlers behind `decorators`. */
export async function nestApplication(
  decorators: readonly MethodDecorator[],
  imports: readonly object[] = [],
): Promise<{ app: INestApplication; handled: () => number }> {
  let handled = 0;
  const handler = nodeHandler(() => {
    handled += 1;
  });
  class HelloController {
    answer(request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): void {
      if ((request.url ?? "").startsWith("/missing")) {
        next();
        return;
      }
      handler(request, response);
    }
  }
  Req()(HelloController.prototype, "answer", 0);
  Res()(HelloController.prototype, "answer", 1);
  Next()(HelloController.prototype, "answer", 2);
  Reflect.defineMetadata("design:paramtypes", [Object, Object, Object], HelloController.prototype, "answer");
  decorateController(HelloController, "answer", [All("{*path}"), UseGuards(sluiceNest.RateLimitGuard), ...decorators]);
  Controller()(HelloController);
  class Application {
    readonly name = "hello";
  }
  Module({ controllers: [HelloController], imports: [...imports] as never })(Application);
  const app = await NestFactory.create(Application, { logger: false });
  return { app, handled: () => handled };
}

const startNest: Start = async (stack, { trustProxy = false } = {}) => {
  const decorators = stack.map((each) => middlewareOf(nestHelpers, nodeFacts, each));
  const { app, handled } = await nestApplication(decorators);
  if (trustProxy) (app.getHttpAdapter().getInstance() as express.Express).set("trust proxy", 1);
  await app.listen(0, "127.0.0.1");
  return listening(app.getHttpServer() as Server, handled, () => app.close());
};

interface Adapter {
  readonly name: string;
  readonly start: Start;
  /** Whether the framework itself can be told of a proxy. */
  readonly knowsProxies: boolean;
}

/** Every adapter, with what its framework cannot do. */
export const adapters: readonly Adapter[] = [
  { name: "express 5", start: expressStart(express), knowsProxies: true },
  { name: "express 4", start: expressStart(express4), knowsProxies: true },
  { name: "fastify", start: startFastify, knowsProxies: true },
  { name: "koa", start: startKoa, knowsProxies: true },
  { name: "hono", start: startHono(onNode), knowsProxies: false },
  {
    name: "hono, as where there is no Node response",
    start: startHono(elsewhere),
    knowsProxies: false,
  },
  { name: "node", start: startNode, knowsProxies: false },
  { name: "fetch", start: startFetch(onNode), knowsProxies: false },
  {
    name: "fetch, as where there is no Node response",
    start: startFetch(elsewhere),
    knowsProxies: false,
  },
  { name: "nest", start: startNest, knowsProxies: true },
];
