import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { hashByWebCrypto, hashSecret } from "./hash.js";

describe("hashSecret", () => {
  it.each(["", "secret", "ключ", "x".repeat(10_000)])(
    "is SHA-256 in base64url, with Node's crypto and without",
    async (secret) => {
      const expected = createHash("sha256").update(secret).digest("base64url");
      expect(hashSecret(secret)).toBe(expected);
      expect(await hashByWebCrypto(secret)).toBe(expected);
    },
  );
});
