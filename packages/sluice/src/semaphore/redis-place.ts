import type { Clock } from "../core/clock.js";
import type { Message } from "./mailbox.js";
import type { Grant, Place, Waiter } from "./permits.js";

/** What a place needs of those who talk to the server. */
export interface Desk {
  readonly clock: Clock;
  /** True when a grant that lasts `left` µs is a whole lease. */
  isWhole(left: number): boolean;
  renew(place: RedisPlace): Promise<boolean>;
  release(place: RedisPlace): Promise<boolean>;
  /** Gives back whatever the place has on the server, in the background. */
  giveBack(place: RedisPlace): void;
  /** Asks the server what is true of those who wait with this place. */
  look(place: RedisPlace): void;
  /** The place is over, by a grant, by a refusal or a failure, or because it was left. */
  end(place: RedisPlace): void;
}

/**
 * One caller and what it has on the server, under one id: first a question, perhaps a place in line, then permits.
 *
 * The server's moments are translated to the local clock so that a lease ends here before it ends there: a moment of the
 * server's is as far from the moment of its reply as it is here from the moment when the question was *sent*, less a
 * thousandth, because clocks drift.
 */
export class RedisPlace implements Place, Grant {
  readonly key: string;
  readonly id: string;
  readonly count: number;
  /** "over" once the outcome is known. */
  state: "asking" | "waiting" | "over" | "left" = "asking";
  /** In line: a number that grows from the first to the last. */
  place = 0;
  token = 0;
  expiry = 0;
  provisional = false;
  /** When the latest question was sent that the server has answered, and the server's clock in that answer. */
  confirmed = 0;
  #serverTime = 0;
  /** The server's clock when it had forgotten a former place. */
  #forgotten = 0;
  readonly #desk: Desk;
  #message: Message | undefined;
  #waiter!: Waiter;

  constructor(desk: Desk, key: string, id: string, count: number) {
    this.#desk = desk;
    this.key = key;
    this.id = id;
    this.count = count;
  }

  occupy(waiter: Waiter): void {
    this.#waiter = waiter;
  }

  renew(): Promise<boolean> {
    return this.#desk.renew(this);
  }

  release(): Promise<boolean> {
    return this.#desk.release(this);
  }

  giveBack(): void {
    this.#desk.giveBack(this);
  }

  leave(): void {
    const { state } = this;
    if (state === "left") return;
    this.#end("left");
    // while the question is under way, what becomes of it is given back when that is known
    if (state !== "asking") this.#desk.giveBack(this);
  }

  /** The server has answered. */
  confirm(sent: number, serverTime: number): void {
    this.confirmed = sent;
    this.#serverTime = serverTime;
  }

  /** The server has forgotten the place, and is asked anew: what it said of it before that does not count any more. */
  askAgain(): void {
    this.state = "asking";
    this.#forgotten = this.#serverTime;
  }

  /** In line, at `place`. False when it was left meanwhile. */
  wait(place: number): boolean {
    if (this.state === "left") {
      this.#desk.giveBack(this);
      return false;
    }
    this.state = "waiting";
    this.place = place;
    const message = this.#message;
    if (message !== undefined) {
      this.#message = undefined;
      this.hear(message);
    }
    return this.state === "waiting";
  }

  /** A message about its turn: it may come before the answer to the question, and it may come late. */
  hear(message: Message): void {
    if (message.now < this.#forgotten) return;
    if (this.state === "asking") this.#message = message;
    if (this.state !== "waiting") return;
    const { token, now, expiry } = message;
    this.extend(this.confirmed, this.#serverTime, expiry);
    if (this.expiry <= this.#desk.clock.now()) this.#desk.look(this);
    else this.#grant(token, !this.#desk.isWhole(expiry - now));
  }

  /**
   * The server has told what became of it: a token, or a refusal. False when what was granted is over already, unless
   * that does not matter any more (`last`).
   */
  settle(token: number, expiry: number, last: boolean): boolean {
    if (this.state === "left") {
      if (token > 0) this.#desk.giveBack(this);
    } else if (token > 0) {
      this.extend(this.confirmed, this.#serverTime, expiry);
      if (this.expiry <= this.#desk.clock.now() && !last) return false;
      this.#grant(token, false);
    } else {
      this.#end("over");
      this.#waiter.granted(undefined);
    }
    return true;
  }

  /** The store has failed: what became of it is unknown. */
  fail(error: unknown): void {
    if (this.state !== "left") {
      this.#end("over");
      this.#waiter.failed(error);
    }
    this.#desk.giveBack(this);
  }

  extend(sent: number, now: number, expiry: number): void {
    const left = expiry - now;
    this.expiry = Math.max(this.expiry, sent + left - Math.ceil(left / 1000));
    this.provisional = false;
  }

  #grant(token: number, provisional: boolean): void {
    this.token = token;
    this.provisional = provisional;
    this.#end("over");
    this.#waiter.granted(this);
  }

  #end(state: "over" | "left"): void {
    this.state = state;
    this.#desk.end(this);
  }
}
