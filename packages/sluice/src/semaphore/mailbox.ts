import { preciseClock } from "../core/clock.js";
import type { ScriptHost } from "../core/store.js";
import { warnOnce } from "../core/warn.js";
import { inBackground, retryDelay } from "./timers.js";

/** A message from the script: a grant, and the server's moments of its making and its end. */
export interface Message {
  readonly token: number;
  readonly now: number;
  readonly expiry: number;
}

/** How long the subscription outlives the last who waited, µs. */
const linger = 10_000_000;
/** The longest time, µs, between two attempts to subscribe. */
const longestDelay = 32_000_000;

/**
 * Where this process hears that somebody's turn has come: one channel and one subscription for all semaphores of a
 * store, however many wait for however many keys. Open only while somebody waits, and a moment longer.
 */
export class Mailbox {
  readonly channel: string;
  /** True while messages arrive. */
  isOpen = false;
  readonly #scripts: ScriptHost;
  readonly #client: string = crypto.randomUUID().replaceAll("-", "").slice(0, 16);
  readonly #expected = new Map<string, { hear(message: Message): void }>();
  /** Called when messages begin to arrive (what came before was lost), and when the store is closed. */
  readonly #listeners = new Set<() => void>();
  #count = 0;
  #semaphores = 0;
  #opening: Promise<void> | undefined;
  #unsubscribe: (() => Promise<void>) | undefined;
  #cancelLinger: (() => void) | undefined;
  /** No attempt to subscribe is made before `notBefore`; after it, none for `delay`. */
  #notBefore = 0;
  #delay = retryDelay;
  #closed = false;

  constructor(scripts: ScriptHost) {
    this.#scripts = scripts;
    this.channel = scripts.name("semaphore", "wake", this.#client);
    scripts.whenClosed(() => this.#shut());
  }

  /** An id that nobody else has, in any process. */
  newId(): string {
    return `${this.#client}.${(this.#count++).toString(36)}`;
  }

  expect(id: string, hearer: { hear(message: Message): void }): void {
    this.#expected.set(id, hearer);
  }

  forget(id: string): void {
    this.#expected.delete(id);
  }

  /** Opens, and calls `whenOpen` each time that this succeeds, until `leave`. After a failure, call it again. */
  listen(whenOpen: () => void): void {
    this.#listeners.add(whenOpen);
    this.#stay();
    const { subscribe } = this.#scripts;
    if (this.isOpen || this.#opening !== undefined || this.#closed || subscribe === undefined) return;
    if (preciseClock.now() < this.#notBefore) return;
    this.#opening = this.#open(subscribe).finally(() => {
      this.#opening = undefined;
    });
  }

  leave(whenOpen: () => void): void {
    if (this.#listeners.delete(whenOpen)) this.#lingerOn();
  }

  /** One semaphore more uses it. */
  join(): void {
    this.#semaphores += 1;
  }

  /** One semaphore less; the last one closes it. */
  async part(): Promise<void> {
    this.#semaphores -= 1;
    if (this.#semaphores === 0) await this.#close();
  }

  /** Messages, as the script joins them. */
  deliver(text: string): void {
    for (const message of text.split(";")) {
      const [id, token, now, expiry] = message.split(" ");
      this.#expected.get(id as string)?.hear({ token: Number(token), now: Number(now), expiry: Number(expiry) });
    }
  }

  async #open(subscribe: NonNullable<ScriptHost["subscribe"]>): Promise<void> {
    try {
      this.#unsubscribe = await subscribe(this.channel, (text) => this.deliver(text));
    } catch (error) {
      // those who wait look for themselves meanwhile, and call `listen` again
      this.#notBefore = preciseClock.now() + this.#delay;
      this.#delay = Math.min(2 * this.#delay, longestDelay);
      if (String(error).includes("NOPERM")) {
        warnOnce(
          "semaphore channels",
          `The user of the store may not subscribe to ${this.channel}, so those who wait for a semaphore look once a second whether it is their turn. Allow it the channels of the store's prefix.`,
        );
      }
      return;
    }
    this.#delay = retryDelay;
    this.isOpen = true;
    for (const listener of this.#listeners) listener();
    this.#lingerOn();
  }

  #stay(): void {
    this.#cancelLinger?.();
    this.#cancelLinger = undefined;
  }

  #lingerOn(): void {
    if (this.#listeners.size > 0 || !this.isOpen) return;
    this.#stay();
    this.#cancelLinger = inBackground(linger, () => void this.#close());
  }

  async #shut(): Promise<void> {
    this.#closed = true;
    for (const listener of this.#listeners) listener();
    await this.#close();
  }

  async #close(): Promise<void> {
    // what is being opened is closed as soon as it is
    await this.#opening;
    this.#stay();
    const unsubscribe = this.#unsubscribe;
    this.#unsubscribe = undefined;
    this.isOpen = false;
    try {
      await unsubscribe?.();
    } catch {
      // the connection is gone: so is the subscription
    }
  }
}

const mailboxes = new WeakMap<ScriptHost, Mailbox>();

/** The mailbox of a store in this process. */
export function mailboxOf(scripts: ScriptHost): Mailbox {
  const known = mailboxes.get(scripts) ?? new Mailbox(scripts);
  mailboxes.set(scripts, known);
  return known;
}
