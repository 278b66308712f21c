import { GlideClient, GlideClusterClient, Logger } from "@valkey/valkey-glide";
import * as ioredis6 from "ioredis";
import * as ioredis5 from "ioredis5";
import * as iovalkey from "iovalkey";
import * as redis6 from "redis";
import * as redis4 from "redis4";
import * as redis5 from "redis5";
import type { Address } from "./cluster.js";

/** A client of some library, connected. */
export interface OpenClient {
  /** What a user would hand to `redisStore`. */
  readonly client: unknown;
  close(): Promise<void>;
}

/** A client library: how its clients are made for a server, and for a cluster. */
export interface ClientLibrary {
  readonly name: string;
  open(url: string): Promise<OpenClient>;
  openCluster(nodes: readonly Address[]): Promise<OpenClient>;
}

interface Disconnectable {
  on(event: "error", listener: () => void): unknown;
  disconnect(): void;
}

interface Connectable {
  on(event: "error", listener: () => void): unknown;
  connect(): Promise<unknown>;
  disconnect(): Promise<unknown> | undefined;
  destroy?(): void;
}

const ignore = (): void => {};

// Tests provoke errors by the thousand, and this client prints each
Logger.setLoggerConfig("off");

function left(client: Disconnectable): OpenClient {
  client.on("error", ignore);
  return { client, close: async () => client.disconnect() };
}

async function connected(client: Connectable): Promise<OpenClient> {
  client.on("error", ignore);
  await client.connect();
  return {
    client,
    close: async () => {
      await (client.destroy ? client.destroy() : client.disconnect());
    },
  };
}

function ioredis(
  name: string,
  one: (url: string) => Disconnectable,
  cluster: (nodes: Address[]) => Disconnectable,
): ClientLibrary {
  return {
    name,
    open: async (url) => left(one(url)),
    openCluster: async (nodes) => left(cluster([...nodes])),
  };
}

function nodeRedis(
  name: string,
  one: (url: string) => unknown,
  cluster: (rootNodes: { url: string }[]) => unknown,
): ClientLibrary {
  return {
    name,
    open: (url) => connected(one(url) as Connectable),
    openCluster: (nodes) =>
      connected(cluster(nodes.map(({ host, port }) => ({ url: `redis://${host}:${port}` }))) as Connectable),
  };
}

/** Every client library that is supported. */
export function everyClient(): readonly ClientLibrary[] {
  return [
    ioredis(
      "ioredis 6",
      (url) => new ioredis6.Redis(url),
      (nodes) => new ioredis6.Cluster(nodes),
    ),
    ioredis(
      "ioredis 5",
      (url) => new ioredis5.Redis(url),
      (nodes) => new ioredis5.Cluster(nodes),
    ),
    ioredis(
      "iovalkey",
      (url) => new iovalkey.Redis(url),
      (nodes) => new iovalkey.Cluster(nodes),
    ),
    nodeRedis(
      "node-redis 6",
      (url) => redis6.createClient({ url }),
      (rootNodes) => redis6.createCluster({ rootNodes }),
    ),
    nodeRedis(
      "node-redis 5",
      (url) => redis5.createClient({ url }),
      (rootNodes) => redis5.createCluster({ rootNodes }),
    ),
    nodeRedis(
      "node-redis 4",
      (url) => redis4.createClient({ url }),
      (rootNodes) => redis4.createCluster({ rootNodes }),
    ),
    {
      name: "valkey-glide 2",
      open: async (url) => {
        const { hostname: host, port } = new URL(url);
        const client = await GlideClient.createClient({
          addresses: [{ host, port: Number(port) }],
          requestTimeout: 2000,
        });
        return { client, close: async () => client.close() };
      },
      openCluster: async (nodes) => {
        const client = await GlideClusterClient.createClient({ addresses: [...nodes], requestTimeout: 2000 });
        return { client, close: async () => client.close() };
      },
    },
  ];
}
