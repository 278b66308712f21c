// Fastify: `npm run build && node examples/http-fastify.mjs`, then `curl -i http://127.0.0.1:3000/` a few times.
import fastify from "fastify";
import { rateLimiter, slidingWindow, tokenBucket } from "sluice";
import { rateLimit } from "sluice/fastify";

// Behind a proxy of your own, say which: fastify({ trustProxy: "10.0.0.0/8" })
const app = fastify();

// By client address, for the routes of this context and its children.
const perClient = rateLimiter(slidingWindow({ limit: 5, window: "10s", name: "per-client" }));
await app.register(rateLimit(perClient));

app.get("/", async () => "hello");
app.get("/health", { config: { rateLimit: false } }, async () => "fine");

// A limiter of its own, in place of the plugin's; with options, where it needs some.
app.get("/search", { config: { rateLimit: tokenBucket({ rate: 2, per: "10s" }) } }, async () => "found");
const byTenant = { limiter: tokenBucket({ rate: 2, per: "10s" }), key: (request) => request.params.tenant };
app.get("/tenants/:tenant", { config: { rateLimit: byTenant } }, async () => "theirs");

await app.listen({ port: Number(process.env.PORT ?? 3000), host: "127.0.0.1" });
export const { server } = app;
console.log(`http://127.0.0.1:${server.address().port}`);
