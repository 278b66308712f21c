import { asText, ignore, type RedisConnection, type Subscribe, subscribed } from "./connection.js";

/** What valkey-glide 2 offers, alone and as a cluster. */
export interface GlideClient {
  customCommand(args: readonly string[], options: { readonly decoder: number }): Promise<unknown>;
  readonly config?: object;
}

interface Subscriber {
  unsubscribe?(channels: Set<string>, timeout: number): Promise<void>;
  close(): void;
}

/** `Decoder.String` */
const decoder = 1;
/** `PubSubChannelModes.Exact` */
const exactly = 0;

export function isGlide(client: object): client is GlideClient {
  return typeof (client as Partial<GlideClient>).customCommand === "function";
}

/** Routes by the command's own keys. */
export function glideConnection(client: GlideClient): RedisConnection {
  return {
    send: (args) => client.customCommand(args.map(asText), { decoder }),
    cluster: "sunsubscribe" in client,
    subscribe: subscribeOn(client),
  };
}

/** Messages come to a callback that only a new client can be given: one of the same class and configuration. */
function subscribeOn(client: GlideClient): Subscribe | undefined {
  const { config } = client;
  const { createClient } = client.constructor as { createClient?: (config: object) => Promise<Subscriber> };
  if (config === undefined || createClient === undefined) return undefined;
  return (channel, onMessage) => {
    const channels = new Set([channel]);
    const subscriber = createClient.call(client.constructor, {
      ...client.config,
      lazyConnect: false,
      protocol: undefined,
      pubsubSubscriptions: {
        channelsAndPatterns: { [exactly]: channels },
        callback: ({ message }: { message: string | Uint8Array }) => onMessage(message.toString()),
      },
    });
    // Closed while subscribed, it tries to subscribe again and prints an error
    const close = async (late: Subscriber): Promise<void> => {
      await late.unsubscribe?.(channels, 1000).catch(ignore);
      late.close();
    };
    return subscribed(subscriber, () => subscriber.then(close, ignore));
  };
}
