import type { Guard, Outcome, Refusal } from "./guard.js";
import type { FieldAccess } from "./headers.js";
import type { NodeResponse } from "./node-response.js";

/** What servers of fetch handlers pass beside the request, as far as it says who is asking. */
interface Surroundings {
  /** @hono/node-server */
  readonly incoming?: { readonly socket?: { readonly remoteAddress?: string } };
  /** Hono's name for what the server passed */
  readonly server?: unknown;
  /** Bun */
  readonly requestIP?: (request: Request) => { readonly address?: string } | null;
  /** Deno */
  readonly remoteAddr?: { readonly hostname?: string };
  /** Netlify */
  readonly ip?: string;
  /** AWS Lambda, behind API Gateway */
  readonly requestContext?: {
    readonly identity?: { readonly sourceIp?: string };
    readonly http?: { readonly sourceIp?: string };
  };
}

/** The address at the other end of the socket, as Node, Bun and Deno say it beside the request. */
export function socketAddress(request: Request, given: unknown): string | undefined {
  if (typeof given !== "object" || given === null) return undefined;
  const { server } = given as Surroundings;
  const around = (typeof server === "object" && server !== null ? server : given) as Surroundings;
  if (around.incoming !== undefined) return around.incoming.socket?.remoteAddress;
  if (typeof around.requestIP === "function") return around.requestIP(request)?.address;
  return around.remoteAddr?.hostname;
}

/**
 * The client's address as the platform gives it, never as a header of the client's own: the socket's, or what Netlify
 * and Lambda say beside the request; on Cloudflare, whose requests carry `cf`, the edge has set `CF-Connecting-IP`.
 */
export function platformAddress(request: Request, given: unknown): string | undefined {
  if ((request as { cf?: unknown }).cf !== undefined) return request.headers.get("CF-Connecting-IP") ?? undefined;
  const address = socketAddress(request, given);
  if (address !== undefined || typeof given !== "object" || given === null) return address;
  const { ip, requestContext } = given as Surroundings;
  return (
    (typeof ip === "string" ? ip : undefined) ?? requestContext?.http?.sourceIp ?? requestContext?.identity?.sourceIp
  );
}

/** Node's response, where the fetch handler runs behind one: fields written there cost a fraction. */
export function nodeResponseOf(given: unknown): NodeResponse | undefined {
  if (typeof given !== "object" || given === null) return undefined;
  const { server, outgoing } = given as { server?: { outgoing?: NodeResponse }; outgoing?: NodeResponse };
  const found = outgoing ?? server?.outgoing;
  return typeof found?.setHeader === "function" ? found : undefined;
}

const webFields: FieldAccess<Headers> = {
  get: (headers, name) => headers.get(name),
  set: (headers, name, value) => {
    headers.set(name, value);
  },
};

/** A refusal as a Response; a Response that `deny` made stands, with what it lacks. */
export function refusalResponse({ status, fields, type, content, body }: Refusal): Response {
  if (body instanceof Response) {
    return withHeaders(body, (headers) => {
      for (const [name, value] of fields) if (!headers.has(name)) headers.set(name, value);
    });
  }
  const statusText = status === 429 ? "Too Many Requests" : "Service Unavailable";
  const headers = new Headers(fields.map(([name, value]) => [name, value]));
  if (type !== undefined) headers.set("Content-Type", type);
  return new Response(content, { status, statusText, headers });
}

/**
 * The response with an outcome's fields. Where there is no response before the handler has made one, a limiter further
 * in has written before: a 429 or 503 that tells when to come back is taken for its refusal.
 */
export function writtenOn<Req>(guard: Guard<Req>, outcome: Outcome, response: Response): Response {
  const refused = (response.status === 429 || response.status === 503) && response.headers.has("Retry-After");
  const inside = refused ? "refused" : "answered";
  return withHeaders(response, (headers) => guard.write(outcome, headers, webFields, inside));
}

/** The response with headers changed: itself, or a copy where they cannot be, as of one that `fetch` returned. */
function withHeaders(response: Response, change: (headers: Headers) => void): Response {
  try {
    change(response.headers);
    return response;
  } catch {
    // a switch of protocols has no headers that could be changed, nor can it be copied
    if (response.status < 200) return response;
    const copy = new Response(response.body, response);
    change(copy.headers);
    return copy;
  }
}
