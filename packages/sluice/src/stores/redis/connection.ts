/** What the Redis store needs of a client, whichever it is. */
export interface RedisConnection {
  /**
   * Sends one command. `key` is the key that routes it on a cluster: the first of the command's own. Integers arrive as
   * numbers, bulk strings as strings, arrays as arrays; a client that was told to give numbers as strings does so here too.
   * Rejects with the client's own error. The connection never sends a command that was in flight again,
   * and drops one that it cannot write within so many ms, where the client lets it.
   */
  send(args: readonly (string | number)[], key: string, within?: number): Promise<unknown>;
  /** True on a cluster: the keys of one call must share a slot. */
  readonly cluster: boolean;
  /** A name for the node that serves a slot, as far as the client knows; absent where the client does not tell. */
  readonly nodeOf?: (slot: number) => string | undefined;
  /** Listens to a channel on a connection of its own; undefined when the client cannot. */
  readonly subscribe: Subscribe | undefined;
}

/**
 * Resolves when the server has confirmed the subscription, with what ends it and closes its connection. Rejects when that
 * takes longer than two seconds; nothing is left behind then. Renewed by the client after a lost connection: messages of
 * the meantime are lost.
 */
export type Subscribe = (channel: string, onMessage: (message: string) => void) => Promise<() => Promise<void>>;

const subscribeTimeout = 2000;

/** An `error` event that nobody hears ends the process, and what it says is no news: the client connects again. */
export const ignore = (): void => {};

/** How often our own connections try again: ms until the next attempt. */
export const reconnectDelay = (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 6), 2000);

export const asText = (argument: string | number): string =>
  typeof argument === "string" ? argument : String(argument);

/** Waits for `start`, which subscribes, and returns `close`; when it fails or takes too long, closes at once. */
export async function subscribed(start: Promise<unknown>, close: () => unknown): Promise<() => Promise<void>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`The server did not confirm the subscription within ${subscribeTimeout} ms.`));
    }, subscribeTimeout);
  });
  try {
    await Promise.race([start, late]);
  } catch (error) {
    start.catch(ignore);
    await close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return async () => {
    await close();
  };
}
