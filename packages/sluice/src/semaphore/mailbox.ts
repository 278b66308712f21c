import type { ScriptHost } from "../core/store.js";

/** A message from the script: a grant and the server's moments of its making and its end, or three zeros: ask again. */
export interface Message {
  readonly token: number;
  readonly now: number;
  readonly expiry: number;
}

/** How long the subscription outlives the last who waited, ms. */
const linger = 10_000;

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
  readonly #expected = new Map<string, (message: Message) => void>();
  /** Called when messages begin to arrive: what came before was lost. */
  readonly #listeners = new Set<() => void>();
  #count = 0;
  #semaphores = 0;
  #opening = false;
  #unsubscribe: (() => Promise<void>) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(scripts: ScriptHost) {
    this.#scripts = scripts;
    this.channel = scripts.name("semaphore", "wake", this.#client);
  }

  /** An id that nobody else has, in any process. */
  newId(): string {
    return `${this.#client}.${(this.#count++).toString(36)}`;
  }

  expect(id: string, hear: (message: Message) => void): void {
    this.#expected.set(id, hear);
  }

  forget(id: string): void {
    this.#expected.delete(id);
  }

  /** Opens, and calls `whenOpen` each time that this succeeds, until `leave`. After a failure, call it again. */
  listen(whenOpen: () => void): void {
    this.#listeners.add(whenOpen);
    clearTimeout(this.#timer);
    if (!this.isOpen && !this.#opening) void this.#open();
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
    if (this.#semaphores === 0 && this.#listeners.size === 0) await this.#close();
  }

  async #open(): Promise<void> {
    const { subscribe } = this.#scripts;
    if (subscribe === undefined) return;
    this.#opening = true;
    try {
      this.#unsubscribe = await subscribe(this.channel, (text) => this.#deliver(text));
      this.isOpen = true;
    } catch {
      // those who wait look for themselves meanwhile, and call `listen` again
    }
    this.#opening = false;
    if (!this.isOpen) return;
    for (const listener of this.#listeners) listener();
    if (this.#semaphores === 0) await this.#close();
    else this.#lingerOn();
  }

  #deliver(text: string): void {
    for (const message of text.split(";")) {
      const [id, token, now, expiry] = message.split(" ");
      this.#expected.get(id as string)?.({ token: Number(token), now: Number(now), expiry: Number(expiry) });
    }
  }

  #lingerOn(): void {
    clearTimeout(this.#timer);
    if (this.#listeners.size > 0) return;
    const timer = setTimeout(() => void this.#close(), linger) as ReturnType<typeof setTimeout> & {
      unref?: () => void;
    };
    timer.unref?.();
    this.#timer = timer;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
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
