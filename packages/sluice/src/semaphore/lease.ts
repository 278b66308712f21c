import type { Clock } from "../core/clock.js";
import { LeaseLostError, show } from "../core/errors.js";
import type { Grant, Permits } from "./permits.js";
import { retryDelay } from "./timers.js";

/** Permits that are out: held until they are released, or until the lease is lost. */
export interface Lease extends AsyncDisposable {
  readonly key: string;
  readonly permits: number;
  /** Fencing token: strictly greater than that of every earlier grant of the same key, also after the key was idle and forgotten. */
  readonly token: number;
  /** Aborts with `LeaseLostError` when the lease is lost or can no longer be confirmed in time. */
  readonly signal: AbortSignal;
  /**
   * Holds on for a whole lease from now. False when the lease was lost already, or once its release was asked for. Rejects
   * with `StoreError` when the store failed.
   */
  renew(): Promise<boolean>;
  /**
   * Idempotent: repeats its first answer. False when the lease was lost before: then nothing is given back twice. Rejects
   * with `StoreError` when the store failed, and may be called again then; the lease is not renewed any more, so that the
   * permits are back when it ends in any case.
   */
  release(): Promise<boolean>;
}

/** A lease that renews itself at a third of what is left of it, and says when it could not. */
export class HeldLease implements Lease {
  readonly key: string;
  readonly permits: number;
  readonly token: number;
  readonly #grant: Grant;
  readonly #clock: Clock;
  readonly #alarms: Permits["alarms"];
  readonly #renews: boolean;
  #asking = false;
  #lost: LeaseLostError | undefined;
  #answer: Promise<boolean> | undefined;
  /** True once a release was asked for: from then on nothing is renewed, whatever becomes of it. */
  #giving = false;
  /** True once a release may have happened without our knowing. */
  #unsure = false;
  #controller: AbortController | undefined;
  #cancelAlarm: (() => void) | undefined;

  constructor(key: string, permits: number, grant: Grant, store: Permits, renews: boolean) {
    this.key = key;
    this.permits = permits;
    this.token = grant.token;
    this.#grant = grant;
    this.#clock = store.clock;
    this.#alarms = store.alarms;
    this.#renews = renews;
    if (this.#mustRenew() && grant.expiry !== Number.POSITIVE_INFINITY) this.#watch();
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#lost !== undefined) this.#controller.abort(this.#lost);
      else if (this.#cancelAlarm === undefined && !this.#ended()) this.#watch();
    }
    return this.#controller.signal;
  }

  async renew(): Promise<boolean> {
    if (this.#giving || this.#runOut()) return false;
    const held = await this.#grant.renew();
    if (this.#giving || this.#lost !== undefined) return false;
    if (!held) this.#lose();
    else if (this.#cancelAlarm !== undefined) this.#watch();
    return held;
  }

  release(): Promise<boolean> {
    this.#answer ??= this.#release();
    return this.#answer;
  }

  /** Releases at the end of a scope: at once where the store can. A store that fails then fails nobody: it is asked again meanwhile. */
  end(): Promise<unknown> | undefined {
    if (this.#answer !== undefined || this.#grant.expiry !== Number.POSITIVE_INFINITY) {
      return this.release().catch(() => this.#grant.giveBack());
    }
    this.#giving = true;
    this.#answer = Promise.resolve(this.#grant.release());
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  async #release(): Promise<boolean> {
    this.#giving = true;
    if (this.#runOut()) {
      // that is known here, whatever the store says; it may hold on to it a moment longer
      this.#grant.giveBack();
      return false;
    }
    try {
      const held = (await this.#grant.release()) || (this.#unsure && this.#clock.now() < this.#grant.expiry);
      this.#cancelAlarm?.();
      return held && this.#lost === undefined;
    } catch (error) {
      this.#answer = undefined;
      this.#unsure = true;
      throw error;
    }
  }

  #ended(): boolean {
    return this.#lost !== undefined || this.#answer !== undefined;
  }

  #mustRenew(): boolean {
    return (this.#renews || this.#grant.provisional) && !this.#giving;
  }

  #lose(): void {
    this.#cancelAlarm?.();
    if (this.#lost !== undefined) return;
    this.#lost = new LeaseLostError(`The lease on ${show(this.key)} was lost: it was not confirmed before it ran out.`);
    this.#controller?.abort(this.#lost);
  }

  /** True when the lease is lost, which it is once its end has passed. */
  #runOut(): boolean {
    if (this.#grant.expiry !== Number.POSITIVE_INFINITY && this.#grant.expiry <= this.#clock.now()) this.#lose();
    return this.#lost !== undefined;
  }

  /** Sleeps until the next renewal is due (`most` µs away at most), or until the end where none is. */
  #watch(most: number = Number.POSITIVE_INFINITY): void {
    this.#cancelAlarm?.();
    const left = this.#grant.expiry - this.#clock.now();
    if (left <= 0) this.#lose();
    else if (!this.#mustRenew() || this.#asking) this.#set(left, () => this.#watch());
    else this.#set(Math.min(left, most, Math.max(left / 3, 1000)), () => this.#attempt());
  }

  #set(delay: number, ring: () => void): void {
    if (delay !== Number.POSITIVE_INFINITY) this.#cancelAlarm = this.#alarms.in(delay, ring, false);
  }

  #attempt(): void {
    this.#asking = this.#mustRenew();
    // the end comes also while the store does not answer
    this.#watch();
    if (this.#asking && this.#lost === undefined) void this.#ask();
  }

  async #ask(): Promise<void> {
    let held = true;
    let most = Number.POSITIVE_INFINITY;
    try {
      held = await this.#grant.renew();
    } catch {
      most = retryDelay;
    }
    this.#asking = false;
    // one that is given back sleeps until its end
    if (this.#giving || this.#lost !== undefined) return;
    if (held) this.#watch(most);
    else this.#lose();
  }
}
