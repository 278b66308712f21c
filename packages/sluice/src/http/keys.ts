import { show, typeError } from "../core/errors.js";
import { whenKnown } from "../core/group.js";
import { checkFunction } from "../core/validate.js";
import { warnOnce } from "../core/warn.js";
import { addressKeysOfKind } from "./client-address.js";
import { given } from "./given.js";
import { hashSecret } from "./hash.js";
import type { HttpOptions } from "./options.js";
import type { Platform } from "./platform.js";

/** Whom to count: the limiter's key, or undefined for a request that is not counted. */
export type KeyOf<Req> = (request: Req) => string | undefined | Promise<string | undefined>;

/**
 * The kinds of keys that adapters make. They cannot collide: a key of your own that begins like one of them gets `own=`
 * in front, and every other is the limiter's key as it is.
 *
 * `ip=203.0.113.7`, `ip=2001:db8:1:2::/64`, `ip=unknown` · `user=42` · `api-key=` and `hash=` with a SHA-256 in base64url
 */
const kinds = { address: "ip=", user: "user=", apiKey: "api-key=", hash: "hash=", own: "own=" } as const;

const prefixes = Object.values(kinds);

/** Clients often have a say in keys: what they make longer is kept as its hash. */
const longestKey = 512;

/** A key that every store takes as it is: short, and well-formed. */
function storable(key: string): string | Promise<string> {
  const wellFormed = key.isWellFormed();
  if (wellFormed && key.length <= longestKey) return key;
  // JSON writes half a surrogate pair as an escape: two such keys stay two, where UTF-8 would make them one
  const text = wellFormed ? key : JSON.stringify(key);
  return whenKnown(hashSecret(text), (hash) => kinds.hash + hash);
}

/** `options.key`, or the client's address. */
export function keyOfClient<Req>(platform: Platform<Req>, options: HttpOptions<Req>): KeyOf<Req> {
  const { key } = options;
  const byAddress = keyOfAddress(platform, options.ipv6Prefix);
  return key === undefined ? byAddress : keyOfOwn(key);
}

/** Who is logged in, as text; undefined for nobody. */
export function userOf<Req>(
  platform: Platform<Req>,
  options: HttpOptions<Req> & { user?: (request: Req) => string | undefined },
): (request: Req) => string | undefined {
  const { user } = options;
  if (user === undefined) return (request) => identity(platform.user(request));
  checkFunction(user, "user");
  const nameOf = given<Req, string | undefined>(user);
  return (request) => {
    const name: unknown = nameOf(request);
    if (name === undefined || name === null || name === "") return undefined;
    if (typeof name === "string") return name;
    throw typeError("ERR_INVALID_KEY", `Expected user to give a string or undefined, got ${show(name)}.`);
  };
}

/** The authenticated user, or else whom `keyOfClient` says. */
export function keyOfUser<Req>(platform: Platform<Req>, options: HttpOptions<Req>): KeyOf<Req> {
  const nameOf = userOf(platform, options);
  const otherwise = keyOfClient(platform, options);
  return (request) => {
    const name = nameOf(request);
    return name === undefined ? otherwise(request) : storable(kinds.user + name);
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

/** What to do where the framework knows of no proxies. */
const keyAdvice = "give `key`, a function that reads what your platform or your proxy alone can have written";

function keyOfAddress<Req>(platform: Platform<Req>, ipv6Prefix: number = 64): KeyOf<Req> {
  const keyOf = addressKeysOfKind(kinds.address, ipv6Prefix);
  let seen = 0;
  return (request) => {
    const address = platform.address(request);
    seen += 1;
    if (seen <= lookedAtFirst || (seen & lookedAtMask) === 0) lookForProxy(platform, request, address);
    const key = keyOf(address) ?? keyOf(platform.peer(request));
    if (key !== undefined) return key;
    const { trustAdvice } = platform;
    warnOnce(
      `http-no-address:${trustAdvice}`,
      `A request came without a client address, as over a Unix socket, so all such requests share one count. If a proxy passes them on, ${trustAdvice === undefined ? "" : `${trustAdvice}; or `}${keyAdvice}.`,
    );
    return `${kinds.address}unknown`;
  };
}

/** Signs that a proxy's word is not heard, so that all its clients share one count, or that anybody's word is. */
function lookForProxy<Req>(platform: Platform<Req>, request: Req, address: string | undefined): void {
  const { trustAdvice = keyAdvice } = platform;
  const forwarded = platform.header(request, "x-forwarded-for");
  if (forwarded !== undefined && platform.trustsAll?.(request) === true) {
    warnOnce(
      `http-trusts-all:${trustAdvice}`,
      `Every proxy is trusted, so the client's address is the first of X-Forwarded-For, which any client can write: each made-up address has a count of its own. Say how many proxies are yours, or which: ${trustAdvice}.`,
    );
    return;
  }
  if ((forwarded ?? platform.header(request, "forwarded")) === undefined) return;
  if (address !== platform.peer(request)) return;
  warnOnce(
    `http-proxy:${trustAdvice}`,
    `A request carried a proxy's header (X-Forwarded-For or Forwarded), which nobody was told to trust, so the proxy's clients all count as one. If your own proxy set it, ${trustAdvice}.`,
  );
}

/** Requests without a key before that looks like a mistake. */
const suspicious = 3;

function keyOfOwn<Req>(own: NonNullable<HttpOptions<Req>["key"]>): KeyOf<Req> {
  let without = 0;
  const use = (key: string | undefined): string | undefined | Promise<string> => {
    if (key === undefined || key === "") {
      if (++without === suspicious) {
        warnOnce(
          "http-no-key",
          `\`key\` gave undefined for each of the first ${suspicious} requests, so none of them was limited. Make sure that what it reads is there before the limiter runs, or leave \`key\` out to count by address.`,
        );
      }
      return undefined;
    }
    without = Number.NEGATIVE_INFINITY;
    // what is no text is a mistake, of which the limiter tells
    if (typeof key !== "string") return key;
    return storable(prefixes.some((prefix) => key.startsWith(prefix)) ? kinds.own + key : key);
  };
  const keyOf = given<Req, string | undefined>(own);
  return (request) => whenKnown(keyOf(request), use);
}

/** A user as text: itself, or its `id` or `sub`; undefined for nobody. */
function identity(user: unknown): string | undefined {
  if (user === undefined || user === null || user === "") return undefined;
  if (typeof user !== "object") return textOf(user);
  const { id, sub } = user as { id?: unknown; sub?: unknown };
  return textOf(id ?? sub);
}

/** A text, a number, or an object that has a text of its own, such as MongoDB's ObjectId. */
function textOf(value: unknown): string | undefined {
  if (typeof value === "string" && value !== "") return value;
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  const own = typeof value === "object" && value !== null ? ownText(value) : undefined;
  if (own !== undefined) return own;
  warnOnce(
    "http-user",
    `A user is logged in whose \`id\` or \`sub\` names nobody (${show(value)}), so requests count by address. Give \`user\`, a function that says who it is.`,
  );
  return undefined;
}

/** Lists and bytes have a text too, but not one for each. */
function ownText(value: object): string | undefined {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return undefined;
  const write: unknown = Reflect.get(value, "toString");
  if (typeof write !== "function" || write === Object.prototype.toString) return undefined;
  return String(Reflect.apply(write, value, []));
}
