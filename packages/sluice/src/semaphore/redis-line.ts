import type { Clock } from "../core/clock.js";
import type { Mailbox } from "./mailbox.js";
import type { Permits } from "./permits.js";

/** How often those who wait say that they are still there, µs: it is also how long a lost message delays. */
const beatPeriod = 4_000_000;
/** Where the client cannot subscribe, how often they look whether it is their turn: µs at first, and at most. */
const shortestPoll = 20_000;
const longestPoll = 1_000_000;

/**
 * Those in this process who wait for one key. They answer together, every few seconds while messages arrive, so that any
 * number of them costs a fraction of a command a second; and at the moment when a permit can come back by time alone.
 */
export class RedisLine<P> {
  readonly places: Map<string, P> = new Map();
  readonly #mailbox: Mailbox;
  readonly #clock: Clock;
  readonly #alarms: Permits["alarms"];
  readonly #ask: (line: RedisLine<P>) => Promise<number | undefined>;
  readonly #longestPoll: number;
  #poll = shortestPoll;
  /** When the next beat is due. */
  #at = Number.POSITIVE_INFINITY;
  #cancelAlarm: (() => void) | undefined;
  #beating = false;
  #again = false;

  /**
   * `ask` tells the server who is still there; it says in how many µs somebody's turn may come by time alone, undefined
   * when the store failed. `lease` in µs: a grant that nobody heard of must not run out before somebody looks.
   */
  constructor(
    mailbox: Mailbox,
    { clock, alarms }: Pick<Permits, "clock" | "alarms">,
    lease: number,
    ask: (line: RedisLine<P>) => Promise<number | undefined>,
  ) {
    this.#mailbox = mailbox;
    this.#clock = clock;
    this.#alarms = alarms;
    this.#longestPoll = Math.min(longestPoll, lease / 4);
    this.#ask = ask;
  }

  /** `soonest`: µs until somebody's turn may come by time alone. */
  join(id: string, place: P, soonest: number): void {
    this.places.set(id, place);
    this.#poll = shortestPoll;
    this.#sleep(soonest);
  }

  leave(id: string): void {
    if (!this.places.delete(id) || this.places.size > 0) return;
    this.#disarm();
    this.#mailbox.leave(this.beat);
  }

  /** Asks the server now. */
  readonly beat = (): void => {
    this.#again = true;
    if (!this.#beating) void this.#run();
  };

  async #run(): Promise<void> {
    this.#beating = true;
    this.#disarm();
    let soonest: number | undefined = 0;
    while (this.#again && this.places.size > 0) {
      this.#again = false;
      soonest = await this.#ask(this);
    }
    this.#beating = false;
    this.#again = false;
    if (this.places.size > 0) this.#sleep(soonest);
  }

  /** Sleeps until the next beat is due, or until an earlier one that was due already. */
  #sleep(soonest: number | undefined): void {
    this.#mailbox.listen(this.beat);
    // a millisecond on, lest the server's clock be just short of it
    const delay = Math.min(this.#period(), soonest === undefined ? longestPoll : soonest + 1000);
    const at = this.#clock.now() + delay;
    if (at >= this.#at) return;
    this.#disarm();
    this.#at = at;
    this.#cancelAlarm = this.#alarms.in(delay, this.beat);
  }

  #disarm(): void {
    this.#cancelAlarm?.();
    this.#at = Number.POSITIVE_INFINITY;
  }

  #period(): number {
    if (this.#mailbox.isOpen) return beatPeriod;
    const poll = Math.min(this.#poll, this.#longestPoll);
    this.#poll *= 2;
    return poll;
  }
}
