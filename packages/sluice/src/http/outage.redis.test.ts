import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { Redis } from "ioredis";
import { fixedWindow, rateLimiter } from "sluice";
import { rateLimit } from "sluice/express";
import { redisStore } from "sluice/redis";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { freePort, type Server, startServer } from "../../../../scripts/servers.mjs";

/** The limiter's deadline, ms; and what a busy machine may add to it before a test fails. */
const deadline = 100;
const margin = 1500;

interface Answer {
  readonly status: number;
  readonly took: number;
  /** What the headers say remains; undefined when the store did not answer. */
  readonly remaining: number | undefined;
}

describe("requests through the death of the store", () => {
  let port: number;
  let server: Server | undefined;
  let client: Redis;
  let close: () => Promise<void>;
  let get: (path: string) => Promise<Answer>;

  beforeAll(async () => {
    port = await freePort();
    client = new Redis({ port, host: "127.0.0.1", retryStrategy: () => 50 });
    client.on("error", () => {});
    const limiter = rateLimiter(fixedWindow({ limit: 1_000_000, window: "1h" }), {
      store: redisStore(client),
      timeout: deadline,
    });
    const app = express();
    app.use("/open", rateLimit(limiter));
    app.use("/closed", rateLimit(limiter, { whenStoreFails: "deny" }));
    app.use((_request, response) => {
      response.end("hello");
    });
    const http = createServer(app);
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    get = async (path) => {
      const from = performance.now();
      const response = await fetch(url + path);
      await response.text();
      const remaining = response.headers.get("x-ratelimit-remaining");
      return {
        status: response.status,
        took: performance.now() - from,
        remaining: remaining === null ? undefined : Number(remaining),
      };
    };
    close = async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      await limiter.close();
    };
  });

  afterAll(async () => {
    await close();
    client.disconnect();
    await server?.stop();
  });

  /** Requests at a steady pace for so many ms, whatever happens to the ones before. */
  async function flow(path: string, duration: number): Promise<Answer[]> {
    const asked: Promise<Answer>[] = [];
    const until = performance.now() + duration;
    while (performance.now() < until) {
      asked.push(get(path));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return Promise.all(asked);
  }

  const program = () => {
    const found = inject("program");
    if (found === undefined) throw new Error("There is no server that a test may break.");
    return found;
  };
  const start = async () => {
    server = await startServer(program(), [], port);
  };
  const recovered = () =>
    vi.waitFor(async () => expect((await get("/open")).remaining).toBeDefined(), { timeout: 15_000, interval: 50 });
  const signal = (name: NodeJS.Signals) => process.kill(server?.pid as number, name);

  /** Answered, all of them, as configured, and none much later than the deadline. */
  async function expectUnlimited(): Promise<void> {
    const open = await flow("/open", 400);
    expect(open.map(({ status }) => status)).toEqual(open.map(() => 200));
    expect(open.every(({ remaining }) => remaining === undefined)).toBe(true);
    const closed = await flow("/closed", 400);
    expect(closed.map(({ status }) => status)).toEqual(closed.map(() => 503));
    for (const { took } of [...open, ...closed]) expect(took).toBeLessThan(deadline + margin);
  }

  async function expectCounted(): Promise<void> {
    await recovered();
    const answers = await flow("/open", 300);
    expect(answers.every(({ status, remaining }) => status === 200 && remaining !== undefined)).toBe(true);
    // each is counted once: no two are told the same
    expect(new Set(answers.map(({ remaining }) => remaining)).size).toBe(answers.length);
  }

  it("starts without it, counts when it comes, and survives its pause and its end", { timeout: 90_000 }, async () => {
    await expectUnlimited();
    await start();
    await expectCounted();

    signal("SIGSTOP");
    try {
      // one request meets the pause unprepared and waits for the deadline; after that the store is known to be away
      await get("/open");
      await expectUnlimited();
    } finally {
      signal("SIGCONT");
    }
    await expectCounted();

    signal("SIGKILL");
    await vi.waitFor(async () => expect((await get("/open")).remaining).toBeUndefined(), 5000);
    await expectUnlimited();
    await start();
    await expectCounted();
  });
});
