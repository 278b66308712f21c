import { show, typeError } from "../core/errors.js";
import { warnOnce } from "../core/warn.js";

/** A client that this library made, and so closes. */
export interface OwnClient {
  readonly client: unknown;
  readonly close: () => Promise<void>;
}

/** How a package is imported; one that is not installed rejects. */
type Load = (name: string) => Promise<object>;

/** How long a start waits for the server before it goes on without: the limiter answers for a store that is away. */
const patience = 1000;

/** The delay before the next attempt to connect, ms. */
const delay = (attempts: number): number => Math.min(50 * 2 ** Math.min(attempts, 6), 2000);

/**
 * The limiter hears of a server that is away by its calls, and may let everything through then: the operator is told why,
 * once for each kind of reason. An unheard 'error' event would end the process, too.
 */
function tell(error: unknown): void {
  const { code, message } = error as { code?: unknown; message?: unknown };
  const kind = typeof code === "string" ? code : String(message).split(" ", 1)[0];
  const reason = typeof message === "string" && message !== "" ? message : (kind ?? show(error));
  warnOnce(
    `config-redis:${kind}`,
    `The limiter's own client of Redis cannot connect, or has lost its connection: ${reason}. Until it has one, the limiter does what RATELIMIT_WHEN_STORE_FAILS says.`,
  );
}

/** What is used of ioredis. */
interface Ioredis {
  on(event: "error", listener: (error: unknown) => void): unknown;
  connect(): Promise<unknown>;
  disconnect(): void;
}

/** What is used of node-redis. */
interface NodeRedis {
  readonly isOpen: boolean;
  on(event: "error", listener: (error: unknown) => void): unknown;
  connect(): Promise<unknown>;
  /** Missing in node-redis 4. */
  destroy?(): void;
  disconnect(): Promise<unknown>;
}

/** By package, in the order of preference: nothing is queued while the server is away, and nothing is sent twice. */
const libraries: readonly {
  readonly name: string;
  readonly open: (module: object, url: string) => OwnClient & { readonly ready: Promise<unknown> };
}[] = [
  {
    name: "ioredis",
    open: (module, url) => {
      const { Redis } = module as { Redis: new (url: string, options: object) => Ioredis };
      const client = new Redis(url, {
        lazyConnect: true,
        enableOfflineQueue: false,
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        retryStrategy: delay,
      });
      client.on("error", tell);
      return { client, ready: client.connect(), close: async () => client.disconnect() };
    },
  },
  {
    name: "redis",
    open: (module, url) => {
      const { createClient } = module as { createClient: (options: object) => NodeRedis };
      const client = createClient({ url, disableOfflineQueue: true, socket: { reconnectStrategy: delay } });
      client.on("error", tell);
      return {
        client,
        ready: client.connect(),
        close: async () => {
          if (!client.isOpen) return;
          if (client.destroy === undefined) await client.disconnect();
          else client.destroy();
        },
      };
    },
  },
];

/**
 * A client of ioredis or node-redis, whichever is installed, connected or connecting.
 *
 * @throws TypeError with code `ERR_INVALID_ARGUMENT` when neither is installed.
 */
export async function connectRedis(url: string, load: Load = (name) => import(name)): Promise<OwnClient> {
  for (const { name, open } of libraries) {
    const module = await installed(name, load);
    if (module === undefined) continue;
    const { ready, ...own } = open(module, url);
    await atMost(patience, ready.catch(tell));
    return own;
  }
  throw typeError(
    "ERR_INVALID_ARGUMENT",
    "A Redis URL is configured, but neither ioredis nor redis is installed: `npm install ioredis`, or `npm install redis`.",
  );
}

async function installed(name: string, load: Load): Promise<object | undefined> {
  try {
    return await load(name);
  } catch (error) {
    if ((error as { code?: string }).code === "ERR_MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

/** Waits for the promise, which never rejects, but no longer than so many ms. */
async function atMost(longest: number, promise: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, longest);
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
