import { show, typeError } from "../core/errors.js";

/**
 * A test whether a request's target is one of `exclude`. A path that two readers could take for two different ones is
 * never excluded: whoever plays with slashes, dots or parameters is limited, whatever the router makes of it.
 *
 * Both sides are normalised (RFC 3986, 6.2.2): authority, query and fragment dropped, unreserved characters decoded, dot
 * segments resolved. Case counts, an encoded slash stays encoded, and a trailing slash makes another path.
 *
 * @throws TypeError with code `ERR_INVALID_ARGUMENT` for what is no path.
 */
export function excludedPaths(exclude: unknown): ((target: string) => boolean) | undefined {
  if (exclude === undefined) return undefined;
  if (!Array.isArray(exclude)) {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected exclude to be an array of paths, got ${show(exclude)}.`);
  }
  if (exclude.length === 0) return undefined;
  const exact = new Set<string>();
  const prefixes: string[] = [];
  for (const pattern of exclude as readonly unknown[]) {
    const wild = typeof pattern === "string" && pattern.endsWith("/*");
    const plain = typeof pattern === "string" && /^\/[^*?#]*(?:\/\*)?$|^\/\*$/.test(pattern);
    const path = plain ? normalPath(wild ? pattern.slice(0, -1) : pattern) : undefined;
    if (path === undefined) {
      throw typeError(
        "ERR_INVALID_ARGUMENT",
        `Expected exclude to hold paths such as '/health' or '/assets/*', got ${show(pattern)}.`,
      );
    }
    if (wild) prefixes.push(path);
    else exact.add(path);
  }
  const isListed = (path: string): boolean => exact.has(path) || prefixes.some((prefix) => path.startsWith(prefix));
  return (target) => {
    const path = isNormal.test(target) ? target : normalPath(target);
    return path !== undefined && isListed(path);
  };
}

/** What most targets are: their own normal form, without a query. */
const isNormal = /^(?:\/[\w~-][\w.~-]*)+$/;

/** What stands before the path in a target of absolute form, where nobody can disagree about where it ends. */
const origin = /^https?:\/\/[\w.:[\]-]+(?=\/)/;

/** The path of a request target; undefined where readers could disagree about it. */
export function normalPath(target: string): string | undefined {
  const [path] = /^\/[^?#]*/.exec(withoutOrigin(target)) ?? [];
  if (path === undefined || /%(?![0-9a-f]{2})/i.test(path)) return undefined;
  const segments: string[] = [];
  const given = path.slice(1).split("/");
  for (const [index, segment] of given.entries()) {
    const name = decodeUnreserved(segment);
    const last = index === given.length - 1;
    if (name === ".." || name === ".") {
      if (name === "..") segments.pop();
      if (last) segments.push("");
    } else if ((name === "" && !last) || isDoubtful(name)) {
      return undefined;
    } else {
      segments.push(name);
    }
  }
  return `/${segments.join("/")}`;
}

function withoutOrigin(target: string): string {
  return target.startsWith("/") ? target : target.replace(origin, "");
}

/** `%61` is `a`; what has a meaning in URLs stays encoded, in capitals. */
function decodeUnreserved(segment: string): string {
  return segment.replace(/%[0-9a-f]{2}/gi, (code) => {
    const character = String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return /[a-z0-9._~-]/i.test(character) ? character : code.toUpperCase();
  });
}

/** Some routers split at `\` and `%2F`, or cut at `;`, and then find a dot segment. */
function isDoubtful(segment: string): boolean {
  return /[\\\p{Cc}]/u.test(segment) || segment.split(/%2F|%5C/).some((part) => /^\.\.?(?:;|%3B|$)/.test(part));
}
