/** One process of a fleet: does what its parent orders, with a store and a client of its own. */
import { type RateLimiter, rateLimiter } from "../../src/index.js";
import { redisStore } from "../../src/stores/redis/redis.js";
import { everyClient } from "../clients.js";
import { kinds, type Order, type Report, type Tally } from "./orders.js";

const [url, client, skew] = process.argv.slice(2) as [string, string, string];

/** Both clocks of this process run so many ms off. */
const off = Number(skew);
const [date, monotonic] = [Date.now.bind(Date), performance.now.bind(performance)];
Date.now = () => date() + off;
performance.now = () => monotonic() + Math.max(0, off);

const library = everyClient().find(({ name }) => name === client);
if (library === undefined) throw new Error(`no client ${client}`);
const opened = await library.open(url);
const stores = new Map<string, ReturnType<typeof redisStore>>();
const limiters = new Map<string, RateLimiter>();
const waiting = new Map<number, AbortController>();

const nothing: Tally = { allowed: 0, refused: 0, failed: 0 };
const say = (report: Report): void => void process.send?.(report);

function limiterOf({ kind, name, limit, window, options }: Order): RateLimiter {
  const like = JSON.stringify(options ?? {});
  const store = stores.get(like) ?? redisStore(opened.client, options);
  stores.set(like, store);
  const id = `${name} ${like}`;
  const limiter = limiters.get(id) ?? rateLimiter(kinds[kind]({ limit, window }), { store, name, timeout: "10s" });
  limiters.set(id, limiter);
  return limiter;
}

async function carryOut(order: Order): Promise<Tally> {
  const tally = { allowed: 0, refused: 0, failed: 0 };
  const limiter = limiterOf(order);
  const { verb, key, count = 1, lasting = 0, id = 0 } = order;
  const consume = async (): Promise<void> => {
    try {
      const { allowed } = await limiter.consume(key);
      tally[allowed ? "allowed" : "refused"] += 1;
    } catch {
      tally.failed += 1;
    }
  };
  if (verb === "consume") await Promise.all(Array.from({ length: count }, consume));
  if (verb === "load") {
    const end = monotonic() + lasting;
    const caller = async (): Promise<void> => {
      while (monotonic() < end) await consume();
    };
    await Promise.all(Array.from({ length: count }, caller));
  }
  if (verb === "wait") {
    const controller = new AbortController();
    waiting.set(id, controller);
    const end = (outcome: string): void => say({ ended: id, outcome, at: Number(process.hrtime.bigint()) / 1e6 });
    limiter.wait(key, { signal: controller.signal }).then(
      () => end("granted"),
      (error: Error) => end(error.name),
    );
    // a later question on the same connection: once it is answered, the wait has its place
    await limiter.peek(key);
  }
  if (verb === "abort") {
    waiting.get(id)?.abort();
    await limiter.peek(key);
  }
  if (verb === "close") {
    await Promise.all([...limiters.values()].map((each) => each.close()));
    await Promise.all([...stores.values()].map((each) => each.close()));
    await opened.close();
  }
  return tally;
}

async function obey({ number, order }: { number: number; order: Order }): Promise<void> {
  try {
    say({ done: number, tally: await carryOut(order) });
    if (order.verb === "close") process.disconnect();
  } catch (error) {
    say({ done: number, tally: nothing, error: (error as Error).stack ?? String(error) });
  }
}

process.on("message", (message) => void obey(message as { number: number; order: Order }));
say({ done: -1, tally: nothing });
