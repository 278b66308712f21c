/** What a guard has to know of a framework's request; each adapter has one. */
export interface Platform<Req> {
  /** The client's address as the framework's own proxy setting sees it; undefined where there is none. */
  address(request: Req): string | undefined;
  /** The address at the other end of the socket. */
  peer(request: Req): string | undefined;
  /** A header of the request; `name` in lower case. */
  header(request: Req, name: string): string | undefined;
  /** The path that was asked for, as it came: with its query, encoded. */
  target(request: Req): string;
  /** Who is logged in, where the framework's authentication usually leaves it. */
  user(request: Req): unknown;
  /** Whether every proxy is trusted, so that the address is what the client wrote. */
  trustsAll?(request: Req): boolean;
  /** How the framework is told of a proxy: the end of a sentence; undefined where it knows of none. */
  readonly trustAdvice: string | undefined;
}

/** The part of Node's request that facts come from. */
export interface NodeFacts {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket?: { readonly remoteAddress?: string | undefined } | null | undefined;
  readonly url?: string | undefined;
}

/** A header of Node's request as one text. */
export function nodeHeader(request: NodeFacts, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
}

/** Express's `trust proxy` set to true. */
export function expressTrustsAll(request: { readonly app?: { get(name: string): unknown } | undefined }): boolean {
  return request.app?.get("trust proxy") === true;
}

/** More hops than anybody runs, of addresses that are nobody's (RFC 5737). */
const strangers: NodeFacts = {
  headers: { "x-forwarded-for": Array.from({ length: 32 }, (_, hop) => `192.0.2.${hop + 1}`).join(", ") },
  socket: { remoteAddress: "198.51.100.1" },
};

/** Whether Fastify's `trustProxy` lets such a request say whatever it likes. The setting itself cannot be asked for. */
export function fastifyTrustsAll(request: { readonly ip?: string | undefined }): boolean {
  const invented = Object.create(request, { raw: { value: strangers } }) as typeof request;
  return invented.ip === "192.0.2.1";
}

/** The address at the other end of a Node socket; a Unix socket has none. */
export function nodePeer(request: NodeFacts): string | undefined {
  return request.socket?.remoteAddress;
}
