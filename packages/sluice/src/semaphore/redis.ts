import { type Clock, preciseClock } from "../core/clock.js";
import { ClosedError } from "../core/errors.js";
import type { ScriptHost } from "../core/store.js";
import { type Asker, Call, checkedAnswer, type Verb } from "./call.js";
import { type Mailbox, mailboxOf } from "./mailbox.js";
import type { Occupancy, Permits, Place } from "./permits.js";
import { type Outlook, RedisLine } from "./redis-line.js";
import { type Desk, RedisPlace } from "./redis-place.js";
import { semaphoreScript } from "./semaphore.gen.js";
import { inBackground, retryDelay } from "./timers.js";

/** How long the server takes it that one who waits is still there, µs. One who stopped answering is passed over after that. */
const patience = 9_000_000;
/** How many questions travel in one call: it keeps the server busy for a millisecond or less. */
const callSize = 100;

/** What the script says in place of a token. */
const inLine = 0;
const unknown = -2;

/** What is asked of the script, on the terms of one semaphore. */
interface Verbs {
  /** Of those that are new, and of those that the server may know; in line, and not. */
  readonly take: Readonly<Record<"new" | "known", Readonly<Record<"patient" | "impatient", Verb>>>>;
  readonly beat: Verb;
  readonly renew: Verb;
  readonly release: Verb;
}

function verbsOf(permits: number, lease: number): Verbs {
  const take = (isNew: number) => ({
    patient: { name: "take", terms: [permits, isNew, lease, patience], width: 2 },
    impatient: { name: "take", terms: [permits, isNew, lease, 0], width: 2 },
  });
  return {
    take: { new: take(1), known: take(0) },
    beat: { name: "beat", terms: [lease, patience], width: 2 },
    renew: { name: "renew", terms: [lease], width: 1 },
    release: { name: "release", terms: [], width: 1 },
  };
}

/** Permits that are counted on a server, by `semaphore.lua` and on its clock. */
export class RedisPermits implements Permits, Desk {
  readonly clock: Clock = preciseClock;
  readonly alarms: Permits["alarms"] = { in: inBackground };
  readonly #scripts: ScriptHost;
  readonly #mailbox: Mailbox;
  readonly #name: string;
  readonly #permits: number;
  readonly #lease: number;
  readonly #timeout: number;
  readonly #verbs: Verbs;
  readonly #lines = new Map<string, RedisLine>();
  /** What is to be sent at the end of this turn, and the call of each key that still takes more. */
  readonly #calls: Call[] = [];
  readonly #open = new Map<string, Call>();
  /** How much was sent that nobody else waits for, and who waits for the last of it. */
  #underWay = 0;
  readonly #whenDone: (() => void)[] = [];

  /** `lease` in µs, `timeout` in ms. */
  constructor(scripts: ScriptHost, name: string, permits: number, lease: number, timeout: number) {
    this.#scripts = scripts;
    this.#mailbox = mailboxOf(scripts);
    this.#name = name;
    this.#permits = permits;
    this.#lease = lease;
    this.#timeout = timeout;
    this.#verbs = verbsOf(permits, lease);
    this.#mailbox.join();
  }

  take(key: string, count: number, wait: boolean): Place {
    const place = new RedisPlace(this, this.#keyOf(key), this.#mailbox.newId(), count);
    if (wait) this.#mailbox.expect(place.id, place);
    this.#acquire(place, wait, true, (error) => place.fail(error));
    return place;
  }

  async inspect(key: string): Promise<Occupancy> {
    const answer = checkedAnswer(await this.#run(this.#keyOf(key), ["", "inspect"]), 5);
    const [permits, held, waiting] = answer.slice(2).map(Number) as [number, number, number];
    return { permits: permits === 0 ? this.#permits : permits, held, waiting };
  }

  async close(): Promise<void> {
    // what is answered meanwhile may have to be given back
    if (this.#underWay > 0) await new Promise<void>((resolve) => this.#whenDone.push(resolve));
    await this.#mailbox.part();
  }

  renew(place: RedisPlace): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#ask(place.key, this.#verbs.renew, 1, [place.id], {
        answered: ({ sent, now, reply }, at) => {
          const expiry = reply[at] as number;
          if (expiry > 0) place.extend(sent, now, expiry);
          else place.expiry = 0;
          resolve(expiry > 0);
        },
        failed: reject,
      });
    });
  }

  release(place: RedisPlace): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#ask(place.key, this.#verbs.release, 1, [place.id], {
        answered: ({ reply }, at) => resolve(reply[at] === 1),
        failed: reject,
      });
    });
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
    void this.#tryToGiveBack(place, Math.max(this.clock.now() + patience, place.expiry));
  }

  /** While the store fails, it is tried again until a place in line has died, and a lease too. */
  async #tryToGiveBack(place: RedisPlace, until: number): Promise<void> {
    this.#underWay += 1;
    try {
      await this.release(place);
    } catch (error) {
      if (!(error instanceof ClosedError) && this.clock.now() < until) {
        this.alarms.in(retryDelay, () => void this.#tryToGiveBack(place, until));
      }
    }
    this.#done();
  }

  /** Asks for permits, or for a place in line; once more when the answer was so late that its lease is over. */
  #acquire(place: RedisPlace, wait: boolean, isNew: boolean, failed: (error: unknown) => void): void {
    const { key, id, count } = place;
    this.#underWay += 1;
    this.#ask(key, this.#verbs.take[isNew ? "new" : "known"][wait ? "patient" : "impatient"], 1, [id, count], {
      answered: (answer, at) => {
        const { sent, now, soonest, head, reply } = answer;
        const [token, moment] = [reply[at] as number, reply[at + 1] as number];
        place.confirm(sent, now);
        if (token === inLine) {
          if (place.wait(moment)) this.#lineOf(key).join(place, { soonest: soonest - now, head });
        } else if (!place.settle(token, moment, !isNew)) {
          this.#acquire(place, wait, false, failed);
        }
        this.#done();
      },
      failed: (error) => {
        failed(error);
        this.#done();
      },
    });
  }

  /** Asks again for a place that the server has forgotten: it lost its data, or this process slept for too long. */
  #acquireAgain(place: RedisPlace): void {
    place.askAgain();
    // if that fails, the next beat will tell
    this.#acquire(place, true, false, () => void place.wait(place.place));
  }

  /** Says who is still in line, and hears who is not any more; all at once, for the last must not wait for the first. */
  async #beat(key: string, places: readonly RedisPlace[]): Promise<Outlook | undefined> {
    const asked = [this.#beatOnce(key, places.slice(0, callSize))];
    for (let first = callSize; first < places.length; first += callSize) {
      asked.push(this.#beatOnce(key, places.slice(first, first + callSize)));
    }
    const outlooks = await Promise.all(asked);
    return outlooks.includes(undefined) ? undefined : outlooks.at(-1);
  }

  #beatOnce(key: string, places: readonly RedisPlace[]): Promise<Outlook | undefined> {
    const questions = places.flatMap(({ id, place }) => [id, place]);
    return new Promise((resolve) => {
      this.#ask(key, this.#verbs.beat, places.length, questions, {
        answered: ({ sent, now, soonest, head, reply }, at) => {
          places.forEach((place, index) => {
            if (place.state !== "waiting") return;
            const token = reply[at + 2 * index] as number;
            place.confirm(sent, now);
            if (token === inLine) return;
            const moment = reply[at + 2 * index + 1] as number;
            if (token === unknown || !place.settle(token, moment, false)) this.#acquireAgain(place);
          });
          resolve({ soonest: soonest - now, head });
        },
        failed: (error) => {
          for (const place of places) {
            const over = error instanceof ClosedError || this.clock.now() - place.confirmed >= patience;
            if (place.state === "waiting" && over) place.fail(error);
          }
          resolve(undefined);
        },
      });
    });
  }

  #lineOf(key: string): RedisLine {
    let line = this.#lines.get(key);
    if (line === undefined) {
      line = new RedisLine(this.#mailbox, this, this.#lease, (places) => this.#beat(key, places));
      this.#lines.set(key, line);
    }
    return line;
  }

  #keyOf(key: string): string {
    return this.#scripts.name(this.#name, "semaphore", key);
  }

  /** Asks about a key. What is asked in the same turn travels in one call. */
  #ask(key: string, verb: Verb, count: number, questions: readonly (string | number)[], asker: Asker): void {
    let call = this.#open.get(key);
    if (call === undefined || call.size + count > callSize) {
      call = new Call(key, this.#mailbox.channel);
      this.#open.set(key, call);
      // after the microtasks of this turn: whoever asks in one of them still travels along
      if (this.#calls.push(call) === 1) process.nextTick(this.#send);
    }
    call.add(verb, count, questions, asker);
  }

  /** Sends what was asked, in its order. */
  readonly #send = (): void => {
    this.#open.clear();
    for (const call of this.#calls.splice(0)) void call.send(this.clock, this.#run, this.#tell, this.#doubt);
  };

  readonly #run = (key: string, args: readonly (string | number)[]): Promise<unknown> =>
    this.#scripts.run(semaphoreScript, [key], args, this.#timeout);

  /** Grants that were made by a call of our own come with its answer. */
  readonly #tell = (news: string): void => this.#mailbox.deliver(news);

  /** They may have been made by one that failed, too. */
  readonly #doubt = (key: string): void => this.#lines.get(key)?.beat();

  #done(): void {
    this.#underWay -= 1;
    if (this.#underWay === 0) for (const resolve of this.#whenDone.splice(0)) resolve();
  }
}
