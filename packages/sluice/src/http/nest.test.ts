import "reflect-metadata";
import { type ArgumentsHost, Catch, Controller, Get, HttpException, Module, UseGuards } from "@nestjs/common";
import { APP_FILTER, APP_GUARD } from "@nestjs/core";
import { ExecutionContextHost } from "@nestjs/core/helpers/execution-context-host.js";
import { Test } from "@nestjs/testing";
import {
  fixedWindow,
  memoryStore,
  RateLimitExceededError,
  rateLimiter,
  StoreError,
  type SyncRateLimiter,
} from "sluice";
import { LimitByApiKey, LimitByUser, RateLimit, RateLimitGuard, RateLimitModule, SkipRateLimit } from "sluice/nest";
import { manualClock } from "sluice/testing";
import { afterEach, describe, expect, it } from "vitest";
import { decorateController } from "../../test/http/servers.js";

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

function limiterOf(limit: number, name = "default"): SyncRateLimiter {
  return rateLimiter(fixedWindow({ limit, window: "1m", name }), { store: memoryStore({ clock: manualClock(1e6) }) });
}

/** A controller with a method for each name, decorated by hand as the compiler would. */
function controller(
  decorators: readonly ClassDecorator[],
  methods: Readonly<Record<string, readonly MethodDecorator[]>>,
): new () => object {
  const type = class {};
  for (const [name, own] of Object.entries(methods)) {
    Object.defineProperty(type.prototype, name, { value: () => "hello", writable: true, configurable: true });
    decorateController(type, name, [Get(name), ...own]);
  }
  for (const each of [Controller(), ...decorators].toReversed()) each(type);
  return type;
}

async function up(module: Parameters<typeof Test.createTestingModule>[0]): Promise<string> {
  const app = (await Test.createTestingModule(module).compile()).createNestApplication();
  app.useLogger(false);
  await app.listen(0, "127.0.0.1");
  open.push(() => app.close());
  return app.getUrl();
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

const guarded: ClassDecorator = UseGuards(RateLimitGuard);

describe("decorators", () => {
  it("all count, a controller's before its methods', and are shown", async () => {
    const ofClass = limiterOf(4, "class");
    const type = controller([RateLimit(ofClass), guarded], {
      plain: [],
      strict: [RateLimit(limiterOf(3, "first")), RateLimit(limiterOf(2, "second"))],
    });
    const url = await up({ controllers: [type] });
    const { headers } = await fetch(`${url}/strict`);
    expect(headers.get("ratelimit")).toBe('"class";r=3;t=60, "first";r=2;t=60, "second";r=1;t=60');
    expect(await statuses(2, `${url}/strict`)).toEqual([200, 429]);
    expect(await statuses(2, `${url}/plain`)).toEqual([200, 429]);
  });

  it("skip a method altogether, or all but what a method has itself", async () => {
    const type = controller([RateLimit(limiterOf(1)), guarded], { free: [SkipRateLimit()], counted: [] });
    const skipping = controller([SkipRateLimit(), RateLimit(limiterOf(1)), guarded], {
      open: [],
      own: [RateLimit(limiterOf(1))],
    });
    const url = await up({ controllers: [type, skipping] });
    expect(await statuses(3, `${url}/free`)).toEqual([200, 200, 200]);
    expect(await statuses(2, `${url}/counted`)).toEqual([200, 429]);
    expect(await statuses(3, `${url}/open`)).toEqual([200, 200, 200]);
    expect(await statuses(2, `${url}/own`)).toEqual([200, 429]);
  });

  it("are inherited by controllers that say nothing themselves", async () => {
    class Base {}
    RateLimit(limiterOf(1))(Base);
    class Child extends Base {
      hello(): string {
        return "hello";
      }
    }
    decorateController(Child, "hello", [Get("hello")]);
    guarded(Child);
    Controller()(Child);
    const url = await up({ controllers: [Child] });
    expect(await statuses(2, `${url}/hello`)).toEqual([200, 429]);
  });

  it("count users and API keys, found by the guard before", async () => {
    const users = limiterOf(2, "users");
    const keys = limiterOf(1, "keys");
    const authenticate = {
      canActivate: (context: ExecutionContextHost) => {
        Object.assign(context.switchToHttp().getRequest<object>(), { user: { id: "ada" } });
        return true;
      },
    };
    const type = controller([UseGuards(authenticate, RateLimitGuard)], {
      mine: [LimitByUser(users)],
      keyed: [LimitByApiKey(keys, { header: "X-Key" })],
      renamed: [
        LimitByUser(users, { user: (request: { headers: Record<string, string> }) => request.headers["x-name"] }),
      ],
    });
    const url = await up({ controllers: [type] });
    await statuses(1, `${url}/mine`);
    expect((await users.peek("user=ada")).remaining).toBe(1);
    await statuses(1, `${url}/renamed`, { headers: { "x-name": "bob" } });
    expect((await users.peek("user=bob")).remaining).toBe(1);
    expect(await statuses(2, `${url}/keyed`, { headers: { "x-key": "one" } })).toEqual([200, 429]);
    expect(await statuses(1, `${url}/keyed`, { headers: { "x-key": "two" } })).toEqual([200]);
  });

  it.each([
    ["copies Nest's metadata", true],
    ["does not", false],
  ])("survive a decorator that puts a function of its own in the method's place and %s", async (_how, copies) => {
    const wraps: MethodDecorator = (_target, _key, descriptor) => {
      const { value } = descriptor as { value?: (...args: unknown[]) => unknown };
      function wrapped(this: unknown, ...args: unknown[]): unknown {
        return value?.apply(this, args);
      }
      if (copies) {
        for (const key of Reflect.getMetadataKeys(value as object) as unknown[]) {
          Reflect.defineMetadata(key, Reflect.getMetadata(key, value as object), wrapped);
        }
      }
      Object.assign(descriptor, { value: wrapped });
    };
    const type = controller([guarded], {
      below: [wraps, RateLimit(limiterOf(1))],
      around: [RateLimit(limiterOf(2, "above")), wraps, RateLimit(limiterOf(1, "below"))],
      free: [wraps, SkipRateLimit()],
    });
    RateLimit(limiterOf(5, "class"))(type);
    const url = await up({ controllers: [type] });
    expect(await statuses(2, `${url}/below`)).toEqual([200, 429]);
    const { headers } = await fetch(`${url}/around`);
    expect(headers.get("ratelimit")).toBe('"class";r=2;t=60, "above";r=1;t=60, "below";r=0;t=60');
    expect(await statuses(6, `${url}/free`)).toEqual([200, 200, 200, 200, 200, 200]);
  });

  it("count once, however many guards stand before a method", async () => {
    const limiter = limiterOf(2);
    const own = limiterOf(9, "own");
    const type = controller([guarded, RateLimit(limiter)], { twice: [UseGuards(RateLimitGuard), RateLimit(own)] });
    const url = await up({ controllers: [type], providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }] });
    const { headers } = await fetch(`${url}/twice`);
    expect(headers.get("ratelimit")).toBe('"default";r=1;t=60, "own";r=8;t=60');
    expect(await statuses(2, `${url}/twice`)).toEqual([200, 429]);
  });

  it("work as TC39 decorators of methods too", () => {
    function hello(): void {}
    const decorate = RateLimit(limiterOf(1)) as unknown as (method: () => void, context: object) => undefined;
    expect(decorate(hello, { kind: "method", name: "hello" })).toBeUndefined();
    const context = new ExecutionContextHost([{ headers: {}, ip: "203.0.113.7" }], class {}, hello);
    context.setType("rpc");
    expect(new RateLimitGuard().canActivate(context as never)).toBe(true);
    expect(() => new RateLimitGuard().canActivate(context as never)).toThrow(RateLimitExceededError);
  });

  it("refuse a wrong limiter or option where they stand", () => {
    expect(() => RateLimit({} as never)).toThrow(expect.objectContaining({ code: "ERR_INVALID_POLICY" }));
    expect(() => RateLimit(limiterOf(1), { exclude: ["health"] })).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
    expect(() => LimitByApiKey(limiterOf(1), { header: "not a header" })).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
    for (const wrong of [{ headers: ["x"] as never }, { exclude: ["health"] }, { ipv6Prefix: 5 }]) {
      const error = expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" });
      expect(() => RateLimitModule.forRoot(wrong)).toThrow(error);
      expect(() => RateLimitModule.forRoot({ ...wrong, limiter: limiterOf(1) })).toThrow(error);
    }
  });
});

describe("RateLimitModule", () => {
  const everywhere = { provide: APP_GUARD, useClass: RateLimitGuard };

  it("gives defaults to every decorator, and a limiter to routes without one", async () => {
    const type = controller([], {
      plain: [],
      own: [RateLimit(limiterOf(1))],
      loud: [RateLimit(limiterOf(1), { headers: ["legacy"] })],
      health: [],
    });
    const defaults = RateLimitModule.forRoot({ limiter: limiterOf(2), headers: false, exclude: ["/health"] });
    const url = await up({ imports: [defaults], providers: [everywhere], controllers: [type] });
    expect((await fetch(`${url}/plain`)).headers.get("ratelimit")).toBeNull();
    expect(await statuses(2, `${url}/plain`)).toEqual([200, 429]);
    expect(await statuses(2, `${url}/own`)).toEqual([200, 429]);
    expect((await fetch(`${url}/loud`)).headers.get("x-ratelimit-remaining")).toBe("0");
    expect(await statuses(3, `${url}/health`)).toEqual([200, 200, 200]);
  });

  it("takes what is only known when the application starts", async () => {
    class Settings {
      readonly limit = 1;
    }
    class SettingsModule {}
    Module({ providers: [Settings], exports: [Settings] })(SettingsModule);
    const type = controller([], { plain: [] });
    const defaults = RateLimitModule.forRootAsync({
      imports: [SettingsModule],
      inject: [Settings],
      useFactory: async ({ limit }: Settings) => ({ limiter: limiterOf(limit) }),
    });
    const url = await up({ imports: [defaults], providers: [everywhere], controllers: [type] });
    expect(await statuses(2, `${url}/plain`)).toEqual([200, 429]);
  });

  it("is not needed, and counts nothing where nothing says so", async () => {
    const type = controller([], { plain: [] });
    const url = await up({ imports: [RateLimitModule.forRoot()], providers: [everywhere], controllers: [type] });
    expect(await statuses(3, `${url}/plain`)).toEqual([200, 200, 200]);
  });
});

describe("a refusal", () => {
  it("is an HttpException, which filters see", async () => {
    class Filter {
      catch(exception: HttpException, host: ArgumentsHost): void {
        const response = host.switchToHttp().getResponse<import("express").Response>();
        const { message } = exception;
        response.status(exception.getStatus()).json({ seen: exception.getResponse(), message });
      }
    }
    Catch(HttpException)(Filter);
    const type = controller([guarded], { plain: [RateLimit(limiterOf(1), { deny: () => "slow down" })] });
    const url = await up({ controllers: [type], providers: [{ provide: APP_FILTER, useClass: Filter }] });
    await statuses(1, `${url}/plain`);
    const refused = await fetch(`${url}/plain`);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("60");
    // the type of what the filter wrote
    expect(refused.headers.get("content-type")).toMatch(/^application\/json/);
    expect(await refused.json()).toEqual({ seen: "slow down", message: "slow down" });
  });

  it("lets a filter read and copy the problem, and write an answer of its own type", async () => {
    class Filter {
      catch(exception: HttpException, host: ArgumentsHost): void {
        const response = host.switchToHttp().getResponse<import("express").Response>();
        response.status(exception.getStatus()).json({ ...(exception.getResponse() as object), path: "/plain" });
      }
    }
    Catch(HttpException)(Filter);
    const type = controller([guarded], { plain: [RateLimit(limiterOf(1))] });
    const url = await up({ controllers: [type], providers: [{ provide: APP_FILTER, useClass: Filter }] });
    await statuses(1, `${url}/plain`);
    const refused = await fetch(`${url}/plain`);
    expect(refused.headers.get("content-type")).toMatch(/^application\/json/);
    expect(await refused.json()).toEqual({
      type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
      title: "Too Many Requests",
      status: 429,
      detail: "The limit of 1 is exceeded. It can be allowed in 60 s.",
      "violated-policies": ["default"],
      path: "/plain",
    });
  });

  it("is not invoked on what no route matches", async () => {
    const limiter = limiterOf(1);
    const type = controller([guarded, RateLimit(limiter)], { plain: [] });
    const url = await up({ controllers: [type] });
    expect(await statuses(2, `${url}/missing`)).toEqual([404, 404]);
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(1);
  });
});

describe("Fastify below Nest", () => {
  /** Fastify's reply, as far as it is used; `finish` tells that it was written. */
  function fakeReply() {
    const fields: Record<string, string> = {};
    const finished: (() => void)[] = [];
    const raw = { statusCode: 200, once: (_event: string, listener: () => void) => finished.push(listener) };
    const reply = {
      sent: false,
      raw,
      getHeader: (name: string) => fields[name],
      header: (name: string, value: string) => {
        fields[name] = value;
      },
    };
    const finish = (status: number): void => {
      raw.statusCode = status;
      for (const listener of finished) listener();
    };
    return { reply, fields, finish };
  }

  const ask = (guard: RateLimitGuard, handler: () => void, reply: object): boolean | Promise<boolean> => {
    const socket = { remoteAddress: "203.0.113.7" };
    const request = { headers: {}, ip: "203.0.113.7", raw: { headers: {}, socket }, url: "/" };
    const context = new ExecutionContextHost([request, reply], class {}, handler);
    context.setType("http");
    return guard.canActivate(context);
  };

  it("shows refundWhen the status that was sent", async () => {
    const limiter = limiterOf(5);
    const seen: number[] = [];
    const handler = (): void => {};
    RateLimit(limiter, {
      refundWhen: (_request, status) => {
        seen.push(status);
        return status < 400;
      },
    })(handler as never);
    for (const status of [401, 200]) {
      const { reply, fields, finish } = fakeReply();
      expect(await ask(new RateLimitGuard(), handler, reply)).toBe(true);
      expect(fields["RateLimit"]).toBe('"default";r=4;t=60');
      finish(status);
      if (status === 401) limiter.resetSync("ip=203.0.113.7");
    }
    expect(seen).toEqual([401, 200]);
    await expect.poll(async () => (await limiter.peek("ip=203.0.113.7")).remaining).toBe(5);
  });

  it("throws a refusal with its fields written, and no type but the body's own", async () => {
    const handler = (): void => {};
    RateLimit(limiterOf(1))(handler as never);
    const guard = new RateLimitGuard();
    const { reply, fields } = fakeReply();
    expect(ask(guard, handler, fakeReply().reply)).toBe(true);
    expect(() => ask(guard, handler, reply)).toThrow(HttpException);
    expect(fields).toMatchObject({ "Retry-After": "60", "Cache-Control": "no-store" });
    expect(fields["Content-Type"]).toBeUndefined();
  });
});

describe("other transports", () => {
  const context = (type: string, args: unknown[], limiter: SyncRateLimiter): ExecutionContextHost => {
    function handler(): void {}
    RateLimit(limiter)({}, "handler", { value: handler });
    const host = new ExecutionContextHost(args, class {}, handler);
    host.setType(type);
    return host;
  };
  const request = { headers: {}, ip: "203.0.113.7" };

  it("counts a GraphQL call by its request, on Express and on Mercurius", async () => {
    const limiter = limiterOf(2);
    const written: Record<string, string> = {};
    const reply = {
      sent: false,
      raw: { once: () => {}, statusCode: 200 },
      getHeader: (name: string) => written[name],
      header: (name: string, value: string) => {
        written[name] = value;
      },
    };
    const guard = new RateLimitGuard();
    expect(guard.canActivate(context("graphql", [{}, {}, { req: request }], limiter) as never)).toBe(true);
    expect(guard.canActivate(context("graphql", [{}, {}, { request, reply }], limiter) as never)).toBe(true);
    expect(written["RateLimit"]).toBe('"default";r=0;t=60');
    const refused = (): unknown => guard.canActivate(context("graphql", [{}, {}, { request, reply }], limiter));
    expect(refused).toThrow(HttpException);
    expect(refused).toThrow(/refused this call/);
    // GraphQL writes its own answer, of its own type
    expect(written["Retry-After"]).toBe("60");
    expect(written["Content-Type"]).toBeUndefined();
  });

  it("counts each guarded resolver of one GraphQL request", async () => {
    const limiter = limiterOf(2);
    const guard = new RateLimitGuard();
    const resolver = context("graphql", [{}, {}, { req: request }], limiter);
    expect(guard.canActivate(resolver as never)).toBe(true);
    expect(guard.canActivate(resolver as never)).toBe(true);
    expect(() => guard.canActivate(resolver as never)).toThrow(HttpException);
  });

  it("refuses with the same error where the store does not answer", async () => {
    const failing = {
      ...limiterOf(1),
      policies: limiterOf(1).policies,
      consume: () => Promise.reject(new StoreError("ERR_STORE_UNAVAILABLE", "connection refused")),
      consumeSync: undefined,
    } as unknown as SyncRateLimiter;
    function handler(): void {}
    RateLimit(failing, { whenStoreFails: "deny" })(handler as never);
    const host = new ExecutionContextHost([{ _socket: { remoteAddress: "203.0.113.7" } }], class {}, handler);
    host.setType("ws");
    const refused = new RateLimitGuard().canActivate(host);
    await expect(refused).rejects.toMatchObject({ code: "ERR_RATE_LIMIT_EXCEEDED", decision: { degraded: true } });
  });

  it("counts a WebSocket by its socket, and refuses with an error of this library", () => {
    const limiter = limiterOf(2);
    const guard = new RateLimitGuard();
    const socketIo = { request: { headers: {}, socket: { remoteAddress: "::ffff:203.0.113.7" } } };
    const ws = { _socket: { remoteAddress: "203.0.113.7" } };
    expect(guard.canActivate(context("ws", [socketIo], limiter) as never)).toBe(true);
    expect(guard.canActivate(context("ws", [ws], limiter) as never)).toBe(true);
    expect(() => guard.canActivate(context("ws", [ws], limiter) as never)).toThrow(RateLimitExceededError);
  });

  it("reads a transport of one's own through `exchange`", () => {
    class OwnGuard extends RateLimitGuard {
      protected override exchange(host: ExecutionContextHost) {
        return { request: host.getArgByIndex<typeof request>(0), response: undefined };
      }
    }
    const limiter = limiterOf(1);
    expect(new OwnGuard().canActivate(context("own", [request], limiter) as never)).toBe(true);
    expect(limiter.peekSync("ip=203.0.113.7").remaining).toBe(0);
  });
});
