import { createHash } from "node:crypto";
import { runInNewContext } from "node:vm";
import {
  type Decision,
  fixedWindow,
  memoryStore,
  type RateLimiter,
  rateLimiter,
  StoreError,
  tokenBucket,
} from "sluice";
import { addressKeys } from "sluice/http";
import { manualClock } from "sluice/testing";
import { afterEach, describe, expect, it } from "vitest";
import { rawExchange, rawStatus } from "../../test/http/raw.js";
import { adapters, type Facts, type Running, type Setup, type Stacked } from "../../test/http/servers.js";
import { parseDictionary, parseList } from "../../test/http/structured-fields.js";

/** A limiter whose time stands still, so that every number in a header is known. */
function still(limit: number, options: { window?: number; name?: string; shadow?: boolean } = {}) {
  const { window = 60_000, name = "default", shadow = false } = options;
  const clock = manualClock(1_000_000);
  const limiter = rateLimiter(fixedWindow({ limit, window, name }), { store: memoryStore({ clock }), shadow });
  return { clock, limiter };
}

/** A limiter that does what a test says in place of asking a store. */
function fake(consume: () => Promise<Decision>): RateLimiter {
  const { limiter } = still(5);
  return { policies: limiter.policies, consume, refund: async () => {} } as unknown as RateLimiter;
}

const storeDown = (): RateLimiter =>
  fake(() => Promise.reject(new StoreError("ERR_STORE_UNAVAILABLE", "connection refused")));

/** A list field as `{ name: { parameter: value } }`. */
function listOf(field: string | null): Record<string, Record<string, unknown>> {
  return Object.fromEntries(
    parseList(field ?? "").map(({ value, parameters }) => {
      expect(value).toBeTypeOf("string");
      return [value as string, Object.fromEntries(parameters)];
    }),
  );
}

describe.each(adapters)("$name", ({ start, knowsProxies }) => {
  let running: Running | undefined;
  afterEach(async () => {
    await running?.close();
    running = undefined;
  });
  const up = async (stack: Stacked | readonly Stacked[], setup?: Setup): Promise<Running> => {
    running = await start(Array.isArray(stack) ? stack : [stack as Stacked], setup);
    return running;
  };
  const get = (path: string, init?: RequestInit): Promise<Response> => fetch(`${running?.url}${path}`, init);
  const statuses = async (path: string, times: number, init?: RequestInit): Promise<number[]> => {
    const found: number[] = [];
    for (let call = 0; call < times; call++) {
      const response = await get(path, init);
      await response.arrayBuffer();
      found.push(response.status);
    }
    return found;
  };

  it("lets the limit through with every header, then refuses without invoking the handler", async () => {
    const { limiter } = still(2);
    const { handled } = await up({ limiter });
    const first = await get("/hello");
    expect(first.status).toBe(200);
    expect(await first.text()).toBe("hello");
    expect(listOf(first.headers.get("RateLimit"))).toEqual({ default: { r: 1, t: 60 } });
    expect(listOf(first.headers.get("RateLimit-Policy"))).toEqual({ default: { q: 2, w: 60 } });
    expect(first.headers.get("X-RateLimit-Limit")).toBe("2");
    expect(first.headers.get("X-RateLimit-Remaining")).toBe("1");
    expect(first.headers.get("X-RateLimit-Reset")).toBe("60");
    expect(first.headers.get("Retry-After")).toBeNull();
    await (await get("/hello")).text();

    const refused = await get("/hello");
    expect(refused.status).toBe(429);
    expect(refused.statusText).toBe("Too Many Requests");
    expect(handled()).toBe(2);
    expect(refused.headers.get("Content-Type")).toMatch(/^application\/problem\+json/);
    expect(refused.headers.get("Cache-Control")).toBe("no-store");
    expect(refused.headers.get("Retry-After")).toBe("60");
    expect(listOf(refused.headers.get("RateLimit"))).toEqual({ default: { r: 0, t: 60 } });
    expect(refused.headers.get("X-RateLimit-Remaining")).toBe("0");
    expect(await refused.json()).toMatchObject({
      type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
      title: "Too Many Requests",
      status: 429,
      "violated-policies": ["default"],
    });
  });

  it("rounds Retry-After up, and lets through at the moment it named", async () => {
    const { limiter, clock } = still(1, { window: 10_500 });
    await up({ limiter });
    await statuses("/hello", 1);
    clock.advance(9_499);
    const refused = await get("/hello");
    expect(refused.headers.get("Retry-After")).toBe("2");
    clock.advance(1_000.999);
    expect((await get("/hello")).headers.get("Retry-After")).toBe("1");
    clock.advance(0.001);
    expect(await statuses("/hello", 1)).toEqual([200]);
  });

  it("says of sub-second windows what can be said", async () => {
    await up({ limiter: still(1, { window: 250 }).limiter });
    const response = await get("/hello");
    expect(listOf(response.headers.get("RateLimit-Policy"))).toEqual({ default: { q: 1 } });
    expect(listOf(response.headers.get("RateLimit"))).toEqual({ default: { r: 0, t: 1 } });
    expect((await get("/hello")).headers.get("Retry-After")).toBe("1");
  });

  it("speaks of several policies, and names those that refused", async () => {
    const clock = manualClock(1_000_000);
    const policies = [
      fixedWindow({ limit: 2, window: "10s", name: "burst" }),
      fixedWindow({ limit: 100, window: "1d", name: "daily" }),
    ];
    await up({ limiter: rateLimiter(policies, { store: memoryStore({ clock }) }) });
    const first = await get("/hello");
    expect(listOf(first.headers.get("RateLimit-Policy"))).toEqual({
      burst: { q: 2, w: 10 },
      daily: { q: 100, w: 86_400 },
    });
    expect(listOf(first.headers.get("RateLimit"))).toEqual({ burst: { r: 1, t: 10 }, daily: { r: 99, t: 86_400 } });
    expect(first.headers.get("X-RateLimit-Limit")).toBe("2");
    expect(first.headers.get("X-RateLimit-Reset")).toBe("10");
    await statuses("/hello", 1);
    const refused = await get("/hello");
    expect(((await refused.json()) as Record<string, unknown>)["violated-policies"]).toEqual(["burst"]);
    expect(refused.headers.get("Retry-After")).toBe("10");
    const told = listOf(refused.headers.get("RateLimit"));
    expect(Object.keys(told)).toEqual(["burst", "daily"]);
    for (const { t } of Object.values(told)) if (t !== undefined) expect(t).toBeLessThanOrEqual(10);
  });

  it("sends draft 7 where that is asked for", async () => {
    await up({ limiter: still(3).limiter, options: { headers: ["draft-7"] } });
    const { headers } = await get("/hello");
    const counts = parseDictionary(headers.get("RateLimit") ?? "");
    expect([...counts].map(([name, { value }]) => [name, value])).toEqual([
      ["limit", 3],
      ["remaining", 2],
      ["reset", 60],
    ]);
    expect(headers.get("RateLimit-Policy")).toBe("3;w=60");
    expect(headers.get("X-RateLimit-Limit")).toBeNull();
  });

  it("never names a time later than Retry-After on a refusal, in draft 7 neither", async () => {
    const clock = manualClock(1_000_000);
    const bucket = rateLimiter(tokenBucket({ rate: 10, per: "10s" }), { store: memoryStore({ clock }) });
    await up({ limiter: bucket, options: { headers: ["draft-7", "legacy"], cost: 10 } });
    await statuses("/hello", 1);
    clock.advance(9_000);
    const { status, headers } = await get("/hello");
    expect(status).toBe(429);
    expect(headers.get("Retry-After")).toBe("1");
    expect(parseDictionary(headers.get("RateLimit") ?? "").get("reset")?.value).toBe(1);
    // when the quota is whole again, as ever
    expect(headers.get("X-RateLimit-Reset")).toBe("1");
  });

  it("gives the legacy reset as Unix time where that is asked for", async () => {
    await up({ limiter: still(3).limiter, options: { headers: ["legacy"], legacyReset: "epoch" } });
    const { headers } = await get("/hello");
    const ahead = Number(headers.get("X-RateLimit-Reset")) - Date.now() / 1000;
    expect(ahead).toBeGreaterThan(50);
    expect(ahead).toBeLessThan(62);
    expect(headers.get("RateLimit")).toBeNull();
  });

  it("sends nothing but Retry-After with headers: false", async () => {
    await up({ limiter: still(1).limiter, options: { headers: false } });
    const named = [...(await get("/hello")).headers.keys()].filter((name) => /rate-?limit|retry/i.test(name));
    expect(named).toEqual([]);
    const refused = await get("/hello");
    expect([...refused.headers.keys()].filter((name) => /rate-?limit|retry/i.test(name))).toEqual(["retry-after"]);
  });

  it("answers 429 without Retry-After to a cost that can never pass", async () => {
    await up({ limiter: still(2).limiter, options: { cost: 3 } });
    const refused = await get("/hello");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("Retry-After")).toBeNull();
    expect(listOf(refused.headers.get("RateLimit"))).toEqual({ default: { r: 2 } });
  });

  it("charges what cost says, at once or later", async () => {
    const cost = async (facts: { header(name: string): string | undefined }): Promise<number> =>
      Number(facts.header("x-cost"));
    await up({ limiter: still(10).limiter, options: { cost } });
    const costing = (value: string): Promise<Response> => get("/hello", { headers: { "x-cost": value } });
    expect((await costing("4")).headers.get("X-RateLimit-Remaining")).toBe("6");
    expect((await costing("7")).status).toBe(429);
    expect((await costing("6")).headers.get("X-RateLimit-Remaining")).toBe("0");
  });

  it.each(["0", "-1", "NaN", "0.5"])(
    "answers 500 to a cost of %s, which is a mistake, and charges nothing",
    async (bad) => {
      const { limiter } = still(10);
      const { handled } = await up({ limiter, options: { cost: (facts) => Number(facts.header("x-cost") ?? 1) } });
      expect((await get("/hello", { headers: { "x-cost": bad } })).status).toBe(500);
      expect(handled()).toBe(0);
      expect((await get("/hello")).headers.get("X-RateLimit-Remaining")).toBe("9");
    },
  );

  it("counts by key, and lets pass what has none", async () => {
    await up({ limiter: still(1).limiter, options: { key: async (facts) => facts.header("x-tenant") } });
    const as = (tenant: string) => statuses("/hello", 2, { headers: { "x-tenant": tenant } });
    expect(await as("a")).toEqual([200, 429]);
    expect(await as("b")).toEqual([200, 429]);
    expect(await statuses("/hello", 2)).toEqual([200, 200]);
    expect((await get("/hello")).headers.get("RateLimit")).toBeNull();
  });

  it("answers 500 when an option function throws or rejects", async () => {
    const { handled } = await up({
      limiter: still(1).limiter,
      options: {
        key: (facts) => {
          if (facts.header("x-how") === "rejects") return Promise.reject(new Error("no key"));
          throw new Error("no key");
        },
      },
    });
    expect(await statuses("/hello", 1)).toEqual([500]);
    expect(await statuses("/hello", 1, { headers: { "x-how": "rejects" } })).toEqual([500]);
    expect(handled()).toBe(0);
  });

  it.each([
    [
      "throws nothing",
      () => {
        throw undefined;
      },
    ],
    [
      "throws a text",
      () => {
        throw "route";
      },
    ],
    ["rejects with nothing", () => Promise.reject()],
    ["rejects with a text", () => Promise.reject("router")],
  ])("answers 500 when an option function %s", async (_how, fails) => {
    for (const name of ["key", "skip", "cost"] as const) {
      const { handled } = await up({ limiter: still(1).limiter, options: { [name]: fails } });
      expect(await statuses("/hello", 2), name).toEqual([500, 500]);
      expect(handled(), name).toBe(0);
      await running?.close();
    }
  });

  it("answers 500 when a cost function forgets to answer", async () => {
    const { limiter } = still(2);
    const { handled } = await up({ limiter, options: { cost: () => undefined as never } });
    expect(await statuses("/hello", 1)).toEqual([500]);
    expect(handled()).toBe(0);
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(2);
  });

  it("waits for promises of any make", async () => {
    /** Of another realm: no Promise of ours. */
    const ForeignPromise = runInNewContext("Promise") as PromiseConstructor;
    const foreign = <T>(value: T): Promise<T> => ForeignPromise.resolve(value);
    expect(foreign(1)).not.toBeInstanceOf(Promise);
    const options = {
      skip: () => foreign(false),
      key: () => foreign("one"),
      cost: () => foreign(1),
    };
    await up({ limiter: still(1).limiter, options });
    expect(await statuses("/hello", 2)).toEqual([200, 429]);
  });

  it("skips what skip says", async () => {
    const skip = async (facts: { header(name: string): string | undefined }): Promise<boolean> =>
      facts.header("x-internal") === "yes";
    await up({ limiter: still(1).limiter, options: { skip } });
    expect(await statuses("/hello", 3, { headers: { "x-internal": "yes" } })).toEqual([200, 200, 200]);
    expect(await statuses("/hello", 2)).toEqual([200, 429]);
  });

  it("excludes paths, and nothing that only looks like them", async () => {
    await up({ limiter: still(1).limiter, options: { exclude: ["/health", "/assets/*"] } });
    const ask = (target: string): Promise<number> => rawStatus(running?.port as number, target);
    for (const path of ["/health", "/health?x=/../y", "/assets/a/b", "/x/../health", "/x/%2e%2e/health", "/%68ealth"]) {
      expect(await ask(path), path).not.toBe(429);
      expect(await ask(path), path).not.toBe(429);
    }
    await ask("/hello");
    for (const path of [
      "/HEALTH",
      "/health/",
      "//health",
      "/health//x",
      "/health;x=1",
      "/health/../hello",
      "/health/%2e%2e/hello",
      "/health%2F..%2Fhello",
      "/assets%2Fa",
      "/assets",
      "/assets/../hello",
      "/assets/..%2fhello",
      "/assets/..;/hello",
    ]) {
      expect(await ask(path), path).toBe(429);
    }
  });

  it("asks the limiter that a function chooses", async () => {
    const free = still(1).limiter;
    const paid = still(2).limiter;
    await up({ limiter: async (facts) => (facts.header("x-plan") === "paid" ? paid : free) });
    expect(await statuses("/hello", 2)).toEqual([200, 429]);
    expect(await statuses("/hello", 3, { headers: { "x-plan": "paid" } })).toEqual([200, 200, 429]);
  });

  it("answers 500 when a function chooses what is no limiter", async () => {
    const { handled } = await up({ limiter: () => undefined as unknown as RateLimiter });
    expect(await statuses("/hello", 1)).toEqual([500]);
    expect(handled()).toBe(0);
  });

  it("gives a policy a limiter of its own", async () => {
    await up({ limiter: tokenBucket({ rate: 1, per: "1h", burst: 2 }) });
    expect(await statuses("/hello", 3)).toEqual([200, 200, 429]);
  });

  it("counts in both of two stacked limiters, and shows both", async () => {
    const wide = still(3, { name: "wide" });
    const narrow = still(2, { name: "narrow" });
    const { handled } = await up([{ limiter: wide.limiter }, { limiter: narrow.limiter }]);
    const first = await get("/hello");
    expect(listOf(first.headers.get("RateLimit"))).toEqual({ wide: { r: 2, t: 60 }, narrow: { r: 1, t: 60 } });
    expect(listOf(first.headers.get("RateLimit-Policy"))).toEqual({ wide: { q: 3, w: 60 }, narrow: { q: 2, w: 60 } });
    expect(first.headers.get("X-RateLimit-Limit")).toBe("2");
    expect(first.headers.get("X-RateLimit-Remaining")).toBe("1");
    expect(await statuses("/hello", 2)).toEqual([200, 429]);
    const refused = await get("/hello");
    expect(((await refused.json()) as Record<string, unknown>)["violated-policies"]).toEqual(["wide"]);
    expect(handled()).toBe(2);
  });

  it("lets no time stand that is later than the Retry-After of a refusal further in", async () => {
    const daily = still(100, { name: "daily", window: 86_400_000 });
    const burst = still(1, { name: "burst", window: 10_000 });
    await up([{ limiter: daily.limiter }, { limiter: burst.limiter }]);
    expect(listOf((await get("/hello")).headers.get("RateLimit"))).toEqual({
      daily: { r: 99, t: 86_400 },
      burst: { r: 0, t: 10 },
    });
    const refused = await get("/hello");
    expect(refused.headers.get("Retry-After")).toBe("10");
    expect(listOf(refused.headers.get("RateLimit"))).toEqual({ daily: { r: 98 }, burst: { r: 0, t: 10 } });
    // where only one can speak, the refusal does
    expect(refused.headers.get("X-RateLimit-Limit")).toBe("1");
    expect(refused.headers.get("X-RateLimit-Remaining")).toBe("0");
    expect(refused.headers.get("X-RateLimit-Reset")).toBe("10");
  });

  it("lets none stand before a refusal that sends no fields of its own, and no name suffers", async () => {
    const name = 'daily";t=99999, "\\';
    const daily = still(100, { name, window: 86_400_000 });
    const burst = still(1, { name: "burst", window: 10_000 });
    await up([{ limiter: daily.limiter }, { limiter: burst.limiter, options: { headers: false } }]);
    await statuses("/hello", 1);
    const refused = await get("/hello");
    expect(refused.headers.get("Retry-After")).toBe("10");
    expect(listOf(refused.headers.get("RateLimit"))).toEqual({ [name]: { r: 98 } });
  });

  it("refunds once, on a definite response", async () => {
    const { limiter } = still(2);
    await up({ limiter, options: { refundWhen: (_facts, status) => status < 400 } });
    expect(await statuses("/hello", 5)).toEqual([200, 200, 200, 200, 200]);
    expect(await statuses("/status/401", 3)).toEqual([401, 401, 429]);
  });

  it("gives back what the request itself spent, and nobody else's", async () => {
    const { limiter, clock } = still(2, { window: 1000 });
    let letGo = (): void => {};
    const later = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const { limiter: wide } = still(5);
    // further in, one request is kept until it is let go
    const keeps = {
      ...fake(() => Promise.reject(new Error("not asked"))),
      consume: async (key: string) => {
        if (key === "slow") await later;
        return wide.consumeSync(key);
      },
    } as RateLimiter;
    await up([
      { limiter, options: { refundWhen: (_facts, status) => status < 400 } },
      { limiter: keeps, options: { headers: false, key: (facts) => facts.header("x-who") ?? "fast" } },
    ]);
    const slowOne = get("/hello", { headers: { "x-who": "slow" } });
    await expect.poll(async () => (await limiter.peek("ip=127.0.0.1")).remaining).toBe(1);
    clock.advance(1000);
    expect(await statuses("/status/401", 1)).toEqual([401]);
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(1);
    letGo();
    expect((await slowOne).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(1);
  });

  it("waits for what refundWhen promises", async () => {
    const refundWhen = async (_facts: Facts, status: number): Promise<boolean> => status === 404;
    await up({ limiter: still(2).limiter, options: { refundWhen: refundWhen as never } });
    expect(await statuses("/hello", 3)).toEqual([200, 200, 429]);
  });

  it("answers although refundWhen throws", async () => {
    await up({
      limiter: still(2).limiter,
      options: {
        refundWhen: () => {
          throw new Error("refundWhen failed");
        },
      },
    });
    expect(await statuses("/hello", 3)).toEqual([200, 200, 429]);
  });

  it("sends a body of one's own", async () => {
    await up({ limiter: still(1).limiter, options: { deny: async (_facts, { policy }) => ({ error: policy }) } });
    await statuses("/hello", 1);
    const refused = await get("/hello");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("Content-Type")).toMatch(/^application\/json/);
    expect(refused.headers.get("Cache-Control")).toBe("no-store");
    expect(refused.headers.get("Retry-After")).toBe("60");
    expect(await refused.json()).toEqual({ error: "default" });
  });

  it.each([
    ["text", "slow down", /^text\/plain/, "slow down"],
    ["bytes", new Uint8Array([104, 105]), /^application\/octet-stream/, "hi"],
    ["nothing", undefined, /^(?!application\/json)/, ""],
    ["a list", ["slow", "down"], /^application\/json/, '["slow","down"]'],
    ["a number", 5, /^application\/json/, "5"],
  ])("sends %s as it is", async (_what, own, type, expected) => {
    await up({ limiter: still(1).limiter, options: { deny: () => own } });
    await statuses("/hello", 1);
    const refused = await get("/hello");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("Content-Type") ?? "").toMatch(type);
    expect(refused.headers.get("Retry-After")).toBe("60");
    expect(await refused.text()).toBe(expected);
    const head = await get("/hello", { method: "HEAD" });
    expect(head.status).toBe(429);
  });

  it.each([
    ["a bigint", () => ({ waited: 5n })],
    [
      "a circle",
      () => {
        const circle: Record<string, unknown> = {};
        circle["self"] = circle;
        return circle;
      },
    ],
    ["a function", () => () => {}],
  ])("sends the default body where deny gives %s", async (_what, deny) => {
    await up({ limiter: still(1).limiter, options: { deny } });
    await statuses("/hello", 1);
    const refused = await get("/hello");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("Content-Type")).toMatch(/^application\/problem\+json/);
    expect(await refused.json()).toMatchObject({ status: 429 });
  });

  it("only watches in shadow mode", async () => {
    const { limiter } = still(1, { shadow: true });
    await up({ limiter, options: { refundWhen: (_facts, status) => status === 404 } });
    expect(await statuses("/hello", 3)).toEqual([200, 200, 200]);
    expect((await get("/hello")).headers.get("X-RateLimit-Remaining")).toBe("0");
    // a would-be refusal charged nothing, so there is nothing to give back
    await statuses("/status/404", 1);
    expect((await limiter.peek("ip=127.0.0.1")).remaining).toBe(0);
  });

  it("fails open without counts in the headers", async () => {
    const { handled } = await up({ limiter: storeDown() });
    const response = await get("/hello");
    expect(response.status).toBe(200);
    expect(handled()).toBe(1);
    expect([...response.headers.keys()].filter((name) => /rate-?limit|retry/i.test(name))).toEqual([]);
  });

  it("fails closed with 503 where that is asked for", async () => {
    const { handled } = await up({ limiter: storeDown(), options: { whenStoreFails: "deny" } });
    const response = await get("/hello");
    expect(response.status).toBe(503);
    expect(handled()).toBe(0);
    expect(response.headers.get("Cache-Control")).toBe("no-store");
    expect(response.headers.get("Retry-After")).toBe("1");
    expect(response.headers.get("Content-Type")).toMatch(/^application\/problem\+json/);
    expect(await response.json()).toMatchObject({
      type: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
      status: 503,
    });
  });

  it("does what the limiter itself says when its store fails", async () => {
    const { limiter } = still(1);
    const allowed = limiter.consumeSync("a");
    const refused = limiter.consumeSync("a");
    const unknown = { limit: 1, remaining: 0, resetAfter: 0, degraded: true, policy: "default", parts: [] };
    const answers: Record<string, Decision> = {
      allow: { ...unknown, allowed: true, retryAfter: 0 },
      deny: { ...unknown, allowed: false, retryAfter: 1000 },
      "another allows": { ...allowed, parts: allowed.parts, degraded: true },
      "another refuses": { ...refused, parts: refused.parts, degraded: true },
    };
    const limiterFor = (facts: Facts) => fake(async () => answers[facts.header("x-answer") ?? ""] as Decision);
    await up({ limiter: limiterFor });
    const expected = { allow: 200, deny: 503, "another allows": 200, "another refuses": 429 };
    for (const [answer, status] of Object.entries(expected)) {
      const response = await get("/hello", { headers: { "x-answer": answer } });
      expect(response.status, answer).toBe(status);
      // a stand-in's counts are not the limit's
      expect(response.headers.get("ratelimit"), answer).toBeNull();
      expect(response.headers.get("x-ratelimit-remaining"), answer).toBeNull();
      // an outage lasts as long as it lasts: a second later is worth a try
      expect(response.headers.get("retry-after"), answer).toBe({ 200: null, 429: "60", 503: "1" }[status] ?? null);
    }
  });

  it("answers 500, not 200, when the limiter fails in a way that is no store's", async () => {
    const { handled } = await up({ limiter: fake(() => Promise.reject(new RangeError("a mistake"))) });
    expect(await statuses("/hello", 1)).toEqual([500]);
    expect(handled()).toBe(0);
  });

  it("waits for the limiter's answer, no longer, and loses no request meanwhile", async () => {
    let settle: (() => void) | undefined;
    const answered = new Promise<never>((_, reject) => {
      settle = () => reject(new StoreError("ERR_STORE_TIMEOUT", "too late"));
    });
    let asked = 0;
    const limiter = fake(() => {
      asked += 1;
      return answered;
    });
    const { handled } = await up({ limiter });
    const waiting = Array.from({ length: 20 }, () => get("/hello"));
    await expect.poll(() => asked).toBe(20);
    expect(handled()).toBe(0);
    settle?.();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(waiting.map(() => 200));
    expect(handled()).toBe(20);
  });

  it("counts every one of many concurrent requests", async () => {
    const { handled } = await up({ limiter: still(10).limiter });
    const found = (await Promise.all(Array.from({ length: 60 }, () => get("/hello")))).map(({ status }) => status);
    expect(found.filter((status) => status === 200)).toHaveLength(10);
    expect(found.filter((status) => status === 429)).toHaveLength(50);
    expect(handled()).toBe(10);
  });

  it("counts HEAD and OPTIONS with GET, and sends them no body", async () => {
    await up({ limiter: still(2).limiter });
    const head = await get("/hello", { method: "HEAD" });
    expect(head.status).toBe(200);
    expect(head.headers.get("X-RateLimit-Remaining")).toBe("1");
    expect((await get("/hello", { method: "OPTIONS" })).headers.get("X-RateLimit-Remaining")).toBe("0");
    const refused = await get("/hello", { method: "HEAD" });
    expect(refused.status).toBe(429);
    expect(refused.headers.get("Retry-After")).toBe("60");
    expect(await refused.text()).toBe("");
  });

  it("keeps the fields on a 304", async () => {
    await up({ limiter: still(2).limiter });
    const response = await get("/cached", { headers: { "if-none-match": '"1"', "cache-control": "no-cache" } });
    expect(response.status).toBe(304);
    expect(listOf(response.headers.get("RateLimit"))).toEqual({ default: { r: 1, t: 60 } });
  });

  it("leaves streams as they are", async () => {
    await up({ limiter: still(1).limiter });
    const response = await get("/stream");
    expect(listOf(response.headers.get("RateLimit"))).toEqual({ default: { r: 0, t: 60 } });
    expect(await response.text()).toBe("one two three");
  });

  it("counts what is not found", async () => {
    await up({ limiter: still(2).limiter });
    expect(await statuses("/missing", 3)).toEqual([404, 404, 429]);
  });

  it("counts requests whose handler fails", async () => {
    await up({ limiter: still(2).limiter });
    expect(await statuses("/throw", 3)).toEqual([500, 500, 429]);
  });

  it("answers pipelined requests in order, each counted, bodies of refused ones passed over", async () => {
    await up({ limiter: still(2).limiter });
    const one = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nabcde`;
    const last = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    const received = await rawExchange(
      running?.port as number,
      one("/status/201") + one("/status/202") + one("/status/203") + last,
    );
    expect([...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual([
      "201",
      "202",
      "429",
      "429",
    ]);
  });

  describe("keys", () => {
    it("counts users apart from addresses", async () => {
      await up({
        helper: "limitByUser",
        limiter: still(1).limiter,
        options: { user: (facts) => facts.header("x-user") },
      });
      const as = (user: string) => statuses("/hello", 2, { headers: { "x-user": user } });
      expect(await as("127.0.0.1")).toEqual([200, 429]);
      expect(await as("ip=127.0.0.1")).toEqual([200, 429]);
      // nobody identified: by address
      expect(await statuses("/hello", 2)).toEqual([200, 429]);
    });

    it("counts API keys by their hash, apart from users and addresses", async () => {
      const { limiter } = still(1);
      await up({ helper: "limitByApiKey", limiter });
      const as = (key: string) => statuses("/hello", 2, { headers: { "x-api-key": key } });
      expect(await as("secret-one")).toEqual([200, 429]);
      expect(await as("secret-two")).toEqual([200, 429]);
      expect(await statuses("/hello", 2)).toEqual([200, 429]);
      expect((await limiter.peek("api-key=secret-one")).remaining).toBe(1);
      const hash = createHash("sha256").update("secret-one").digest("base64url");
      expect((await limiter.peek(`api-key=${hash}`)).remaining).toBe(0);
    });

    it("reads the API key where it is told to", async () => {
      await up({ helper: "limitByApiKey", limiter: still(1).limiter, options: { header: "Authorization" } });
      expect(await statuses("/hello", 2, { headers: { authorization: "Bearer one" } })).toEqual([200, 429]);
      expect(await statuses("/hello", 2, { headers: { authorization: "Bearer two" } })).toEqual([200, 429]);
    });

    it("does not believe a forwarded address that nobody was told to trust", async () => {
      await up({ limiter: still(1).limiter });
      const from = (address: string) => statuses("/hello", 1, { headers: { "x-forwarded-for": address } });
      expect([await from("203.0.113.1"), await from("203.0.113.2"), await from("garbage")]).toEqual([
        [200],
        [429],
        [429],
      ]);
    });

    it("counts the address that a trusted proxy gives, however it is written", async () => {
      // where the framework knows of no proxies, `key` says whom to count
      const keyOf = addressKeys();
      const options = knowsProxies
        ? {}
        : { key: (facts: Facts) => keyOf(facts.header("x-forwarded-for")?.split(",").at(-1)) };
      await up({ limiter: still(1).limiter, options }, { trustProxy: true });
      const from = (address: string) => statuses("/hello", 1, { headers: { "x-forwarded-for": address } });
      expect([await from("203.0.113.1"), await from("203.0.113.2"), await from("203.0.113.2")]).toEqual([
        [200],
        [200],
        [429],
      ]);
      // only the last hop is the proxy's own word
      expect(await from("198.51.100.9, 203.0.113.2")).toEqual([429]);
      // one client, however its address is written
      expect([await from("::ffff:203.0.113.1"), await from("::ffff:cb00:7101")]).toEqual([[429], [429]]);
      expect([await from("2001:db8:1:2::3"), await from("2001:DB8:1:2:ffff::4")]).toEqual([[200], [429]]);
      expect(await from("2001:db8:1:3::3")).toEqual([200]);
    });
  });
});
