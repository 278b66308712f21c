import { ClosedError, StoreError } from "../../core/errors.js";
import type { Script } from "../../core/store.js";
import { isNoScript, type RedisConnection } from "./clients.js";

/** Failures in a row after which nothing is sent for a while. */
const failuresToOpen = 5;
/** ms between two questions whether the server is back. */
const probeInterval = 250;
/** ms after the last call that was wanted, until which the server is asked whether it is back. */
const probeFor = 60_000;

/**
 * The way to the server. Runs scripts, and is a circuit breaker (Nygard, "Release It!", 2007): after a few failures in a
 * row calls fail at once, so that a server that is away costs nothing, and a probe beside them asks four times a second
 * whether it is back. A failed call has an unknown outcome and is never sent again; only `NOSCRIPT` is, because then
 * nothing ran.
 */
export class Link {
  readonly connection: RedisConnection;
  #failures = 0;
  #lastError: unknown;
  #wanted = 0;
  #probe: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(connection: RedisConnection) {
    this.connection = connection;
  }

  /** Runs the script once, wherever the server keeps it. */
  async run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
    route: string,
  ): Promise<unknown> {
    const rest = [keys.length, ...keys, ...args];
    this.#enter();
    try {
      return this.#succeeded(await this.connection.send(["EVALSHA", script.sha, ...rest], route));
    } catch (error) {
      if (!isNoScript(error)) throw this.#failed(error);
    }
    return this.#send(["EVAL", script.text, ...rest], route);
  }

  /** Sends one command. */
  async send(args: readonly (string | number)[], route: string): Promise<unknown> {
    this.#enter();
    return this.#send(args, route);
  }

  /** A call did not answer in time. */
  late(): void {
    this.#failed(undefined);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#probe);
  }

  async #send(args: readonly (string | number)[], route: string): Promise<unknown> {
    try {
      return this.#succeeded(await this.connection.send(args, route));
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #enter(): void {
    if (this.#closed) throw new ClosedError("store");
    if (this.#failures < failuresToOpen) return;
    this.#wanted = performance.now();
    this.#watch();
    throw new StoreError(
      "ERR_STORE_UNAVAILABLE",
      "The store failed several times in a row; it is asked again as soon as it answers a probe.",
      { cause: this.#lastError },
    );
  }

  #succeeded<T>(reply: T): T {
    this.#failures = 0;
    return reply;
  }

  #failed(error: unknown): StoreError {
    this.#failures += 1;
    this.#lastError = error ?? this.#lastError;
    if (this.#failures === failuresToOpen) {
      this.#wanted = performance.now();
      this.#watch();
    }
    const reason = error instanceof Error && error.message !== "" ? `: ${error.message}` : ".";
    return new StoreError("ERR_STORE_UNAVAILABLE", `The store could not answer${reason}`, { cause: error });
  }

  /** Asks a harmless question until it is answered, or nobody has wanted the store for a while. */
  #watch(): void {
    if (this.#probe !== undefined || this.#closed) return;
    this.#probe = setTimeout(() => {
      this.#probe = undefined;
      if (this.#closed || this.#failures < failuresToOpen) return;
      void this.#ask();
      if (performance.now() - this.#wanted < probeFor) this.#watch();
    }, probeInterval);
    this.#probe.unref();
  }

  async #ask(): Promise<void> {
    try {
      await this.connection.send(["TIME"], "probe");
      this.#failures = 0;
    } catch {
      // still away: the next probe is set already
    }
  }
}
