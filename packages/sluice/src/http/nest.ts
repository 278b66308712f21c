import {
  type CanActivate,
  type DynamicModule,
  type ExecutionContext,
  HttpException,
  Inject,
  Injectable,
  Module,
  type ModuleMetadata,
  Optional,
} from "@nestjs/common";
import { RateLimitExceededError } from "../core/errors.js";
import type { Policy } from "../core/policy.js";
import { rateLimiter } from "../rate-limiter.js";
import { type Guard, guard, isLimiter, type Outcome, type Refusal } from "./guard.js";
import { type KeyOf, keyOfApiKey, keyOfClient, keyOfUser } from "./keys.js";
import { refusalException } from "./nest-exception.js";
import { type Mark, markOf, marksOfClass, marksOfMethod } from "./nest-marks.js";
import { carryFields, type NodeResponse } from "./node-response.js";
import type { ApiKeyOptions, HttpOptions, LimiterSource, UserOptions } from "./options.js";
import { expressTrustsAll, fastifyTrustsAll, type NodeFacts, nodeHeader, nodePeer, type Platform } from "./platform.js";

/** The request below Nest, of Express or Fastify, as far as facts come from it. */
export interface NestRequest extends NodeFacts {
  readonly ip?: string | undefined;
  readonly originalUrl?: string | undefined;
  readonly user?: unknown;
  /** Express's application. */
  readonly app?: { get(name: string): unknown } | undefined;
  /** Fastify's own is wrapped around Node's. */
  readonly raw?: NodeFacts | undefined;
}

/** Fastify's reply, as far as fields are written on it. */
interface Reply {
  readonly sent: boolean;
  readonly raw: Pick<NodeResponse, "once" | "statusCode" | "end">;
  getHeader(name: string): string | undefined;
  header(name: string, value: string): unknown;
}

/** Where a call came from. `response` is undefined where no header field can be written, as on a WebSocket. */
export interface Exchange {
  readonly request: NestRequest;
  readonly response: NodeResponse | Reply | undefined;
}

/** What `RateLimitModule.forRoot` takes: options for every decorator, and a limiter for routes that have none. */
// biome-ignore lint/suspicious/noExplicitAny: which request it is depends on the platform below Nest
export interface RateLimitDefaults<Req = any> extends HttpOptions<Req> {
  limiter?: LimiterSource<Req> | Policy;
}

const platform: Platform<NestRequest> = {
  address: (request) => request.ip ?? nodePeer(request.raw ?? request),
  peer: (request) => nodePeer(request.raw ?? request),
  header: nodeHeader,
  target: (request) => request.originalUrl ?? request.url ?? "",
  user: (request) => request.user,
  trustsAll: (request) => (request.raw === undefined ? expressTrustsAll(request) : fastifyTrustsAll(request)),
  trustAdvice:
    "make the platform below Nest trust it: app.set('trust proxy', 1), or new FastifyAdapter({ trustProxy })",
};

type Identify = (platform: Platform<NestRequest>, options: HttpOptions<NestRequest>) => KeyOf<NestRequest>;

/** What a decorator says. Its limiter is made once, however many guards read it. */
interface Rule {
  readonly source: LimiterSource<NestRequest>;
  readonly options: HttpOptions<NestRequest>;
  readonly identify: Identify;
  /** The rule in force, where the application has no defaults. */
  readonly guard: Guard<NestRequest>;
}

/** Works on a controller and on a method of one. */
export type RateLimitDecorator = ClassDecorator & MethodDecorator;

function decorator(use: (mark: Mark<Rule>) => void): RateLimitDecorator {
  return (target: object, key?: string | symbol, descriptor?: PropertyDescriptor): void => {
    use(markOf<Rule>(target, key, descriptor));
  };
}

/** @throws TypeError or RangeError with a `code` for a wrong limiter or option. */
function ruleOf(
  limiter: LimiterSource<NestRequest> | Policy,
  options: HttpOptions<NestRequest> = {},
  identify: Identify,
): Rule {
  const source = typeof limiter === "function" || isLimiter(limiter) ? limiter : rateLimiter(limiter);
  return { source, options, identify, guard: guard(platform, source, options, identify) };
}

function limitDecorator(
  limiter: LimiterSource<NestRequest> | Policy,
  options: HttpOptions<NestRequest> | undefined,
  identify: Identify,
): RateLimitDecorator {
  const rule = ruleOf(limiter, options, identify);
  // decorators are applied from the bottom up, and read from the top down
  return decorator(({ rules }) => rules.unshift(rule));
}

/**
 * Limits a controller or a method, by client address unless `key` says otherwise. Stacked ones all count, a
 * controller's before its methods'. Needs `RateLimitGuard`.
 *
 * @throws TypeError or RangeError with a `code` for a wrong limiter or option.
 * @example
 * \@Controller("reports")
 * \@UseGuards(RateLimitGuard)
 * \@RateLimit(slidingWindow({ limit: 100, window: "1m" }))
 * class Reports {}
 */
// biome-ignore lint/suspicious/noExplicitAny: which request it is depends on the platform below Nest
export function RateLimit<Req = any>(
  limiter: LimiterSource<Req> | Policy,
  options?: HttpOptions<Req>,
): RateLimitDecorator {
  return limitDecorator(limiter as LimiterSource<NestRequest>, options as HttpOptions<NestRequest>, keyOfClient);
}

/**
 * Limits by authenticated user (`request.user`, or what `user` gives), by address where there is none. Put
 * `RateLimitGuard` behind the guard that authenticates: `@UseGuards(AuthGuard, RateLimitGuard)`.
 *
 * @example
 * \@Controller("reports")
 * class Reports {
 *   \@LimitByUser(tokenBucket({ rate: 10, per: "1m" }))
 *   create() {}
 * }
 */
// biome-ignore lint/suspicious/noExplicitAny: as above
export function LimitByUser<Req = any>(
  limiter: LimiterSource<Req> | Policy,
  options?: UserOptions<Req>,
): RateLimitDecorator {
  return limitDecorator(limiter as LimiterSource<NestRequest>, options as UserOptions<NestRequest>, keyOfUser);
}

/**
 * Limits by API key (header `X-API-Key`, or `header`), hashed, by address where there is none. It does not verify keys:
 * put it behind what does, or an invented key is a fresh count.
 *
 * @example
 * \@Controller("v1")
 * \@LimitByApiKey(slidingWindow({ limit: 1000, window: "1h" }), { header: "Authorization" })
 * class Api {}
 */
// biome-ignore lint/suspicious/noExplicitAny: as above
export function LimitByApiKey<Req = any>(
  limiter: LimiterSource<Req> | Policy,
  options?: ApiKeyOptions<Req>,
): RateLimitDecorator {
  return limitDecorator(limiter as LimiterSource<NestRequest>, options as ApiKeyOptions<NestRequest>, keyOfApiKey);
}

/**
 * No limit here: of a method, none at all; of a controller, none but what its methods have themselves.
 *
 * @example
 * \@Controller("health")
 * class Health {
 *   \@SkipRateLimit()
 *   check() {}
 * }
 */
export function SkipRateLimit(): RateLimitDecorator {
  return decorator((mark) => {
    mark.skip = true;
  });
}

/** Defaults, with their limiter made. */
interface Defaults {
  readonly rule: Rule | undefined;
  readonly options: HttpOptions<NestRequest>;
}

const noDefaults: Defaults = { rule: undefined, options: {} };

/** The token of the defaults. */
const defaultsToken: unique symbol = Symbol.for("sluice.nest.defaults");

function defaultsOf({ limiter, ...options }: RateLimitDefaults = {}): Defaults {
  const rule = ruleOf(limiter ?? noLimiter, options, keyOfClient);
  return { rule: limiter === undefined ? undefined : rule, options };
}

/** Stands for the limiter that defaults do not name, so that their options are checked all the same. */
function noLimiter(): never {
  throw new Error("Nobody asks the defaults of a module that names no limiter.");
}

/** A rule in force. */
interface Applied {
  readonly rule: Rule;
  readonly guard: Guard<NestRequest>;
}

/** The rules that an HTTP request has been asked already: a guard may stand before a method more than once. */
const askedBefore = new WeakMap<object, readonly Applied[]>();

/** Those of `all` that were not asked before; from now on, they were. */
function notYetAsked(request: object, all: readonly Applied[]): readonly Applied[] {
  const before = askedBefore.get(request);
  if (before === undefined) {
    askedBefore.set(request, all);
    return all;
  }
  const fresh = all.filter(({ rule }) => !before.some((each) => each.rule === rule));
  if (fresh.length > 0) askedBefore.set(request, [...before, ...fresh]);
  return fresh;
}

/**
 * Asks the limiters that the decorators name: `@UseGuards(RateLimitGuard)` on a controller or a method suffices, and
 * `APP_GUARD` puts it everywhere. However many of them stand before a method, a request is counted once by each rule. A
 * refusal is an `HttpException`, so that your filters see it.
 *
 * HTTP and GraphQL calls are counted by their request (each guarded resolver counts). On a WebSocket or a microservice
 * the client's socket is what is known, and a refusal is a `RateLimitExceededError`. Override `exchange` for a
 * transport that keeps its request elsewhere. Guards do not see requests that no route matches, nor bodies that cannot
 * be parsed: to count those, put `rateLimit` of `sluice/express` or `sluice/fastify` before Nest.
 */
export class RateLimitGuard implements CanActivate {
  readonly #defaults: Defaults;
  readonly #applied = new WeakMap<object, WeakMap<object, readonly Applied[]>>();

  constructor(defaults?: unknown) {
    this.#defaults = (defaults as Defaults | undefined) ?? noDefaults;
  }

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const all = this.#rulesFor(context.getClass(), context.getHandler());
    if (all.length === 0) return true;
    const isHttp = context.getType<string>() === "http";
    const applied = isHttp ? notYetAsked(context.switchToHttp().getRequest<object>(), all) : all;
    return ask(applied, 0, this.exchange(context), context);
  }

  /** In force before a method, found out once. */
  #rulesFor(type: object, handler: object): readonly Applied[] {
    const ofType = this.#applied.get(type) ?? new WeakMap<object, readonly Applied[]>();
    this.#applied.set(type, ofType);
    const found =
      ofType.get(handler) ??
      rulesFor(type, handler, this.#defaults).map((rule) => ({ rule, guard: guardOf(rule, this.#defaults) }));
    ofType.set(handler, found);
    return found;
  }

  /** Where the call came from. */
  protected exchange(context: ExecutionContext): Exchange {
    const type = context.getType<string>();
    if (type === "http") {
      const http = context.switchToHttp();
      return { request: http.getRequest(), response: http.getResponse() };
    }
    if (type === "graphql") {
      const { req, request, res, reply } = context.getArgByIndex<Record<string, never>>(2);
      return { request: req ?? request ?? { headers: {} }, response: res ?? reply };
    }
    // socket.io keeps the request that opened the connection, ws its socket, TCP microservices theirs
    const client = context.getArgByIndex<{ request?: NestRequest; _socket?: NodeFacts["socket"] } | undefined>(0);
    return { request: client?.request ?? { headers: {}, socket: client?._socket }, response: undefined };
  }
}
Injectable()(RateLimitGuard);
Inject(defaultsToken)(RateLimitGuard, undefined, 0);
Optional()(RateLimitGuard, undefined, 0);

function rulesFor(type: object, handler: object, defaults: Defaults): readonly Rule[] {
  const ofMethod = marksOfMethod<Rule>(type, handler);
  if (ofMethod?.skip === true) return [];
  const ofType = marksOfClass<Rule>(type);
  const own = [...(ofType?.skip === true ? [] : (ofType?.rules ?? [])), ...(ofMethod?.rules ?? [])];
  if (own.length > 0 || ofType?.skip === true || defaults.rule === undefined) return own;
  return [defaults.rule];
}

function guardOf(rule: Rule, { options }: Defaults): Guard<NestRequest> {
  if (Object.keys(options).length === 0) return rule.guard;
  return guard(platform, rule.source, { ...options, ...rule.options }, rule.identify);
}

function ask(
  applied: readonly Applied[],
  from: number,
  exchange: Exchange,
  context: ExecutionContext,
): boolean | Promise<boolean> {
  for (let index = from; index < applied.length; index++) {
    const { guard: each } = applied[index] as Applied;
    const outcome = each.check(exchange.request);
    if (outcome instanceof Promise) {
      return outcome.then((known) => {
        carry(each, known, exchange, context);
        return ask(applied, index + 1, exchange, context);
      });
    }
    carry(each, outcome, exchange, context);
  }
  return true;
}

/** @throws HttpException, or RateLimitExceededError where there is no HTTP, for a refusal. */
function carry(asked: Guard<NestRequest>, outcome: Outcome, { response }: Exchange, context: ExecutionContext): void {
  const { refusal } = outcome;
  if (response !== undefined) carryFields(asked, outcome, "raw" in response ? nodeLike(response) : response);
  if (refusal !== undefined) throw errorFor(refusal, context.getType<string>());
}

function errorFor(refusal: Refusal, transport: string): Error {
  if (transport === "http") return refusalException(refusal);
  const { body, status, decision } = refusal;
  const error = new RateLimitExceededError(decision);
  if (transport !== "graphql") return error;
  // GraphQL writes the answer itself, and shows the exception's response beside the message
  return Object.assign(new HttpException((body ?? "") as string | object, status), { message: error.message });
}

/** Fastify's reply as Node's response, as far as a guard needs one. */
function nodeLike(reply: Reply): NodeResponse {
  const { raw } = reply;
  return {
    headersSent: reply.sent,
    // not yet known: it is read when the response has been written
    get statusCode() {
      return raw.statusCode;
    },
    getHeader: (name: string) => reply.getHeader(name),
    setHeader: (name: string, value: string) => reply.header(name, value),
    once: (event: string, listener: () => void) => raw.once(event, listener),
  } as unknown as NodeResponse;
}

/** How `RateLimitModule.forRootAsync` comes by its defaults. */
export interface AsyncDefaults extends Pick<ModuleMetadata, "imports"> {
  // biome-ignore lint/suspicious/noExplicitAny: what is injected is the caller's
  useFactory: (...injected: any[]) => RateLimitDefaults | Promise<RateLimitDefaults>;
  inject?: readonly (string | symbol | (abstract new (...args: never[]) => unknown))[];
}

/**
 * Optional defaults, for the whole application: options for every decorator, and a `limiter` for the guarded routes
 * that have no decorator of their own.
 *
 * @example
 * \@Module({
 *   imports: [RateLimitModule.forRoot({ limiter: slidingWindow({ limit: 100, window: "1m" }), exclude: ["/health"] })],
 *   providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
 * })
 * class AppModule {}
 */
// biome-ignore lint/complexity/noStaticOnlyClass: Nest wants a class
export class RateLimitModule {
  /** @throws TypeError or RangeError with a `code` for a wrong limiter or option. */
  static forRoot(defaults?: RateLimitDefaults): DynamicModule {
    const useValue = defaultsOf(defaults);
    return dynamicModule({ provide: defaultsToken, useValue }, []);
  }

  /** The same, with what is only known when the application starts. */
  static forRootAsync({ useFactory, inject = [], imports = [] }: AsyncDefaults): DynamicModule {
    const provider = {
      provide: defaultsToken,
      inject: [...inject],
      useFactory: async (...injected: unknown[]) => defaultsOf(await useFactory(...injected)),
    };
    return dynamicModule(provider as never, imports);
  }
}
Module({})(RateLimitModule);

function dynamicModule(
  provider: NonNullable<DynamicModule["providers"]>[number],
  imports: NonNullable<DynamicModule["imports"]>,
): DynamicModule {
  return {
    module: RateLimitModule,
    global: true,
    imports,
    providers: [provider, RateLimitGuard],
    exports: [defaultsToken, RateLimitGuard],
  };
}
