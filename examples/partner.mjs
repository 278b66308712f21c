// A service with limits of its own, for the examples that call one: it keeps count of what its callers do.
import { createServer } from "node:http";

/**
 * Starts the service. It takes `latency` ms for an answer, and fails the first `failures` calls: with 503, then with 429
 * and a `Retry-After` of a second, and so on. `seen` says how it was treated.
 */
export async function startPartner({ latency = 20, failures = 0 } = {}) {
  const seen = { calls: 0, atOnce: 0, mostAtOnce: 0 };
  const server = createServer((_request, response) => {
    seen.calls += 1;
    seen.atOnce += 1;
    seen.mostAtOnce = Math.max(seen.mostAtOnce, seen.atOnce);
    const call = seen.calls;
    setTimeout(() => {
      seen.atOnce -= 1;
      if (call > failures) response.writeHead(200).end(`answer ${call}`);
      else if (call % 2 === 1) response.writeHead(503).end();
      else response.writeHead(429, { "Retry-After": "1" }).end();
    }, latency);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, seen, close };
}
