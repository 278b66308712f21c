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

// The script has a way of its own for a key that is asked alone (lone.lua), and some algorithms a short form of their step.
// These must be short cuts and no more: the same rows in, the same answer and the same rows out as the whole step gives.

const [server] = inject("servers");
const client = new Redis((server as { url: string }).url);
afterAll(() => client.disconnect());

async function answerOf(key: string, args: readonly (string | number)[]): Promise<unknown> {
  return client.eval(limiterScript.text, 1, key, ...args).catch((error: Error) => error);
}

const broken = fc.constantFrom("9007199254740992", "-5", "0.5", "nan", "inf", "hello", "!", "");
const count = fc.nat(20).map(String);
const stamp = fc.integer({ min: -70_000, max: 70_000 }).map((ms) => String((Date.now() + ms) * 1000 + 7));
/** A row: moments around now, and in its second column, sometimes in its third, what was counted; or no row at all. */
const row = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(null, "4503599627370496", "1e3", "0x10", " 12 ") },
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        fc.oneof(stamp, count, broken),
        fc.oneof(count, broken),
        fc.oneof(stamp, count, broken),
        fc.oneof(stamp, count),
        fc.oneof(stamp, count),
      )
      .chain((columns) => fc.integer({ min: 1, max: 5 }).map((length) => columns.slice(0, length).join(" "))),
  },
);

describe("a lone call decides as the whole step", () => {
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
        const [alone, twin] = [`lone:${randomUUID()}`, `lone:${randomUUID()}`] as const;
        if (text !== null) for (const key of [alone, twin]) await client.set(key, text, "PX", 60_000);
        const whole = (moment: number) => answerOf(twin, ["consume", moment, `[${encoded}]`, 1, 1, 1]);
        const told = await answerOf(alone, [encoded]);
        if (told instanceof Error) {
          // what is no row of this algorithm at all
          expect(await whole(Date.now() * 1000)).toBeInstanceOf(Error);
        } else {
          const [moment, ...rest] = checkedReply(told, figures);
          expect(await whole(Number(moment))).toEqual([Number(moment), ...rest]);
          const dumps = await client.mget(alone, twin);
          expect(dumps[0]).toBe(dumps[1]);
          expect(await client.type(alone)).toBe(await client.type(twin));
          expect(await client.pttl(alone)).toBeGreaterThan(0);
        }
        await client.del(alone, twin);
      }),
      { numRuns: 300 },
    );
  });
});
