import { StoreError } from "../../core/errors.js";

/** Failures in a row after which nothing is sent for a while. */
const failuresToOpen = 5;
/** ms between two questions whether the server is back. */
const probeInterval = 250;
/** ms after the last call that was wanted, until which the server is asked whether it is back. */
const probeFor = 60_000;

/** Asks something harmless that goes where `key` goes, to be dropped if it cannot be written within so many ms. */
export type Probe = (key: string, within: number) => Promise<unknown>;

/**
 * A circuit breaker (Nygard, "Release It!", 2007) for what fails together: one server, or one node of a cluster. After a
 * few failures in a row calls fail at once, so that a server that is away costs nothing, and a probe beside them asks four
 * times a second whether it is back.
 */
export class Breaker {
  readonly #probe: Probe;
  #failures = 0;
  #lastError: unknown;
  /** One that failed: on a cluster it leads to the node that is away. */
  #key = "";
  /** ms: the longest that a caller waited in vain. An answer that takes longer helps nobody. */
  #patience = 0;
  /** ms: when a call was wanted last. */
  #wanted = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(probe: Probe) {
    this.#probe = probe;
  }

  /** True from a failure on, until something is answered. */
  get doubtful(): boolean {
    return this.#failures > 0;
  }

  /** @throws StoreError when nothing is sent for now. */
  check(): void {
    if (this.#failures < failuresToOpen) return;
    this.#wanted = performance.now();
    throw new StoreError(
      "ERR_STORE_UNAVAILABLE",
      "The store failed several times in a row; it is asked again as soon as it answers a probe.",
      { cause: this.#lastError },
    );
  }

  /** A call was answered while somebody waited for it. */
  succeeded(): void {
    this.#failures = 0;
    this.#patience = 0;
  }

  failed(key: string, error: unknown): void {
    this.#lastError = error;
    this.#count(key);
  }

  /** A call was not answered within `timeout` ms. */
  late(key: string, timeout: number): void {
    this.#patience = Math.max(this.#patience, timeout);
    this.#count(key);
  }

  /** Asks no more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #count(key: string): void {
    this.#key = key;
    this.#failures += 1;
    if (this.#failures !== failuresToOpen) return;
    this.#wanted = performance.now();
    this.#watch();
  }

  /** Asks until it is answered, or nobody has wanted the store for a while: then the next caller's question is the probe. */
  #watch(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#closed || this.#failures < failuresToOpen) return;
      if (performance.now() - this.#wanted >= probeFor) {
        this.#failures = failuresToOpen - 1;
        return;
      }
      void this.#ask();
      this.#watch();
    }, probeInterval);
    this.#timer.unref();
  }

  async #ask(): Promise<void> {
    const sent = performance.now();
    try {
      await this.#probe(this.#key, probeInterval);
      if (this.#patience === 0 || performance.now() - sent <= this.#patience) this.succeeded();
    } catch {
      // still away: the next probe is set already
    }
  }
}
