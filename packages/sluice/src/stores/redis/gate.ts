import { tooLate } from "../../core/algorithm.js";
import { type Decision, decideMany, decideOne, type Findings, numbersPerPolicy } from "../../core/decision.js";
import type { Policy } from "../../core/policy.js";
import type { Driver, Gate, Script } from "../../core/store.js";
import type { Batcher } from "./batch.js";
import type { Denials } from "./denials.js";
import { inner, keyStart, partStart, slotOf } from "./keys.js";
import type { Link } from "./link.js";
import type { GiveBack, Lots } from "./lots.js";
import {
  amend,
  backAt,
  checkedReply,
  encodePolicy,
  figuresPerLog,
  loadRow,
  logFigures,
  look,
  noteLog,
  type Part,
  partsOf,
  rowText,
  textOf,
} from "./replay.js";

/** What the gates of one store share. */
export interface Station {
  readonly link: Link;
  readonly script: Script;
  readonly batcher: Batcher;
  readonly prefix: string;
  /** µs for the script to reason at; 0 for the server's own clock. */
  readonly now: () => number;
  readonly denials: (() => Denials) | undefined;
  readonly lots: ((policies: readonly Policy[], giveBack: GiveBack) => Lots | undefined) | undefined;
}

/** How many rows the server could step in the time that it takes for a log; see bench/README.md. */
const rowsPerLog = 3;

/** How many keys a limiter remembers to have reset: beyond, the oldest are as if another process had reset them. */
const mostResets = 10_000;

/** A key that is asked for, and how many resets its limiter had seen here when the call was sent. */
export interface Mark {
  readonly tag: string;
  readonly resets: number;
}

/** A grant of one ask, as it can be corrected. */
export interface Grant {
  readonly mark: Mark;
  readonly cost: number;
  /** When it was asked for, and, for each policy, when what it takes comes back. */
  readonly now: number;
  readonly backs: readonly number[];
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly stamps: readonly number[];
  /** The name of its place in the line of those who wait for the key; none when it started at once. */
  readonly place: string | undefined;
}

/** Those who give up on one key in one turn of the event loop. */
interface Leaving {
  readonly grants: Grant[];
  readonly done: Promise<void>;
}

/** One limiter on a Redis store. A key is its escaped form, `tag`, from here on. */
export class RedisGate implements Gate {
  readonly driver: Driver;
  readonly policies: readonly Policy[];
  readonly parts: readonly Part[];
  /** As the script reads it; and its policy, if it has but one. */
  readonly encoded: string;
  readonly encodedPolicy: string | undefined;
  /** What a run of calls on a key costs the server, in rows of one number. */
  readonly weight: number;
  /** What a reply tells of one key, and of each further run of calls on it. */
  readonly figures: number;
  readonly figuresPerRun: number;
  readonly #station: Station;
  readonly #starts: readonly string[];
  readonly #lineStart: string;
  readonly #leaving = new Map<string, Leaving>();
  /** Keys that were reset here, each with the count of resets at its last; the latest last. */
  readonly #resets = new Map<string, number>();
  #resetCount = 0;
  readonly #denials: Denials | undefined;
  readonly #logs: boolean;
  #lots: Lots | undefined;
  #lastKey: string | undefined;
  #lastTag = "";

  constructor(driver: Driver, station: Station, limiter: string, policies: readonly Policy[]) {
    this.driver = driver;
    this.policies = policies;
    this.parts = partsOf(policies);
    const encoded = policies.map(encodePolicy);
    this.encoded = `[${encoded.join()}]`;
    this.encodedPolicy = encoded.length === 1 ? encoded[0] : undefined;
    this.#station = station;
    this.#starts = policies.map(({ name }) => keyStart(station.prefix, limiter, name));
    this.#lineStart = partStart(station.prefix, limiter, "line");
    this.#denials = station.denials?.();
    const logs = this.parts.filter(({ logged }) => logged).length;
    this.#logs = logs > 0;
    this.weight = policies.length + logs * (rowsPerLog - 1);
    this.figuresPerRun = logs * figuresPerLog;
    this.figures = this.parts.length - logs + this.figuresPerRun;
    this.#lots = station.lots?.(policies, (tag, left, stamp) => {
      const stamps = policies.map(() => stamp);
      return this.#ask(["amend", -left], tag, stamps, giveBackTimeout);
    });
  }

  /** On a cluster, the slot of a key; else 0. */
  slot(tag: string): number {
    return this.#station.link.connection.cluster ? slotOf(tag) : 0;
  }

  /** The names of a key's rows. */
  namesOf(tag: string): string[] {
    return this.#starts.map((start) => `${start}${tag}}`);
  }

  /** Appends them: no array for each of many keys. */
  pushNames(names: string[], tag: string): void {
    for (const start of this.#starts) names.push(`${start}${tag}}`);
  }

  /** The name of the line of those who wait for a key. */
  lineOf(tag: string): string {
    return `${this.#lineStart}${tag}}`;
  }

  consume(key: string, cost: number, timeout: number): Decision | Promise<Decision> {
    // the next call is often for the same key, and to escape it takes longer than to answer from here
    if (key !== this.#lastKey) {
      this.#lastTag = inner(key);
      this.#lastKey = key;
    }
    const tag = this.#lastTag;
    const lots = this.#lots;
    const spent = lots?.spend(this.policies, tag, cost);
    if (spent !== undefined) return spent;
    const denied = this.#denials?.find(tag, cost);
    if (denied !== undefined) return denied;
    const { batcher } = this.#station;
    if (lots === undefined) return batcher.consume(this, tag, cost, timeout);
    return batcher.consume(this, tag, cost, timeout).then((decision) => {
      if (decision.allowed) {
        lots.refill(tag, decision, (count) => batcher.lot(this, tag, count, timeout));
      }
      return decision;
    });
  }

  /** The store refused a call. */
  denied(tag: string, cost: number, wait: number, now: number, sent: number): void {
    const denials = this.#denials;
    // the rows say how the answer changes as time goes by; a log would have to be here for that
    if (denials === undefined || this.#logs) return;
    const rows = this.parts.map((part) => part.row.slice());
    const after = (passed: number): Decision => {
      const findings: number[] = [];
      this.parts.forEach((part, place) => {
        part.row.set(rows[place] as Float64Array);
        look(part, now + passed, cost, findings, place * numbersPerPolicy);
      });
      return this.#refusal(findings);
    };
    denials.learn(tag, cost, wait, after, sent);
  }

  /** The same, of a limiter whose only policy keeps a log: nothing remains until the oldest call has left its window. */
  deniedByLog(tag: string, cost: number, findings: readonly number[], sent: number): void {
    if (!this.#logs || cost > 1 || this.parts.length > 1) return;
    const [wait = 0, remaining = 0, reset = 0] = findings;
    const after = (passed: number): Decision => this.#refusal([wait - passed, remaining, reset - passed]);
    this.#denials?.learn(tag, cost, wait, after, sent);
  }

  #refusal(findings: readonly number[]): Decision {
    return this.policies.length === 1
      ? decideOne(this.policies, false, findings[0] as number, findings[1] as number, findings[2] as number)
      : decideMany(this.policies, findings, false);
  }

  /** The store granted a call: what it refused before, it would refuse otherwise now. */
  changed(tag: string): void {
    this.#denials?.forget(tag);
  }

  /** Gives something back, or otherwise changes what was refused: an answer from before it is done is not believed. */
  async #correct<T>(tag: string, sent: Promise<T>): Promise<T> {
    this.#denials?.distrust(tag);
    try {
      return await sent;
    } finally {
      this.#denials?.distrust(tag);
    }
  }

  async amend(key: string, delta: number, timeout: number): Promise<Findings> {
    const tag = inner(key);
    this.recall(tag);
    const reply = await this.#ask(
      ["amend", delta],
      tag,
      this.policies.map(() => -1),
      timeout,
      false,
    );
    const now = Number(reply[0]);
    const findings: number[] = [];
    let at = 1;
    this.parts.forEach((part, place) => {
      if (part.logged) {
        noteLog(logFigures(reply, at), 0, 0, findings, place * numbersPerPolicy);
        at += figuresPerLog;
        return;
      }
      const text = textOf(reply[at++]);
      loadRow(part.row, text);
      // what was never seen has nothing to give back
      amend(part, now, text === null && delta < 0 ? 0 : delta, findings, place * numbersPerPolicy);
    });
    return findings;
  }

  async reset(key: string, timeout: number): Promise<void> {
    const tag = inner(key);
    this.#lots?.forget(tag);
    const before = this.#resets.get(tag);
    const count = ++this.#resetCount;
    this.#resets.delete(tag);
    this.#resets.set(tag, count);
    if (this.#resets.size > mostResets) this.#resets.delete(this.#resets.keys().next().value as string);
    const keys = [...this.namesOf(tag), this.lineOf(tag)];
    const { link } = this.#station;
    const [first] = keys as [string];
    try {
      await link.within(timeout, first, (attempt) => this.#correct(tag, link.send(["DEL", ...keys], first, attempt)));
    } catch (error) {
      // what was granted before may stand, and can be given back
      if (this.#resets.get(tag) === count) {
        if (before === undefined) this.#resets.delete(tag);
        else this.#resets.set(tag, before);
      }
      throw error;
    }
    this.#lots?.forget(tag);
  }

  mark(tag: string): Mark {
    return { tag, resets: this.#resetCount };
  }

  /**
   * The key of a grant has been reset since, by this process. What another process has reset is known by its rows only:
   * while they are gone, nothing is given back; once they have come again, a grant of before is taken for one of theirs
   * until the moment at which it would have come back.
   */
  #isForgotten({ mark: { tag, resets } }: Grant): boolean {
    return (this.#resets.get(tag) ?? 0) > resets;
  }

  /** Takes a grant back: as if it had not been, where nothing has happened since, or where it has a place in a line. */
  async undo(grant: Grant, timeout: number): Promise<void> {
    if (grant.place !== undefined) {
      await this.#giveUp(grant, timeout);
      return;
    }
    if (this.#isForgotten(grant)) return;
    await this.#ask(["undo", grant.cost], grant.mark.tag, [...grantFigures(grant), ...grant.before], timeout);
  }

  /** Whoever gives up in this turn of the event loop does so in one call: each call makes the rows anew for those who stay. */
  #giveUp(grant: Grant, timeout: number): Promise<void> {
    const { tag } = grant.mark;
    const known = this.#leaving.get(tag);
    if (known !== undefined) {
      known.grants.push(grant);
      return known.done;
    }
    const grants = [grant];
    const leave = async (): Promise<void> => {
      this.#leaving.delete(tag);
      const leaving = grants.filter((each) => !this.#isForgotten(each));
      if (leaving.length === 0) return;
      const places = leaving.flatMap(({ place, cost, stamps, backs }) => [
        place as string,
        cost,
        ...stamps.flatMap((stamp, index) => [stamp, backs[index] as number]),
      ]);
      await this.#ask(["leave"], tag, [leaving.length, ...places], timeout);
    };
    const done = Promise.resolve().then(leave);
    this.#leaving.set(tag, { grants, done });
    return done;
  }

  /**
   * Corrects what a grant cost, as of its start. Where others have asked since, what it took may have come back by now, or
   * its key been forgotten: then nothing is given back, and of what it took besides only what is still owed is charged.
   */
  async settle(grant: Grant, delta: number, timeout: number): Promise<void> {
    const isForgotten = this.#isForgotten(grant);
    if (delta === 0 || (delta < 0 && isForgotten)) return;
    const figures = grantFigures(isForgotten ? { ...grant, stamps: grant.stamps.map(() => tooLate) } : grant);
    if (delta > 0) {
      this.parts.forEach((part, place) => {
        const { limit, window } = this.policies[place] as Policy;
        const [after, stamp] = [grant.after[place] as string, grant.stamps[place] as number];
        figures.push(backAt(part, after, grant.now, stamp, delta), limit, window * 1000);
      });
    }
    await this.#ask(["settle", delta], grant.mark.tag, figures, timeout);
  }

  /** Gives back what this process has taken ahead of a key: what is asked after that is answered as if it had not. */
  recall(tag: string): void {
    this.#lots?.recall(tag);
  }

  /** Gives unspent lots back. */
  async leave(): Promise<void> {
    const lots = this.#lots;
    // calls that are under way take no more
    this.#lots = undefined;
    await lots?.close();
  }

  /** What a grant wrote: the rows that are loaded now. */
  rowTexts(): string[] {
    return this.parts.map((part) => (part.logged ? "" : rowText(part.row)));
  }

  /** `owed` when it corrects what was granted. */
  async #ask(
    verb: readonly (string | number)[],
    tag: string,
    rest: readonly (string | number)[],
    timeout: number,
    owed = true,
  ): Promise<readonly unknown[]> {
    const { link, script, now } = this.#station;
    const keys = [...this.namesOf(tag), this.lineOf(tag)];
    const [name, ...figures] = verb;
    const args = [name as string, now(), ...figures, this.encoded, ...rest];
    const reply = await link.within(timeout, keys[0] as string, (attempt) => {
      attempt.owed = owed;
      return this.#correct(tag, link.run(script, keys, args, attempt));
    });
    return checkedReply(reply, name === "amend" ? this.figures : 0);
  }

  /** Its state is the server's. */
  forget(): void {}

  retire(): void {}
}

/** A grant as the script reads it. */
function grantFigures({ after, stamps, backs }: Grant): (string | number)[] {
  return stamps.flatMap((stamp, place) => [after[place] as string, stamp, backs[place] as number]);
}

/** ms that giving a lot back may take. */
const giveBackTimeout = 1000;
