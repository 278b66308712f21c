import { afterAll, describe, inject, it } from "vitest";
import { everyClient, type OpenClient } from "../../../test/clients.js";
import { laws, storeConformance } from "../../testing/conformance.js";
import { manualClock } from "../../testing/manual-clock.js";
import { redisStore, scriptClock } from "./redis.js";

// The laws through every client; the first has them whole, on every server, in conformance.redis.test.ts.

const [server] = inject("servers");
const [, ...others] = everyClient();

for (const library of others) {
  let opened: Promise<OpenClient> | undefined;
  storeConformance(
    library.name,
    async () => {
      opened ??= library.open((server as { url: string }).url);
      const { client } = await opened;
      const clock = manualClock(1_700_000_000_000_000);
      const store = redisStore(client, { [scriptClock]: clock } as object);
      return { store, advance: (ms) => clock.advance(ms), dispose: () => store.close() };
    },
    { describe, it, effort: 0.1 },
  );
  afterAll(async () => {
    await (await opened)?.close();
  });
}

/** Laws that need a clock which can be moved: they hold above. */
const moving = new Set(laws.filter(({ moves }) => moves).map(({ name }) => name));

// And by the server's own clock, which no test moves: with everything on that is on by default, and without batches.
for (const [name, options] of [
  ["by the server's clock", {}],
  ["by the server's clock, each call alone", { batch: false, denialCache: false }],
] as const) {
  const [library] = everyClient();
  let opened: Promise<OpenClient> | undefined;
  storeConformance(
    name,
    async () => {
      opened ??= (library as NonNullable<typeof library>).open((server as { url: string }).url);
      const { client } = await opened;
      const store = redisStore(client, options);
      return { store, dispose: () => store.close() };
    },
    {
      describe,
      it: (law, body) => (moving.has(law) ? undefined : it(law, () => body())),
    },
  );
  afterAll(async () => {
    await (await opened)?.close();
  });
}
