import { longestTimer } from "../core/alarm.js";
import { type Clock, preciseClock } from "../core/clock.js";
import type { ScriptHost } from "../core/store.js";
import { type Answer, Call } from "./call.js";
import { type Mailbox, mailboxOf } from "./mailbox.js";
import type { Occupancy, Permits, Place } from "./permits.js";
import { RedisLine } from "./redis-line.js";
import { type Desk, RedisPlace } from "./redis-place.js";
import { semaphoreScript } from "./semaphore.gen.js";

/** How long the server takes it that one who waits is still there, µs. One who stopped answering is passed over after that. */
const patience = 9_000_000;
/** µs until a release that failed is tried again. */
const retryDelay = 1_000_000;
/** How many ids travel in one call: it keeps the server busy for a millisecond or less. */
const callSize = 100;

/** What the script says in place of a token. */
const inLine = 0;
const unknown = -3;

/** Timers that keep no process alive. One that was cut to the platform's longest rings early. */
const timers: Permits["alarms"] = {
  in(delay, ring) {
    const timer = setTimeout(ring, Math.min(Math.ceil(delay / 1000), longestTimer));
    (timer as { unref?: () => void }).unref?.();
    return () => clearTimeout(timer);
  },
};

/** Permits that are counted on a server, by `semaphore.lua` and on its clock. */
export class RedisPermits implements Permits, Desk {
  readonly clock: Clock = preciseClock;
  readonly alarms: Permits["alarms"] = timers;
  readonly #scripts: ScriptHost;
  readonly #mailbox: Mailbox;
  readonly #name: string;
  readonly #permits: number;
  readonly #lease: number;
  readonly #timeout: number;
  readonly #lines = new Map<string, RedisLine<RedisPlace>>();
  /** What is to be sent at the end of this turn, and the call of each key that still takes more. */
  readonly #calls: Call[] = [];
  readonly #open = new Map<string, Call>();
  /** What was sent that nobody else waits for. */
  readonly #underWay = new Set<Promise<void>>();
  #closed = false;

  /** `lease` in µs, `timeout` in ms. */
  constructor(scripts: ScriptHost, name: string, permits: number, lease: number, timeout: number) {
    this.#scripts = scripts;
    this.#mailbox = mailboxOf(scripts);
    this.#name = name;
    this.#permits = permits;
    this.#lease = lease;
    this.#timeout = timeout;
    this.#mailbox.join();
  }

  take(key: string, count: number, wait: boolean): Place {
    const place = new RedisPlace(this, this.#keyOf(key), this.#mailbox.newId(), count);
    if (wait) this.#mailbox.expect(place.id, (message) => place.hear(message));
    this.#follow(this.#acquire(place, wait ? patience : 0));
    return place;
  }

  async inspect(key: string): Promise<Occupancy> {
    const { reply } = await this.#ask(this.#keyOf(key), ["inspect"]);
    const [, permits, held, waiting] = reply as [number, number, number, number];
    return { permits: permits === 0 ? this.#permits : permits, held, waiting };
  }

  async close(): Promise<void> {
    this.#closed = true;
    // what is answered meanwhile may have to be given back
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
    await this.#mailbox.part();
  }

  async renew(place: RedisPlace): Promise<boolean> {
    const { sent, reply, index } = await this.#ask(place.key, ["renew", this.#lease], place.id);
    const expiry = reply[1 + index] as number;
    if (expiry === 0) return false;
    place.extend(sent, reply[0] as number, expiry);
    return true;
  }

  async release(place: RedisPlace): Promise<boolean> {
    const { reply, index } = await this.#ask(place.key, ["release"], place.id);
    return reply[1 + index] === 1;
  }

  isWhole(left: number): boolean {
    return left >= this.#lease;
  }

  end(place: RedisPlace): void {
    this.#mailbox.forget(place.id);
    const line = this.#lines.get(place.key);
    line?.leave(place.id);
    if (line?.places.size === 0) this.#lines.delete(place.key);
  }

  look(place: RedisPlace): void {
    this.#lines.get(place.key)?.beat();
  }

  giveBack(place: RedisPlace): void {
    this.#follow(this.#tryToGiveBack(place, this.clock.now() + patience));
  }

  /** While the store fails, it is tried again until a place in line has died. */
  async #tryToGiveBack(place: RedisPlace, until: number): Promise<void> {
    try {
      await this.release(place);
    } catch {
      if (this.#closed || this.clock.now() >= until) return;
      this.alarms.in(retryDelay, () => this.#follow(this.#tryToGiveBack(place, until)));
    }
  }

  /** Asks for permits, or for a place in line; once more when the answer was so late that its lease is over. */
  async #acquire(place: RedisPlace, patient: number): Promise<void> {
    try {
      if (!(await this.#take(place, patient, true, false))) await this.#take(place, patient, false, true);
    } catch (error) {
      place.fail(error);
    }
  }

  /** Asks again for a place that the server has forgotten: it lost its data, or this process slept for too long. */
  async #askAgain(place: RedisPlace): Promise<void> {
    place.state = "asking";
    try {
      await this.#take(place, patience, false, true);
    } catch {
      // the next beat will tell
      place.wait();
    }
  }

  /** False when what was granted is over already; with `last`, it is handed out as it is. */
  async #take(place: RedisPlace, patient: number, set: boolean, last: boolean): Promise<boolean> {
    const { key, id, count } = place;
    const terms = ["take", this.#permits, set ? 1 : 0, this.#lease, patient, this.#mailbox.channel];
    const { sent, reply, index } = await this.#ask(key, terms, id, count);
    const [now, soonest] = reply as [number, number];
    const token = reply[2 + 2 * index] as number;
    place.confirm(sent, now);
    if (token !== inLine) return place.settle(token, reply[3 + 2 * index] as number, last);
    if (place.wait()) this.#lineOf(key).join(id, place, soonest - now);
    return true;
  }

  /** Says who is still in line, and hears who is not any more. */
  async #beat(line: RedisLine<RedisPlace>): Promise<number | undefined> {
    const waiting = Array.from(line.places.values()).filter(({ state }) => state === "waiting");
    let next: number | undefined = Number.POSITIVE_INFINITY;
    for (let first = 0; first < waiting.length; first += callSize) {
      const soonest = await this.#beatOnce(waiting.slice(first, first + callSize));
      next = next === undefined || soonest === undefined ? undefined : Math.min(next, soonest);
    }
    return next;
  }

  async #beatOnce(places: readonly RedisPlace[]): Promise<number | undefined> {
    let answer: Answer;
    try {
      const ids = places.map(({ id }) => id);
      answer = await this.#ask((places[0] as RedisPlace).key, ["beat", this.#lease, patience], ...ids);
    } catch (error) {
      for (const place of places) {
        if (place.state === "waiting" && this.clock.now() - place.confirmed >= patience) place.fail(error);
      }
      return undefined;
    }
    const { sent, reply } = answer;
    const [now, soonest] = reply as [number, number];
    places.forEach((place, index) => {
      if (place.state !== "waiting") return;
      const token = reply[2 + 2 * index] as number;
      place.confirm(sent, now);
      if (token === inLine) return;
      if (token === unknown || !place.settle(token, reply[3 + 2 * index] as number, false)) {
        this.#follow(this.#askAgain(place));
      }
    });
    return soonest - now;
  }

  #lineOf(key: string): RedisLine<RedisPlace> {
    let line = this.#lines.get(key);
    if (line === undefined) {
      line = new RedisLine(this.#mailbox, this, this.#lease, (asking) => this.#beat(asking));
      this.#lines.set(key, line);
    }
    return line;
  }

  #keyOf(key: string): string {
    return this.#scripts.name(this.#name, "semaphore", key);
  }

  /** Asks about a key. Questions on the same terms that are asked in the same turn travel in one call. */
  #ask(key: string, terms: readonly (string | number)[], ...question: (string | number)[]): Promise<Answer> {
    const kind = terms.join(" ");
    let call = this.#open.get(key);
    if (call === undefined || call.kind !== kind || call.size === callSize || terms[0] === "beat") {
      call = new Call(key, kind, terms);
      this.#open.set(key, call);
      // after the microtasks of this turn: whoever asks in one of them still travels along
      if (this.#calls.push(call) === 1) process.nextTick(this.#send);
    }
    return call.add(question);
  }

  /** Sends what was asked, in its order. */
  readonly #send = (): void => {
    this.#open.clear();
    for (const call of this.#calls.splice(0)) {
      void call.send(this.clock, (key, args) => this.#scripts.run(semaphoreScript, [key], args, this.#timeout));
    }
  };

  #follow(task: Promise<void>): void {
    const followed = task.finally(() => this.#underWay.delete(followed));
    this.#underWay.add(followed);
  }
}
