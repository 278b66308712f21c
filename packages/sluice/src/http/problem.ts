import type { Decision } from "../core/decision.js";
import { show } from "../core/errors.js";
import { warnOnce } from "../core/warn.js";

/** What a refusal carries. */
export interface RefusalBody {
  /** `Content-Type`. */
  readonly type: string | undefined;
  readonly content: string | Uint8Array<ArrayBuffer> | undefined;
  /** The same before it was turned into text: a problem, or what `deny` gave. */
  readonly body: unknown;
}

/** RFC 9457 problem details, with the types of draft-ietf-httpapi-ratelimit-headers. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly "violated-policies"?: readonly string[];
}

const types = "https://iana.org/assignments/http-problem-types#";

/** The limiter said no. */
export function quotaExceeded(decision: Decision): Problem {
  const { retryAfter, parts } = decision;
  const violated = parts.filter(({ allowed }) => !allowed).map(({ policy }) => policy);
  const when =
    retryAfter === Number.POSITIVE_INFINITY
      ? "This request costs more than the limit and can never be allowed."
      : `It can be allowed in ${Math.max(1, Math.ceil(retryAfter / 1000))} s.`;
  return {
    type: `${types}quota-exceeded`,
    title: "Too Many Requests",
    status: 429,
    detail: `The limit of ${decision.limit} is exceeded. ${when}`,
    "violated-policies": violated.length > 0 ? violated : [decision.policy],
  };
}

/** Nobody knows whether the limit is exceeded, and the operator would rather refuse. */
export const reducedCapacity: Problem = {
  type: `${types}temporary-reduced-capacity`,
  title: "Service Unavailable",
  status: 503,
  detail: "The service cannot check its limits at the moment.",
};

/** A problem, ready to send. */
export function problemBody(problem: Problem): RefusalBody {
  return { type: "application/problem+json", content: JSON.stringify(problem), body: problem };
}

/** What `deny` gave, ready to send; undefined for what cannot be sent. */
export function ownBody(body: unknown): RefusalBody | undefined {
  // a Response has its own
  if (body === undefined || body === null || (typeof Response === "function" && body instanceof Response)) {
    return { type: undefined, content: undefined, body };
  }
  if (typeof body === "string") return { type: "text/plain; charset=utf-8", content: body, body };
  if (body instanceof Uint8Array) {
    return { type: "application/octet-stream", content: body as Uint8Array<ArrayBuffer>, body };
  }
  const content = json(body);
  if (content !== undefined) return { type: "application/json; charset=utf-8", content, body };
  warnOnce(
    "http-deny",
    `\`deny\` gave ${show(body)} that JSON cannot hold, so the default body was sent. Give text, bytes or plain data.`,
  );
  return undefined;
}

function json(body: unknown): string | undefined {
  try {
    return JSON.stringify(body);
  } catch {
    return undefined;
  }
}
