import fc from "fast-check";
import { expect, it } from "vitest";
import { keyName, keyStart } from "./keys.js";

it("a policy of any name shares no key with what else is kept under the same name", () => {
  const part = fc.constantFrom("semaphore", "wake", "line");
  const policy = fc.oneof(
    fc.stringMatching(/^[\x20-\x7e]{1,12}$/),
    part,
    part.map((name) => `%#${name}`),
    part.map((name) => `#${name}`),
    part.map((name) => `%25#${name}`),
  );
  fc.assert(
    fc.property(part, policy, (name, other) => {
      expect(`${keyStart("sluice", "api", other)}key}`).not.toBe(keyName("sluice", "api", name, "key"));
    }),
  );
  expect(keyName("sluice", "api", "semaphore", "a{b")).toBe("sluice:api:%#semaphore:{a%7Bb}");
});
