// Calls to a service that allows 20 a second, with retries of which each asks the limiter, so that no failure of the
// service makes its callers exceed what it allows: `npm run build && node examples/retry.mjs`.
import { compose, rateLimiter, retry, tokenBucket } from "sluice";
import { startPartner } from "./partner.mjs";

const partner = await startPartner({ failures: 3 });

const limiter = rateLimiter(tokenBucket({ rate: 20, per: "1s", burst: 5 }));

// The outermost first: each attempt of `retry` waits its turn. A `Response` that is thrown tells `retry` by its
// Retry-After how long to stay away, and the budget keeps retries below a fifth of the calls once the service is down.
const load = compose(
  retry({
    retries: 4,
    backoff: "50ms",
    budget: { ratio: 0.2, minPerSecond: 10 },
    onRetry: ({ error, attempt, delay }) =>
      console.log(`attempt ${attempt} failed with ${error.status}: again in ${Math.round(delay)} ms`),
  }),
  limiter.wrap({ key: "partner", maxWait: "5s" }),
)(async (path) => {
  const response = await fetch(new URL(path, partner.url));
  if (!response.ok) throw response;
  return response.text();
});

const start = performance.now();
export const answers = await Promise.all(Array.from({ length: 15 }, (_, index) => load(`/orders/${index}`)));
export const took = performance.now() - start;
console.log(`${answers.length} answers to ${partner.seen.calls} calls in ${(took / 1000).toFixed(1)} s`);

await limiter.close();
await partner.close();
