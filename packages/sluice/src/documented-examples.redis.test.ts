import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, inject, it, vi } from "vitest";
import { ExampleModules, entriesOf } from "../test/documented/modules.js";
import { runExample, stubSurroundings } from "../test/documented/surroundings.js";

const clients: Redis[] = vi.hoisted(() => []);

/** `new Redis()` means the server of the tests. */
vi.mock("ioredis", async (original) => {
  const actual = await original<typeof import("ioredis")>();
  class TestRedis extends actual.Redis {
    constructor() {
      super(inject("servers")[0]?.url ?? "");
      clients.push(this);
    }

    override duplicate(...options: Parameters<Redis["duplicate"]>): Redis {
      const copy = super.duplicate(...options);
      clients.push(copy);
      return copy;
    }
  }
  return { ...actual, Redis: TestRedis };
});

const examples = new ExampleModules(await entriesOf());
afterAll(() => {
  for (const client of clients) client.disconnect();
  examples.remove();
});

describe("documented examples on Redis", () => {
  beforeAll(() => examples.compile());
  stubSurroundings();

  // they keep the default deadline, which a machine that is busy otherwise may miss
  for (const example of examples.modules.filter(({ redis }) => redis)) {
    it(`${example.title} runs`, { retry: 2 }, ({ task }) => runExample(example, task.result?.retryCount));
  }
});
