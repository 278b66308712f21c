/** A process whose server stops answering: it closes what it has, and ought to end by itself. */
import { connect } from "node:net";
import { fixedWindow, rateLimiter } from "../../src/index.js";
import { redisStore } from "../../src/stores/redis/redis.js";

/** As little of a client as will do: it keeps nothing alive, so that whatever does is the library's. */
function client(url: string): { send(args: string[]): Promise<unknown> } {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  socket.unref();
  const waiting: ((reply: unknown) => void)[] = [];
  socket.on("data", () => waiting.shift()?.([`${Date.now()}000`, null]));
  return {
    send: (args) =>
      new Promise((resolve) => {
        waiting.push(resolve);
        socket.write(`*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join("")}`);
      }),
  };
}

const store = redisStore(client(process.argv[2] as string), { prefetch: { max: 10, maxAge: "1s" } });
const limiter = rateLimiter(fixedWindow({ limit: 1000, window: "1s" }), { store, name: "orphan", timeout: 50 });

async function end(): Promise<void> {
  // dead by now: the breaker opens, and asks whether the server is back
  for (let round = 0; round < 3; round++) {
    await Promise.allSettled(Array.from({ length: 10 }, (_, index) => limiter.wait(`key-${round}-${index}`)));
  }
  await limiter.consume("key").catch(() => {});
  await limiter.close();
  await store.close();
  process.disconnect();
}

process.once("message", () => void end());
await limiter.consume("key").catch(() => {});
process.send?.("ready");
