import { connect, createServer, type Server, type Socket } from "node:net";

/** What a proxy does with the bytes that come. */
export type FaultMode =
  /** Passes everything on. */
  | { readonly kind: "pass" }
  /** Passes everything on, both ways, `ms` later. */
  | { readonly kind: "delay"; readonly ms: number }
  /** Reads everything and passes on nothing, either way; connections stay open. */
  | { readonly kind: "blackhole" }
  /** Passes requests on and keeps the replies; resets each connection `ms` after the first one it kept. */
  | { readonly kind: "swallow"; readonly ms: number }
  /** Passes on the first `bytes` of a reply, then resets the connection. */
  | { readonly kind: "truncate"; readonly bytes: number }
  /** Answers with bytes that are no reply. */
  | { readonly kind: "garbage" };

/** A TCP proxy on 127.0.0.1 that breaks what passes through it. */
export interface FaultyProxy {
  readonly port: number;
  /** Connections open now. */
  readonly connections: number;
  /** Bytes passed on to the server, and to clients. */
  readonly passed: { readonly requests: number; readonly replies: number };
  /** From now on, also on the connections that are open. */
  mode(mode: FaultMode): void;
  /** Resets all connections; new ones are accepted. */
  reset(): void;
  /** Resets all connections and refuses new ones, until `accept`. */
  refuse(): Promise<void>;
  accept(): Promise<void>;
  close(): Promise<void>;
}

const garbage = Buffer.from("\u0000\u00ff?no reply\r\n", "latin1");

/** Starts a proxy in front of `target`, a port of 127.0.0.1. */
export async function startProxy(target: number): Promise<FaultyProxy> {
  const clients = new Set<Socket>();
  const passed = { requests: 0, replies: 0 };
  let mode: FaultMode = { kind: "pass" };

  const pass = (to: Socket, bytes: Buffer, direction: keyof typeof passed): void => {
    const write = (): void => {
      if (!to.writable) return;
      passed[direction] += bytes.length;
      to.write(bytes);
    };
    if (mode.kind === "delay") setTimeout(write, mode.ms);
    else write();
  };
  const server = createServer((client) => {
    const upstream = connect(target, "127.0.0.1");
    clients.add(client);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    const end = (): void => {
      clients.delete(client);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on("error", end).on("close", end);

    let resetting = false;

    client.on("data", (bytes) => {
      if (mode.kind !== "blackhole") pass(upstream, bytes, "requests");
    });
    upstream.on("data", (bytes) => {
      switch (mode.kind) {
        case "pass":
        case "delay":
          // Nothing goes on after a reply that was kept: the client would take it for another's
          if (!resetting) pass(client, bytes, "replies");
          break;
        case "blackhole":
          break;
        case "swallow":
          if (!resetting) setTimeout(() => client.resetAndDestroy(), mode.ms);
          resetting = true;
          break;
        case "truncate":
          pass(client, bytes.subarray(0, mode.bytes), "replies");
          resetting = true;
          setImmediate(() => client.resetAndDestroy());
          break;
        case "garbage":
          pass(client, garbage, "replies");
          break;
      }
    });
  });

  const reset = (): void => {
    for (const client of clients) client.resetAndDestroy();
    clients.clear();
  };
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    reset();
    await closed;
  };
  const port = await listen(server, 0);
  return {
    port,
    get connections() {
      return clients.size;
    },
    passed,
    mode(next) {
      mode = next;
    },
    reset,
    refuse: stop,
    async accept() {
      await listen(server, port);
    },
    close: stop,
  };
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
