import { asText, ignore, type RedisConnection, reconnectDelay, type Subscribe, subscribed } from "./connection.js";

/** What ioredis 5 and 6 and iovalkey share, alone and as a cluster. */
export interface IoredisClient {
  readonly isCluster: boolean;
  readonly options: { readonly keyPrefix?: string };
  /** Of a cluster: the nodes that serve each slot, the primary first; empty before it is connected. */
  readonly slots?: readonly (readonly string[] | undefined)[];
  createBuiltinCommand(name: string): { string(this: Sender): Command };
  sendCommand(command: Command): Promise<unknown>;
  duplicate(...overrides: unknown[]): Subscriber;
}

interface Sender {
  readonly options: object;
  sendCommand(command: Command): Command;
}

interface Command {
  args: readonly string[];
  keys?: readonly string[];
  pipelineIndex?: number;
}

type CommandClass = new (
  name: string,
  args: readonly string[],
  options: { readonly keyPrefix: string | undefined; readonly replyEncoding: "utf8" },
) => Command;

interface Subscriber {
  on(event: "error", listener: () => void): unknown;
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
  subscribe(channel: string): Promise<unknown>;
  disconnect(): void;
}

export function isIoredis(client: object): client is IoredisClient {
  const { createBuiltinCommand, sendCommand, duplicate } = client as Partial<IoredisClient>;
  return [createBuiltinCommand, sendCommand, duplicate].every((method) => typeof method === "function");
}

/** The client's own class of commands, asked of the client: nothing of it is imported, and any version of it serves. */
function commandClass(client: IoredisClient): CommandClass {
  const sample = client.createBuiltinCommand("ping").string.call({ options: {}, sendCommand: (command) => command });
  return sample.constructor as CommandClass;
}

/**
 * In small letters, and always the same text: the client looks each name up half a dozen times, and a text that was just
 * made has to be found among all others for that each time.
 */
function nameOf(command: string): string {
  const known = names.get(command);
  if (known !== undefined) return known;
  const name = command.toLowerCase();
  names.set(command, name);
  return name;
}

/** The few commands that we send. */
const names = new Map<string, string>();

export function ioredisConnection(client: IoredisClient): RedisConnection {
  const Command = commandClass(client);
  const { keyPrefix } = client.options;
  const options = { keyPrefix, replyEncoding: "utf8" } as const;

  return {
    send(args, key) {
      const name = nameOf(args[0] as string);
      const rest = args.slice(1).map(asText);
      const command = new Command(name, keyPrefix ? rest : [], options);
      if (!keyPrefix) {
        // The constructor flattens and scans its arguments, which costs as much as everything else; ours need neither
        command.args = rest;
        command.keys = [key];
      }
      // A part of a pipeline whose beginning is missing: what the client rejects when its connection breaks, whereas it
      // sends other commands again, though they may have been executed. Nor does automatic pipelining hold this one back.
      command.pipelineIndex = -1;
      return client.sendCommand(command);
    },
    cluster: client.isCluster,
    nodeOf: (slot) => client.slots?.[slot]?.[0],
    subscribe: subscribeOn(client),
  };
}

function subscribeOn(client: IoredisClient): Subscribe {
  const settings = { lazyConnect: true, enableOfflineQueue: true };
  return (channel, onMessage) => {
    const subscriber = client.isCluster
      ? client.duplicate([], { ...settings, clusterRetryStrategy: reconnectDelay })
      : client.duplicate({
          ...settings,
          autoResubscribe: true,
          maxRetriesPerRequest: null,
          retryStrategy: reconnectDelay,
        });
    subscriber.on("error", ignore);
    subscriber.on("message", (from, message) => {
      if (from === channel) onMessage(message);
    });
    return subscribed(subscriber.subscribe(channel), () => subscriber.disconnect());
  };
}
