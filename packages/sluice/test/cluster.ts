import { Redis } from "ioredis";
import { type Found, freePort, type Server, startServer } from "../../../scripts/servers.mjs";

/** Where a node listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A Redis Cluster of primaries without replicas. */
export interface Cluster {
  readonly nodes: readonly Address[];
  readonly servers: readonly Server[];
  stop(): Promise<void>;
}

export interface ClusterOptions {
  /** Added to the command line of every node. */
  readonly extra?: readonly string[];
  /** The port that clients are told instead of a node's own, e.g. of a proxy in front of it. */
  readonly announce?: (port: number) => Promise<number>;
}

const slots = 16_384;

/** Starts a cluster of `size` nodes on free ports and waits until it serves every slot. */
export async function startCluster(found: Found, size = 3, options: ClusterOptions = {}): Promise<Cluster> {
  const servers: Server[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  try {
    const nodes: Address[] = [];
    for (let index = 0; index < size; index += 1) {
      const port = await freePort();
      const announced = (await options.announce?.(port)) ?? port;
      const bus = await freePort();
      const settings = {
        "cluster-enabled": "yes",
        "cluster-node-timeout": "1000",
        "cluster-port": String(bus),
        "cluster-announce-port": String(announced),
        "cluster-announce-bus-port": String(bus),
      };
      const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
      servers.push(await startServer(found, [...flags, ...(options.extra ?? [])], port));
      nodes.push({ host: "127.0.0.1", port: announced });
    }
    await join(servers.map(({ port }) => port));
    return { nodes, servers, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function join(ports: readonly number[]): Promise<void> {
  const clients = ports.map((port) => new Redis({ port, host: "127.0.0.1", enableReadyCheck: false }));
  try {
    await Promise.all(
      clients.map(async (client, index) => {
        const first = Math.ceil((slots * index) / clients.length);
        const last = Math.ceil((slots * (index + 1)) / clients.length) - 1;
        await client.cluster("ADDSLOTSRANGE", first, last);
        await client.cluster("SET-CONFIG-EPOCH", index + 1);
      }),
    );
    // The first introduces everybody: a node hears of the others by gossip
    const [introducer] = clients as [Redis];
    const buses = await Promise.all(clients.map((client) => client.config("GET", "cluster-port")));
    await Promise.all(
      ports.slice(1).map((port, index) => {
        const [, bus] = buses[index + 1] as [string, string];
        return introducer.cluster("MEET", "127.0.0.1", port, Number(bus));
      }),
    );
    await until(async () => {
      const infos = await Promise.all(clients.map((client) => client.cluster("INFO")));
      return infos.every(
        (info) => info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${ports.length}\r`),
      );
    });
  } finally {
    for (const client of clients) client.disconnect();
  }
}

/** Waits until `condition` holds, asking every 20 ms, at most `timeout` ms. */
export async function until(condition: () => Promise<boolean> | boolean, timeout = 10_000): Promise<void> {
  const end = performance.now() + timeout;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Waited ${timeout} ms in vain: ${condition.toString()}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}
