import { Redis } from "ioredis";
import { fixedWindow, rateLimiter } from "sluice";
import { describe, expect, inject, it, vi } from "vitest";
import { freePort, startServer } from "../../../../scripts/servers.mjs";
import { redisStore } from "../stores/redis/redis.js";
import { configFromEnv, limiterFromConfig } from "./index.js";
import { connectRedis } from "./redis-client.js";

/** An import that finds only these packages. */
const only =
  (...installed: string[]) =>
  async (name: string): Promise<object> => {
    if (installed.includes(name)) return (await import(name)) as object;
    throw Object.assign(new Error(`Cannot find package '${name}'`), { code: "ERR_MODULE_NOT_FOUND" });
  };

describe.each(inject("servers"))("limiterFromConfig on $name", ({ url }) => {
  const config = (environment: Record<string, string> = {}) =>
    configFromEnv({
      RATELIMIT_REDIS_URL: url,
      RATELIMIT_RATE: "2",
      RATELIMIT_PERIOD: "1h",
      RATELIMIT_TIMEOUT: "2s",
      RATELIMIT_KEY_PREFIX: `config-${process.pid}-${Math.random().toString(36).slice(2)}`,
      ...environment,
    });

  it("counts there, across limiters", async () => {
    const same = config();
    await using one = await limiterFromConfig(same);
    await using other = await limiterFromConfig(same);
    expect((await one.consume("a")).allowed).toBe(true);
    expect((await other.consume("a")).allowed).toBe(true);
    expect((await one.consume("a")).allowed).toBe(false);
    expect((await other.consume("b")).allowed).toBe(true);
  });

  it("closes its own client", async () => {
    const { client, close } = await connectRedis(url);
    const { status } = client as { status: string };
    expect(status).toBe("ready");
    await close();
    await vi.waitFor(() => expect((client as { status: string }).status).toBe("end"));
    const limiter = await limiterFromConfig(config());
    await limiter.close();
    await expect(limiter.consume("a")).rejects.toMatchObject({ code: "ERR_CLOSED" });
  });

  it("takes node-redis where ioredis is not installed", async () => {
    const { client, close } = await connectRedis(url, only("redis"));
    await using limiter = rateLimiter(fixedWindow({ limit: 2, window: "1h" }), {
      store: redisStore(client, { prefix: config().keyPrefix }),
    });
    expect((await limiter.consume("a")).remaining).toBe(1);
    await close();
    await close();
    expect((client as { isOpen: boolean }).isOpen).toBe(false);
  });
});

describe("limiterFromConfig", () => {
  const away = (port: number, environment: Record<string, string> = {}) =>
    configFromEnv({ RATELIMIT_REDIS_URL: `redis://127.0.0.1:${port}`, ...environment });

  it("starts although the server is away, answers as configured, and counts once it is there", async () => {
    const program = inject("program");
    expect(program).toBeDefined();
    const port = await freePort();
    await using limiter = await limiterFromConfig(
      away(port, { RATELIMIT_WHEN_STORE_FAILS: "allow", RATELIMIT_RATE: "1", RATELIMIT_PERIOD: "1h" }),
    );
    const before = performance.now();
    expect(await limiter.consume("a")).toMatchObject({ allowed: true, degraded: true });
    expect(performance.now() - before).toBeLessThan(1000);
    const server = await startServer(program, [], port);
    try {
      await vi.waitFor(async () => expect((await limiter.consume("b")).degraded).toBe(false), 15_000);
      expect(await limiter.consume("b")).toMatchObject({ allowed: false, degraded: false });
    } finally {
      await server.stop();
    }
  });

  it("throws StoreError by default, and denies where that is configured", async () => {
    const port = await freePort();
    await using throwing = await limiterFromConfig(away(port));
    await expect(throwing.consume("a")).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_STORE_/) });
    await using denying = await limiterFromConfig(away(port, { RATELIMIT_WHEN_STORE_FAILS: "deny" }));
    expect(await denying.consume("a")).toMatchObject({ allowed: false, degraded: true });
  });

  it("tells the operator why there is no connection, and not the password", async () => {
    const said: string[] = [];
    const warning = vi.spyOn(process, "emitWarning").mockImplementation((text) => {
      said.push(String(text));
    });
    const port = await freePort();
    const server = await startServer(inject("program"), ["--requirepass", "right"], port);
    const url = `redis://:hunter2@127.0.0.1:${port}`;
    try {
      for (const name of ["ioredis", "redis"]) {
        vi.resetModules();
        const fresh = await import("./redis-client.js");
        said.length = 0;
        const { close } = await fresh.connectRedis(url, only(name));
        await vi.waitFor(() => expect(said).toContainEqual(expect.stringMatching(/cannot connect.*WRONGPASS/)));
        expect(said.join()).not.toContain("hunter2");
        await close();
      }
    } finally {
      warning.mockRestore();
      await server.stop();
    }
  });

  it("closes its client even where the limiter cannot close", async () => {
    const port = await freePort();
    const server = await startServer(inject("program"), [], port);
    const limiter = await limiterFromConfig(away(port));
    await limiter.consume("a");
    vi.spyOn((limiter as unknown as { gate: { driver: { leave(): void } } }).gate.driver, "leave").mockImplementation(
      () => {
        throw new Error("cannot leave");
      },
    );
    await expect(limiter.close()).rejects.toThrow("cannot leave");
    const witness = new Redis({ port, host: "127.0.0.1" });
    try {
      await vi.waitFor(async () =>
        expect(
          String(await witness.client("LIST"))
            .trim()
            .split("\n"),
        ).toHaveLength(1),
      );
    } finally {
      witness.disconnect();
      await server.stop();
    }
  });

  it("says what to install where there is no client", async () => {
    await expect(connectRedis("redis://127.0.0.1", only())).rejects.toThrow(/npm install ioredis/);
  });

  it("does not take a client that is broken for one that is missing", async () => {
    const broken = () => Promise.reject(new SyntaxError("broken"));
    await expect(connectRedis("redis://127.0.0.1", broken)).rejects.toThrow("broken");
  });
});
