import { show, typeError } from "../../core/errors.js";
import { asText, type RedisConnection } from "./connection.js";
import { glideConnection, isGlide } from "./glide.js";
import { ioredisConnection, isIoredis } from "./ioredis.js";
import { isNodeRedis, nodeRedisConnection } from "./node-redis.js";

export type { RedisConnection } from "./connection.js";

interface Sender {
  send(args: string[]): Promise<unknown>;
  /** True when it speaks to a cluster. */
  readonly cluster?: boolean;
}

function isSender(client: object): client is Sender {
  return typeof (client as Partial<Sender>).send === "function";
}

function senderConnection(client: Sender): RedisConnection {
  return {
    send: async (args) => textual(await client.send(args.map(asText))),
    cluster: client.cluster === true,
    subscribe: undefined,
  };
}

/** Who gives bulk strings as bytes means text. */
function textual(reply: unknown): unknown {
  if (reply instanceof Uint8Array) return utf8.decode(reply);
  return Array.isArray(reply) ? reply.map(textual) : reply;
}

const utf8 = new TextDecoder();

function adapt(client: unknown): RedisConnection | undefined {
  if (typeof client !== "object" || client === null) return undefined;
  if (isIoredis(client)) return ioredisConnection(client);
  if (isGlide(client)) return glideConnection(client);
  if (isNodeRedis(client)) return nodeRedisConnection(client);
  return isSender(client) ? senderConnection(client) : undefined;
}

/**
 * The connection that a client offers, recognised by what it can do. The client stays the caller's: it is not configured,
 * listened to or closed here, and need not be connected yet.
 *
 * @throws TypeError `ERR_INVALID_ARGUMENT` for an object that is no client.
 */
export function connect(client: unknown): RedisConnection {
  const connection = adapt(client);
  if (connection) return connection;
  const came = typeof client === "object" && client !== null ? `an object of class ${className(client)}` : show(client);
  throw typeError(
    "ERR_INVALID_ARGUMENT",
    "Expected client to be a client of ioredis 5 or 6, iovalkey, node-redis 4, 5 or 6, or valkey-glide 2, alone or as a " +
      `cluster, or an object with send(args), which resolves with the reply; got ${came}.`,
  );
}

function className(value: object): string {
  const type: unknown = value.constructor;
  return typeof type === "function" && type.name ? type.name : "unknown";
}

function messageOf(error: unknown): string {
  const message = (error as { readonly message?: unknown } | null | undefined)?.message;
  return typeof message === "string" ? message : "";
}

/**
 * True when the server did not know the script: nothing was executed. Read off the beginning of the message, the only
 * thing that all clients agree on; valkey-glide has words of its own for it.
 */
export function isNoScript(error: unknown): boolean {
  return noScript.test(messageOf(error));
}

const noScript = /^(?:NOSCRIPT |(?:An error was signalled by the server: - )?NoScriptError: )/;

/** True when a node had only some of the keys, the others being on their way to another node: nothing was executed. */
export function isTryAgain(error: unknown): boolean {
  return tryAgain.test(messageOf(error));
}

const tryAgain = /^TRYAGAIN:? /;

/** True when a server that is well refused what it was asked: a key holds another type, or the script failed on what it found. */
export function isAnswer(error: unknown): boolean {
  return answer.test(messageOf(error));
}

const answer =
  /^(?:WRONGTYPE:? |ERR |An error was signalled by the server: - ResponseError: )(?!max number of clients)/;
