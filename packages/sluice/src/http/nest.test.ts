import "reflect-metadata";
import { type ArgumentsHost, Catch, Controller, Get, HttpException, Module, UseGuards } from "@nestjs/common";
import { APP_FILTER, APP_GUARD } from "@nestjs/core";
import { ExecutionContextHost } from "@nestjs/core/helpers/execution-context-host.js";
import { Test } from "@nestjs/testing";
import { fixedWindow, memoryStore, RateLimitExceededError, rateLimiter, type SyncRateLimiter } from "sluice";
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
    expect(() => RateLimitModule.forRoot({ headers: ["x"] as never })).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
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
        response.status(exception.getStatus()).json({ seen: exception.getResponse() });
      }
    }
    Catch(HttpException)(Filter);
    const type = controller([guarded], { plain: [RateLimit(limiterOf(1), { deny: () => "slow down" })] });
    const url = await up({ controllers: [type], providers: [{ provide: APP_FILTER, useClass: Filter }] });
    await statuses(1, `${url}/plain`);
    const refused = await fetch(`${url}/plain`);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("60");
    expect(await refused.json()).toEqual({ seen: "slow down" });
  });

  it("is not invoked on what no route matches", async () => {
    const limiter = limiterOf(1);
    const type = controller([guarded, RateLimit(limiter)], { plain: [] });
    const url = await up({ controllers: [type] });
    expect(await statuses(2, `${url}/missing`)).toEqual([404, 404]);
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(1);
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
    expect(() => guard.canActivate(context("graphql", [{}, {}, { req: request }], limiter) as never)).toThrow(
      HttpException,
    );
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
