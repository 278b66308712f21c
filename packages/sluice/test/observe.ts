import type { Redis } from "ioredis";

/** How often each command ran since the last `CONFIG RESETSTAT`, in scripts too. */
export async function commandCounts(client: Redis): Promise<Readonly<Record<string, number>>> {
  const info = await client.info("commandstats");
  return Object.fromEntries(
    Array.from(info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm), ([, name, calls]) => [name as string, Number(calls)]),
  );
}

/** What the server does during `action`, command by command. */
export async function commandsDuring(
  client: Redis,
  action: () => Promise<unknown>,
): Promise<Readonly<Record<string, number>>> {
  await client.config("RESETSTAT");
  await action();
  return commandCounts(client);
}

/** Every key that begins with `prefix`, with its time to live in ms. */
export async function timesToLive(client: Redis, prefix: string): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for await (const keys of client.scanStream({ match: `${prefix}*`, count: 1000 })) {
    for (const key of keys as string[]) found.set(key, await client.pttl(key));
  }
  return found;
}
