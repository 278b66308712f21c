import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, describe, expect, inject, it } from "vitest";
import { fixedWindow } from "../../algorithms/fixed-window/fixed-window.js";
import { slidingCounter } from "../../algorithms/sliding-counter/sliding-counter.js";
import { slidingWindow } from "../../algorithms/sliding-window/sliding-window.js";
import { tokenBucket } from "../../algorithms/token-bucket/token-bucket.js";
import { limiterScript } from "./programs.gen.js";
import { checkedReply, encodePolicy, figuresPerLog } from "./replay.js";

// The script has a way of its own for a key that is asked alone (lone.lua). It must be a short cut and no more: the same
// rows in, the same answer and the same rows out as in a batch of one at the same moment.

const [server] = inject("servers");
const client = new Redis((server as { url: string }).url);
afterAll(() => client.disconnect());

async function answerOf(key: string, args: readonly (string | number)[]): Promise<unknown> {
  return client.eval(limiterScript.text, 1, key, ...args).catch((error: Error) => error);
}

/** A row's columns: around now, far off, small, or no whole number at all. */
const column = fc.oneof(
  fc.integer({ min: -70_000, max: 70_000 }).map((ms) => String((Date.now() + ms) * 1000 + 7)),
  fc.nat(20).map(String),
  fc.constantFrom("9007199254740991", "9007199254740992", "-5", "0.5", "1e3", "0x10", "nan", "inf", "hello", "!", ""),
);
const row = fc.oneof(
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 6, arbitrary: fc.array(column, { minLength: 1, maxLength: 6 }).map((columns) => columns.join(" ")) },
);

describe("a lone call decides as a batch of one", () => {
  it.each([
    ["token bucket", tokenBucket({ rate: 3, per: "1m" })],
    ["token bucket, ticks no whole µs", tokenBucket({ rate: 7, per: "1m" })],
    ["token bucket by intervals", tokenBucket({ rate: 3, per: "1m", refill: "interval" })],
    ["fixed window", fixedWindow({ limit: 3, window: "1m" })],
    ["sliding counter", slidingCounter({ limit: 3, window: "1m" })],
    ["sliding window", slidingWindow({ limit: 3, window: "1m" })],
  ])("%s", async (_, policy) => {
    const encoded = encodePolicy(policy);
    const figures = policy.algorithm === "sliding-window" ? figuresPerLog : 1;
    await fc.assert(
      fc.asyncProperty(row, async (text) => {
        const [alone, batched] = [`lone:${randomUUID()}`, `lone:${randomUUID()}`] as const;
        if (text !== null) for (const key of [alone, batched]) await client.set(key, text, "PX", 60_000);
        const batch = (moment: number) => answerOf(batched, ["consume", moment, `[${encoded}]`, -1]);
        const told = await answerOf(alone, [encoded]);
        if (told instanceof Error) {
          // what is no row of this algorithm at all
          expect(await batch(Date.now() * 1000)).toBeInstanceOf(Error);
        } else {
          const [moment, ...rest] = checkedReply(told, figures);
          expect(await batch(Number(moment))).toEqual([Number(moment), ...rest]);
          const dumps = await client.mget(alone, batched);
          expect(dumps[0]).toBe(dumps[1]);
          expect(await client.type(alone)).toBe(await client.type(batched));
          expect(await client.pttl(alone)).toBeGreaterThan(0);
        }
        await client.del(alone, batched);
      }),
      { numRuns: 300 },
    );
  });
});
