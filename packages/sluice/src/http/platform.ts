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
  /** What to do so that `address` sees through a proxy: the end of a sentence. */
  readonly trustAdvice: string;
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

/** The address at the other end of a Node socket; a Unix socket has none. */
export function nodePeer(request: NodeFacts): string | undefined {
  return request.socket?.remoteAddress;
}
