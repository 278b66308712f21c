import { show, typeError } from "../core/errors.js";
import { whenKnown } from "../core/group.js";
import { checkFunction } from "../core/validate.js";
import { warnOnce } from "../core/warn.js";
import { addressKeysOfKind } from "./client-address.js";
import { hashSecret } from "./hash.js";
import type { HttpOptions } from "./options.js";
import type { Platform } from "./platform.js";

/** Whom to count: the limiter's key, or undefined for a request that is not counted. */
export type KeyOf<Req> = (request: Req) => string | undefined | Promise<string | undefined>;

/**
 * The kinds of keys that adapters make. They cannot collide: a key of your own that begins like one of them gets `own=`
 * in front, and every other is the limiter's key as it is.
 *
 * `ip=203.0.113.7`, `ip=2001:db8:1:2::/64`, `ip=unknown` · `user=42` · `api-key=` and the SHA-256 in base64url
 */
const kinds = { address: "ip=", user: "user=", apiKey: "api-key=", own: "own=" } as const;

const prefixes = Object.values(kinds);

/** `options.key`, or the client's address. */
export function keyOfClient<Req>(platform: Platform<Req>, options: HttpOptions<Req>): KeyOf<Req> {
  const { key } = options;
  const byAddress = keyOfAddress(platform, options.ipv6Prefix);
  return key === undefined ? byAddress : keyOfOwn(key);
}

/** The authenticated user, or else whom `keyOfClient` says. */
export function keyOfUser<Req>(
  platform: Platform<Req>,
  options: HttpOptions<Req> & { user?: (request: Req) => string | undefined },
): KeyOf<Req> {
  const { user } = options;
  if (user !== undefined) checkFunction(user, "user");
  const otherwise = keyOfClient(platform, options);
  const nameOf = user ?? ((request: Req) => identity(platform.user(request)));
  return (request) => {
    const name: unknown = nameOf(request);
    if (name === undefined || name === null || name === "") return otherwise(request);
    if (typeof name !== "string") {
      throw typeError("ERR_INVALID_KEY", `Expected user to give a string or undefined, got ${show(name)}.`);
    }
    return kinds.user + name;
  };
}

/** The API key's hash, or else whom `keyOfClient` says. The key itself goes nowhere. */
export function keyOfApiKey<Req>(platform: Platform<Req>, options: HttpOptions<Req> & { header?: string }): KeyOf<Req> {
  const { header = "X-API-Key" } = options;
  if (typeof header !== "string" || !/^[\w!#$%&'*+.^`|~-]+$/.test(header)) {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected header to be the name of a header field, got ${show(header)}.`);
  }
  const name = header.toLowerCase();
  const otherwise = keyOfClient(platform, options);
  return (request) => {
    const secret = platform.header(request, name)?.trim();
    if (secret === undefined || secret === "") return otherwise(request);
    return whenKnown(hashSecret(secret), (hash) => kinds.apiKey + hash);
  };
}

/** How often the first requests, and how often later ones, are looked at for signs of a wrong set-up. */
const lookedAtFirst = 100;
const lookedAtMask = 63;

function keyOfAddress<Req>(platform: Platform<Req>, ipv6Prefix: number = 64): KeyOf<Req> {
  const keyOf = addressKeysOfKind(kinds.address, ipv6Prefix);
  let seen = 0;
  return (request) => {
    const address = platform.address(request);
    seen += 1;
    if (seen <= lookedAtFirst || (seen & lookedAtMask) === 0) lookForProxy(platform, request, address);
    const key = keyOf(address) ?? keyOf(platform.peer(request));
    if (key !== undefined) return key;
    warnOnce(
      `http-no-address:${platform.trustAdvice}`,
      `A request came without a client address, so all such requests share one count. Give \`key\`, a function that says whom to count, or ${platform.trustAdvice}.`,
    );
    return `${kinds.address}unknown`;
  };
}

/** A proxy that says for whom it speaks, and nobody who listens: then all its clients share one count. */
function lookForProxy<Req>(platform: Platform<Req>, request: Req, address: string | undefined): void {
  const forwarded = platform.header(request, "x-forwarded-for") ?? platform.header(request, "forwarded");
  if (forwarded === undefined || address !== platform.peer(request)) return;
  warnOnce(
    `http-proxy:${platform.trustAdvice}`,
    `A request carried a proxy's header (X-Forwarded-For or Forwarded), which nobody was told to trust, so the proxy's clients all count as one. If your own proxy set it, ${platform.trustAdvice}.`,
  );
}

/** Requests without a key before that looks like a mistake. */
const suspicious = 3;

function keyOfOwn<Req>(own: NonNullable<HttpOptions<Req>["key"]>): KeyOf<Req> {
  let without = 0;
  const use = (key: string | undefined): string | undefined => {
    if (key === undefined) {
      if (++without === suspicious) {
        warnOnce(
          "http-no-key",
          `\`key\` gave undefined for each of the first ${suspicious} requests, so none of them was limited. Make sure that what it reads is there before the limiter runs, or leave \`key\` out to count by address.`,
        );
      }
      return undefined;
    }
    without = Number.NEGATIVE_INFINITY;
    return typeof key === "string" && prefixes.some((prefix) => key.startsWith(prefix)) ? kinds.own + key : key;
  };
  return (request) => whenKnown(own(request), use);
}

/** A user as text: itself, or its `id` or `sub`. */
function identity(user: unknown): string | undefined {
  if (typeof user === "string") return user;
  if (typeof user === "number" || typeof user === "bigint") return String(user);
  if (typeof user !== "object" || user === null) return undefined;
  const { id, sub } = user as { id?: unknown; sub?: unknown };
  const name = id ?? sub;
  return typeof name === "string" || typeof name === "number" || typeof name === "bigint" ? String(name) : undefined;
}
