import { builtinModule } from "./runtime.js";

/** The one function of `node:crypto` that is used; not imported, so that these files load where Node is not. */
interface NodeCrypto {
  createHash(algorithm: "sha256"): { update(text: string): { digest(encoding: "base64url"): string } };
}

const crypto = builtinModule("crypto") as NodeCrypto | undefined;

/** SHA-256 in base64url: at once where Node's crypto is at hand, else by WebCrypto. */
export const hashSecret: (secret: string) => string | Promise<string> =
  crypto === undefined ? hashByWebCrypto : (secret) => crypto.createHash("sha256").update(secret).digest("base64url");

/** The same, where there is only WebCrypto. */
export async function hashByWebCrypto(secret: string): Promise<string> {
  const digest = await globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret));
  return btoa(String.fromCharCode(...new Uint8Array(digest)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
