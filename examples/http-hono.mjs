// Hono: `npm run build && node examples/http-hono.mjs`, then `curl -i http://127.0.0.1:3000/` a few times.
// The same app runs on Bun, Deno and Workers: the address is the one that the platform gives.
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { rateLimiter, slidingWindow } from "sluice";
import { rateLimit } from "sluice/hono";

const app = new Hono();

// Who pays has more: the limiter is chosen for each request.
const free = rateLimiter(slidingWindow({ limit: 5, window: "10s", name: "free" }));
const paid = rateLimiter(slidingWindow({ limit: 50, window: "10s", name: "paid" }));
app.use(rateLimit((context) => (context.req.header("X-Plan") === "paid" ? paid : free), { exclude: ["/health"] }));

app.get("/", (context) => context.text("hello"));
app.get("/health", (context) => context.text("fine"));

export const server = serve(
  { fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: "127.0.0.1" },
  ({ port }) => console.log(`http://127.0.0.1:${port}`),
);
