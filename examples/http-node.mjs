// Plain Node: `npm run build && node examples/http-node.mjs`, then `curl -i http://127.0.0.1:3000/` a few times.
import { createServer } from "node:http";
import { rateLimiter, tokenBucket } from "sluice";
import { rateLimit } from "sluice/node";

const handler = (request, response) => response.end(request.url === "/health" ? "fine" : "hello");

// A search costs five times what the rest does.
const limiter = rateLimiter(tokenBucket({ rate: 5, per: "10s" }));
const limited = rateLimit(limiter, {
  exclude: ["/health"],
  cost: (request) => (request.url?.startsWith("/search") ? 5 : 1),
});

export const server = createServer(limited(handler)).listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
