import { longestTimer } from "../../core/alarm.js";
import { asText, ignore, type RedisConnection, reconnectDelay, type Subscribe, subscribed } from "./connection.js";
import { slotOfName } from "./keys.js";

/** What node-redis 4, 5 and 6 share: a client, a pool, a cluster and a Sentinel client, which differ in `sendCommand`. */
export interface NodeRedisClient {
  readonly isOpen: boolean;
  readonly isReady?: boolean;
  readonly options?: { readonly legacyMode?: boolean; readonly socket?: object };
  readonly v4?: { readonly sendCommand: Send };
  readonly sendCommand: unknown;
  readonly getSlotMaster?: unknown;
  /** Of a cluster: who serves each slot; empty before it is connected. */
  readonly slots?: readonly (Shard | undefined)[];
  readonly getMasterNode?: unknown;
  duplicate?(overrides: object): Subscriber;
}

interface Shard {
  readonly master: { readonly address: string; readonly client?: { readonly isReady?: boolean } };
}

type Send = (args: readonly string[], options: object) => Promise<unknown>;

interface Subscriber {
  on(event: "error", listener: () => void): unknown;
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  disconnect(): Promise<unknown> | undefined;
  destroy?(): unknown;
}

/**
 * Replies as the protocol gives them, whatever mapping of types the client has by default. From node-redis 6 on a command may
 * wait 5 s to be written, and the timer for it costs twice what all the rest does: a client that is ready writes at once.
 */
const ready = { typeMapping: {}, timeout: undefined };

/** ms that a command may wait to be written when nobody says how long. */
const longestParked = 5000;

/** The others keep a command until they are connected, however long that takes: it is to be dropped when nobody waits for it. */
function parked(within: number): object {
  const signal = AbortSignal.timeout(Math.min(Math.ceil(within), longestTimer));
  // the one is the name in node-redis 4, the other since
  return { ...ready, signal, abortSignal: signal };
}

export function isNodeRedis(client: object): client is NodeRedisClient {
  return typeof (client as Partial<NodeRedisClient>).sendCommand === "function" && "isOpen" in client;
}

export function nodeRedisConnection(client: NodeRedisClient): RedisConnection {
  const cluster = typeof client.getSlotMaster === "function";
  const dispatch = dispatcher(client, cluster);
  const writes = cluster
    ? (key: string) => client.slots?.[slotOfName(key)]?.master.client?.isReady === true
    : () => client.isReady === true;
  return {
    send(args, key, within = longestParked) {
      return dispatch(args.map(asText), key, writes(key) ? ready : parked(within));
    },
    cluster,
    nodeOf: (slot) => client.slots?.[slot]?.master.address,
    subscribe: client.duplicate && subscribeOn(client, cluster),
  };
}

function dispatcher(
  client: NodeRedisClient,
  cluster: boolean,
): (args: readonly string[], key: string, options: object) => Promise<unknown> {
  if (cluster) {
    const nodes = client as {
      sendCommand(key: string, isReadOnly: boolean, args: readonly string[], options: object): Promise<unknown>;
    };
    return (args, key, options) => nodes.sendCommand(key, false, args, options);
  }
  if (typeof client.getMasterNode === "function") {
    const sentinel = client as {
      sendCommand(isReadOnly: boolean, args: readonly string[], options: object): Promise<unknown>;
    };
    return (args, _key, options) => sentinel.sendCommand(false, args, options);
  }
  const single = (client.options?.legacyMode ? client.v4 : client) as { sendCommand: Send };
  return (args, _key, options) => single.sendCommand(args, options);
}

function subscribeOn(client: NodeRedisClient, cluster: boolean): Subscribe {
  return (channel, onMessage) => {
    // A subscriber is silent for long, and must come back whatever happened: neither is left to the caller's settings
    const subscriber = (client as Required<NodeRedisClient>).duplicate(
      cluster
        ? { minimizeConnections: true }
        : {
            legacyMode: false,
            socket: { ...client.options?.socket, reconnectStrategy: reconnectDelay, socketTimeout: undefined },
          },
    );
    subscriber.on("error", ignore);
    const start = subscriber.connect().then(() => subscriber.subscribe(channel, onMessage));
    return subscribed(start, () => (subscriber.destroy ? subscriber.destroy() : subscriber.disconnect()));
  };
}
