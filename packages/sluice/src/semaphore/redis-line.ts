import type { Mailbox } from "./mailbox.js";
import type { Permits } from "./permits.js";
import type { RedisPlace } from "./redis-place.js";

/** How often those who wait say that they are still there, µs: it is also how long a lost message delays. */
const beatPeriod = 4_000_000;
/** How much later, µs, each who stands further back looks whether time has given a permit back: the first does it for all. */
const stagger = 250_000;
/** Where the client cannot subscribe, how often they look whether it is their turn: µs at first, and at most. */
const shortestPoll = 20_000;
const longestPoll = 1_000_000;

/** What the server says of a line. */
export interface Outlook {
  /** µs until somebody's turn may come by time alone. */
  readonly soonest: number;
  /** The place of the first in line. */
  readonly head: number;
}

/**
 * Those in this process who wait for one key. They answer together, every few seconds while messages arrive, so that any
 * number of them costs a fraction of a command a second. At the moment when a permit can come back by time alone, the
 * process of the first in line looks, without a word of the others; the processes further back look a little later each.
 */
export class RedisLine {
  readonly places: Map<string, RedisPlace> = new Map();
  readonly #mailbox: Mailbox;
  readonly #clock: Permits["clock"];
  readonly #alarms: Permits["alarms"];
  readonly #ask: (places: readonly RedisPlace[]) => Promise<Outlook | undefined>;
  readonly #longestPoll: number;
  #poll = shortestPoll;
  /** When the next look is due, and when all have said for the last time that they are there. */
  #at = Number.POSITIVE_INFINITY;
  #saidAt: number;
  #cancelAlarm: (() => void) | undefined;
  #beating = false;
  #again = false;

  /**
   * `ask` tells the server that these are still there, or asks it to look at the time when there are none; undefined when
   * the store failed. `lease` in µs: a grant that nobody heard of must not run out before somebody looks.
   */
  constructor(
    mailbox: Mailbox,
    { clock, alarms }: Pick<Permits, "clock" | "alarms">,
    lease: number,
    ask: (places: readonly RedisPlace[]) => Promise<Outlook | undefined>,
  ) {
    this.#mailbox = mailbox;
    this.#clock = clock;
    this.#alarms = alarms;
    this.#longestPoll = Math.min(longestPoll, lease / 4);
    this.#ask = ask;
    this.#saidAt = clock.now();
  }

  join(place: RedisPlace, outlook: Outlook): void {
    this.places.set(place.id, place);
    this.#poll = shortestPoll;
    this.#sleep(outlook);
  }

  leave(id: string): void {
    if (!this.places.delete(id) || this.places.size > 0) return;
    this.#disarm();
    this.#mailbox.leave(this.beat);
  }

  /** Says now who is still there, and hears who is not any more. */
  readonly beat = (): void => {
    this.#saidAt = Number.NEGATIVE_INFINITY;
    this.#look();
  };

  readonly #look = (): void => {
    // also while one look is under way: an alarm that has rung would count for one that is yet to come
    this.#disarm();
    this.#again = true;
    if (!this.#beating) void this.#run();
  };

  async #run(): Promise<void> {
    this.#beating = true;
    let outlook: Outlook | undefined;
    while (this.#again && this.places.size > 0) {
      this.#again = false;
      const now = this.#clock.now();
      const all = !this.#mailbox.isOpen || now - this.#saidAt >= beatPeriod / 2;
      if (all) this.#saidAt = now;
      const waiting = all ? Array.from(this.places.values()).filter(({ state }) => state === "waiting") : [];
      outlook = await this.#ask(waiting);
      if (outlook === undefined) this.#saidAt = Number.NEGATIVE_INFINITY;
    }
    this.#beating = false;
    this.#again = false;
    if (this.places.size > 0) this.#sleep(outlook);
  }

  /** Sleeps until the next look is due, or until an earlier one that was due already. */
  #sleep(outlook: Outlook | undefined): void {
    this.#mailbox.listen(this.beat);
    const delay = Math.min(this.#period(), outlook === undefined ? longestPoll : this.#until(outlook));
    const at = this.#clock.now() + delay;
    if (at >= this.#at) return;
    this.#disarm();
    this.#at = at;
    this.#cancelAlarm = this.#alarms.in(delay, this.#look);
  }

  #until({ soonest, head }: Outlook): number {
    const [first] = this.places.values();
    const ahead = Math.max((first as RedisPlace).place - head, 0);
    // a millisecond on, lest the server's clock be just short of it
    return soonest + 1000 + ahead * stagger;
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
