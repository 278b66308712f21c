import fc from "fast-check";
import { expect, it } from "vitest";
import { keyName, programKey } from "./keys.js";

it("a policy of any name shares no key with another program of the same name", () => {
  const part = fc.constantFrom("semaphore", "wake");
  const policy = fc.oneof(
    fc.stringMatching(/^[\x20-\x7e]{1,12}$/),
    part,
    part.map((name) => `%${name}`),
    part.map((name) => `%25${name}`),
  );
  fc.assert(
    fc.property(part, policy, (name, other) => {
      expect(keyName("sluice", "api", other, "key")).not.toBe(programKey("sluice", "api", name, "key"));
    }),
  );
  expect(programKey("sluice", "api", "semaphore", "a{b")).toBe("sluice:api:%semaphore:{a%7Bb}");
});
