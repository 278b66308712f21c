// Three processes that call one service together: at most 5 calls at once and at most 100 a minute, whoever makes them.
//   npm run build && REDIS_URL=redis://127.0.0.1:6379 node examples/fleet.mjs
// With the 40 calls of each process (or CALLS), the last 20 of 120 wait until the minute allows them.
import { fork } from "node:child_process";
import { once } from "node:events";
import { Redis } from "ioredis";
import { compose, rateLimiter, semaphore, slidingWindow } from "sluice";
import { redisStore } from "sluice/redis";
import { startPartner } from "./partner.mjs";

const calls = Number(process.env.CALLS ?? 40);
const redisUrl = process.env.REDIS_URL ?? "redis://127.0.0.1:6379";
// a run of its own has a count of its own
const prefix = process.env.FLEET ?? `example-${process.pid}`;

const { PARTNER: partnerUrl } = process.env;
if (partnerUrl === undefined) await leader();
else await member(partnerUrl);

async function leader() {
  const partner = await startPartner();
  const start = performance.now();
  const members = Array.from({ length: 3 }, () =>
    fork(new URL(import.meta.url), { env: { ...process.env, FLEET: prefix, PARTNER: partner.url } }),
  );
  const codes = await Promise.all(members.map(async (each) => (await once(each, "exit"))[0]));
  const { seen } = partner;
  const took = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${seen.calls} calls by 3 processes in ${took} s, at most ${seen.mostAtOnce} at once`);
  await partner.close();
  process.exitCode = codes.every((code) => code === 0) && seen.mostAtOnce <= 5 ? 0 : 1;
}

async function member(url) {
  const client = new Redis(redisUrl);
  const store = redisStore(client, { prefix });
  // a job may wait longer for Redis than a request could: the default is 100 ms
  const shared = { store, name: "partner", timeout: "5s" };
  const perMinute = rateLimiter(slidingWindow({ limit: 100, window: "1m" }), shared);
  const atOnce = semaphore({ permits: 5, lease: "10s", ...shared });

  // First a place in the minute, then a permit: whoever holds a permit calls at once.
  const load = compose(
    perMinute.wrap({ key: "partner" }),
    atOnce.wrap({ key: "partner" }),
  )(async (path) => (await fetch(new URL(path, url))).text());

  await Promise.all(Array.from({ length: calls }, (_, index) => load(`/orders/${index}`)));

  await Promise.all([perMinute.close(), atOnce.close()]);
  await store.close();
  client.disconnect();
  process.disconnect();
}
