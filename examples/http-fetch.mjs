// Request → Response, as in Next, Bun, Deno and Workers: `npm run build && node examples/http-fetch.mjs`, then
// `curl -i http://127.0.0.1:3000/` a few times.
import { serve } from "@hono/node-server";
import { rateLimiter, slidingWindow } from "sluice";
import { rateLimit } from "sluice/fetch";

const limiter = rateLimiter(slidingWindow({ limit: 5, window: "10s" }));

// Next:    export const GET = rateLimit(limiter, { key })(handler)
// Bun:     Bun.serve({ fetch: rateLimit(limiter)(handler) })
// Deno:    Deno.serve(rateLimit(limiter)(handler))
// Workers: export default { fetch: rateLimit(limiter)(handler) }
const limited = rateLimit(limiter, {
  exclude: ["/health"],
  deny: (_request, { retryAfter }) => `Slow down: ${Math.ceil(retryAfter / 1000)} s.\n`,
})((request) => new Response(new URL(request.url).pathname === "/health" ? "fine" : "hello"));

export const server = serve(
  { fetch: limited, port: Number(process.env.PORT ?? 3000), hostname: "127.0.0.1" },
  ({ port }) => console.log(`http://127.0.0.1:${port}`),
);
