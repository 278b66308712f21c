import { afterAll, describe, inject, it } from "vitest";
import { everyClient, type OpenClient } from "../../../test/clients.js";
import type { StoreUnderTest } from "../../testing/bench.js";
import { storeConformance } from "../../testing/conformance.js";
import { manualClock } from "../../testing/manual-clock.js";
import { redisStore, scriptClock } from "./redis.js";

/** One connection for all laws of a suite; each law has a store and a clock of its own. */
function stores(open: () => Promise<OpenClient>): () => Promise<StoreUnderTest> {
  let opened: Promise<OpenClient> | undefined;
  afterAll(async () => {
    await (await opened)?.close();
  });
  return async () => {
    opened ??= open();
    const { client } = await opened;
    const clock = manualClock(1_700_000_000_000_000);
    const store = redisStore(client, { [scriptClock]: clock } as object);
    return { store, advance: (ms) => clock.advance(ms), dispose: () => store.close() };
  };
}

const runner = { describe, it };
const [ioredis] = everyClient();

for (const { name, url } of inject("servers")) {
  storeConformance(
    `${name} through ioredis`,
    stores(() => (ioredis as NonNullable<typeof ioredis>).open(url)),
    runner,
  );
}
const nodes = inject("cluster");
if (nodes !== undefined) {
  storeConformance(
    "a cluster through ioredis",
    stores(() => (ioredis as NonNullable<typeof ioredis>).openCluster(nodes)),
    runner,
  );
}
