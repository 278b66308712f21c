import { createServer } from "node:net";
import { expect, test } from "vitest";
import { freePort } from "./servers.mjs";

test("a free port is nobody's connection later: below those that Linux takes for these, and given once", async () => {
  const given = [];
  for (let index = 0; index < 100; index += 1) given.push(await freePort());
  expect(new Set(given).size).toBe(given.length);
  expect(Math.max(...given)).toBeLessThan(32_768);
  expect(Math.min(...given)).toBeGreaterThan(1023);
});

test("a port that somebody listens on is not free", async () => {
  const port = (await freePort()) + 1;
  const server = createServer();
  await new Promise((resolve) => {
    // somebody else's is as good
    server.once("error", resolve).listen(port, "127.0.0.1", resolve);
  });
  try {
    expect(await freePort()).not.toBe(port);
  } finally {
    server.close();
  }
});
