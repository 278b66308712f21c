import { Redis } from "ioredis";
import { fixedWindow, type RateLimiter, rateLimiter } from "sluice";
import { redisStore } from "sluice/redis";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { freePort, type Server, startServer } from "../../../../scripts/servers.mjs";
import { adapters, type Running } from "../../test/http/servers.js";

/** The limiter's deadline, and what a request may take beyond it, ms. */
const deadline = 100;
const margin = 50;

/**
 * Notices when this process, which holds client and server, does not get to run: the machine is shared, and what it keeps
 * from everybody is not what the limiter keeps from a request.
 */
class Probe {
  readonly #every = 5;
  readonly #stalls: { from: number; to: number }[] = [];
  readonly #timer: NodeJS.Timeout;
  #last = performance.now();

  constructor() {
    this.#timer = setInterval(() => {
      const now = performance.now();
      if (now - this.#last > 2 * this.#every) this.#stalls.push({ from: this.#last + this.#every, to: now });
      this.#last = now;
    }, this.#every);
  }

  /** ms of standstill within a stretch of time. */
  stalled(from: number, to: number): number {
    return this.#stalls.reduce(
      (sum, stall) => sum + Math.max(0, Math.min(to, stall.to) - Math.max(from, stall.from)),
      0,
    );
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

interface Answer {
  readonly status: number;
  /** ms, without those in which the process stood still. */
  readonly took: number;
  /** What the headers say remains; undefined when the store did not answer. */
  readonly remaining: number | undefined;
}

interface Door {
  readonly name: string;
  readonly open: Running;
  readonly closed: Running;
  readonly bare: Running;
}

describe("requests through the death of the store, at every adapter's door", () => {
  let port: number;
  let server: Server | undefined;
  let client: Redis;
  let limiter: RateLimiter;
  const probe = new Probe();
  const doors: Door[] = [];

  beforeAll(async () => {
    port = await freePort();
    client = new Redis({ port, host: "127.0.0.1", retryStrategy: () => 50 });
    client.on("error", () => {});
    limiter = rateLimiter(fixedWindow({ limit: 1_000_000, window: "1h" }), {
      store: redisStore(client),
      timeout: deadline,
    });
    for (const { name, start } of adapters) {
      doors.push({
        name,
        open: await start([{ limiter }]),
        closed: await start([{ limiter, options: { whenStoreFails: "deny" } }]),
        bare: await start([]),
      });
    }
  });

  afterAll(async () => {
    probe.stop();
    for (const { open, closed, bare } of doors) await Promise.all([open, closed, bare].map((each) => each.close()));
    await limiter.close();
    client.disconnect();
    await server?.stop();
  });

  async function ask({ url }: Running): Promise<Answer> {
    const from = performance.now();
    const response = await fetch(`${url}/hello`);
    await response.arrayBuffer();
    const to = performance.now();
    // a standstill that is not over yet is noticed in the next turn
    await new Promise((resolve) => setTimeout(resolve, 15));
    const remaining = response.headers.get("x-ratelimit-remaining");
    return {
      status: response.status,
      took: to - from - probe.stalled(from, to),
      remaining: remaining === null ? undefined : Number(remaining),
    };
  }

  /** Requests at a steady pace, whatever happens to the ones before. */
  async function flow(running: Running, requests: number): Promise<Answer[]> {
    const asked: Promise<Answer>[] = [];
    for (let sent = 0; sent < requests; sent++) {
      asked.push(ask(running));
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
  const signal = (name: NodeJS.Signals) => process.kill(server?.pid as number, name);
  const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

  /**
   * Answered, all of them, as configured. None took longer than the deadline and 50 ms more than a request to the same
   * handler without a limiter takes at that time.
   */
  async function expectUnlimited(asked: readonly Door[] = doors): Promise<void> {
    for (const { name, open, closed, bare } of asked) {
      const [opened, refused, plain] = await Promise.all([flow(open, 12), flow(closed, 12), flow(bare, 12)]);
      expect(
        opened.map(({ status, remaining }) => [status, remaining]),
        name,
      ).toEqual(opened.map(() => [200, undefined]));
      expect(
        refused.map(({ status }) => status),
        name,
      ).toEqual(refused.map(() => 503));
      const slowest = Math.max(...[...opened, ...refused].map(({ took }) => took));
      expect(slowest, name).toBeLessThan(deadline + margin + median(plain.map(({ took }) => took)));
    }
  }

  /** Counting resumes by itself. */
  const recovered = async ({ open }: Door): Promise<void> =>
    vi.waitFor(async () => expect((await ask(open)).remaining).toBeDefined(), { timeout: 15_000, interval: 50 });

  /** And each request is counted once: no two are told the same. */
  async function expectCounted(): Promise<void> {
    await recovered(doors[0] as Door);
    const left: (number | undefined)[] = [];
    for (const { name, open, closed } of doors) {
      const answers = (await Promise.all([flow(open, 5), flow(closed, 5)])).flat();
      expect(
        answers.map(({ status }) => status),
        name,
      ).toEqual(answers.map(() => 200));
      left.push(...answers.map(({ remaining }) => remaining));
    }
    expect(left).not.toContain(undefined);
    expect(new Set(left).size).toBe(left.length);
  }

  it("starts without it, counts when it comes, and survives its pause and its end", { timeout: 180_000 }, async () => {
    await expectUnlimited();
    await start();
    await expectCounted();

    // at each door some meet a pause unprepared and wait for the deadline; after that the store is known to be away
    for (const door of doors) {
      await recovered(door);
      signal("SIGSTOP");
      try {
        await expectUnlimited([door]);
      } finally {
        signal("SIGCONT");
      }
    }
    await expectCounted();

    signal("SIGKILL");
    await vi.waitFor(async () => expect((await ask((doors[0] as Door).open)).remaining).toBeUndefined(), 5000);
    await expectUnlimited();
    await start();
    await expectCounted();
  });
});
