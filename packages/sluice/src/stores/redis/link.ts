import { StoreError } from "../../core/errors.js";
import type { Script } from "../../core/store.js";
import { isNoScript, type RedisConnection } from "./clients.js";

/** Failures in a row after which the server is left alone for a moment. */
const failuresToOpen = 5;
/** ms that it is left alone before one question tries it again. */
const pause = 250;

/**
 * The way to the server. Runs scripts, and is a circuit breaker (Nygard, "Release It!", 2007): after a few failures in a
 * row nothing is sent for a moment, then one question goes first, so that a server that is away costs nothing and one
 * that is back is used again at once. A failed call has an unknown outcome and is never sent again; only `NOSCRIPT` is,
 * because then nothing ran.
 */
export class Link {
  readonly connection: RedisConnection;
  #failures = 0;
  #openUntil = 0;
  #probing = false;
  #lastError: unknown;

  constructor(connection: RedisConnection) {
    this.connection = connection;
  }

  /** Runs the script once, wherever the server keeps it. */
  async run(script: Script, keys: readonly string[], args: readonly (string | number)[], route: string): Promise<unknown> {
    const rest = [keys.length, ...keys, ...args];
    return this.guarded(async () => {
      try {
        return await this.connection.send(["EVALSHA", script.sha, ...rest], route);
      } catch (error) {
        if (!isNoScript(error)) throw error;
        return await this.connection.send(["EVAL", script.text, ...rest], route);
      }
    });
  }

  /** Sends one command. */
  async send(args: readonly (string | number)[], route: string): Promise<unknown> {
    return this.guarded(() => this.connection.send(args, route));
  }

  /** Counts a call that did not answer in time as a failure. */
  late(): void {
    this.#failed(undefined);
  }

  async guarded<T>(call: () => Promise<T>): Promise<T> {
    this.#enter();
    try {
      const reply = await call();
      this.#failures = 0;
      this.#probing = false;
      return reply;
    } catch (error) {
      this.#failed(error);
      throw unavailable(error);
    }
  }

  #enter(): void {
    if (this.#failures < failuresToOpen) return;
    if (this.#probing || performance.now() < this.#openUntil) {
      throw new StoreError(
        "ERR_STORE_UNAVAILABLE",
        "The store failed several times in a row and is left alone for a moment.",
        { cause: this.#lastError },
      );
    }
    this.#probing = true;
  }

  #failed(error: unknown): void {
    this.#failures += 1;
    this.#probing = false;
    this.#lastError = error ?? this.#lastError;
    if (this.#failures >= failuresToOpen) this.#openUntil = performance.now() + pause;
  }
}

function unavailable(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const reason = error instanceof Error && error.message !== "" ? `: ${error.message}` : ".";
  return new StoreError("ERR_STORE_UNAVAILABLE", `The store could not answer${reason}`, { cause: error });
}
