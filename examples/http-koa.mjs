// Koa: `npm run build && node examples/http-koa.mjs`, then `curl -i http://127.0.0.1:3000/` a few times.
import Koa from "koa";
import { rateLimiter, slidingWindow } from "sluice";
import { rateLimit } from "sluice/koa";

// Behind one proxy of your own, say so: new Koa({ proxy: true, maxIpsCount: 1 })
const app = new Koa();

// A second and a day as one limiter: a request is charged to both, or to neither.
const policies = [
  slidingWindow({ limit: 5, window: "10s", name: "burst" }),
  slidingWindow({ limit: 1000, window: "1d", name: "daily" }),
];
app.use(rateLimit(rateLimiter(policies), { exclude: ["/health"] }));

app.use((context) => {
  context.body = context.path === "/health" ? "fine" : "hello";
});

export const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
