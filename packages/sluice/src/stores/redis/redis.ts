import { Alarms } from "../../core/alarm.js";
import { type Clock, preciseClock, turnClock } from "../../core/clock.js";
import { numbersPerPolicy } from "../../core/decision.js";
import { type Duration, micros } from "../../core/duration.js";
import { show, typeError } from "../../core/errors.js";
import type { Policy } from "../../core/policy.js";
import { Registry } from "../../core/registry.js";
import {
  type Ask,
  type Driver,
  driverOf,
  type Gate,
  type Script,
  type ScriptHost,
  type Store,
  type Ticket,
  type Verdict,
} from "../../core/store.js";
import { takeBack } from "../../core/turn.js";
import { checkName, checkOptions, wholeNumber } from "../../core/validate.js";
import { Batcher } from "./batch.js";
import { connect, type RedisConnection } from "./clients.js";
import { Denials } from "./denials.js";
import { type Grant, type Mark, RedisGate, type Station } from "./gate.js";
import { inner, keyName, slotOf } from "./keys.js";
import { type Attempt, Link } from "./link.js";
import { Looks } from "./looks.js";
import { openLots } from "./lots.js";
import { limiterScript } from "./programs.gen.js";
import { checkedReply, figuresPerLog, loadRow, logFigures, look, noteLog, take, textOf } from "./replay.js";

/** What `redisStore` takes beside the client. */
export interface RedisStoreOptions {
  /** Before every key. Default 'sluice'. Keys are `<prefix>:<limiter>:<policy>:{<key>}`, the user's key escaped, and hashed above 512 bytes; malformed UTF-16 is a RangeError. */
  prefix?: string;
  /** Decisions asked for in the same turn of the event loop travel in one script call of at most `max` rows (default 64; a row of an exact window counts as three). `false` sends each alone. Default: on. */
  batch?: boolean | { max?: number };
  /** Answer a key from here while the store's last word on it still holds, for up to `maxKeys` keys a limiter (default 10 000). Default: on. */
  denialCache?: boolean | { maxKeys?: number };
  /** Take tokens ahead in small lots and spend them here: far fewer round trips, never more admitted than the policy's bound plus rate × maxAge (of windows: for each process that does so). Lots hold at most `max` calls, and what flows in during `maxAge`: where that is less than two, nothing is taken ahead. Default: off. */
  prefetch?: false | { max: number; maxAge: Duration };
}

/** For tests: a clock by which scripts reason instead of the server's, and this process instead of its own. */
export const scriptClock: unique symbol = Symbol.for("sluice.redis.scriptClock");

/**
 * State on a Redis or Valkey server, shared by every process that uses it.
 *
 * `client` is recognised by what it can do: ioredis 5 and 6 (also Cluster), iovalkey (also Cluster), node-redis 4 to 6
 * (also cluster), valkey-glide 2 (also cluster), or any `{ send(args): Promise<unknown> }`. The caller owns it: connect
 * it, configure it, close it; before or after is the same.
 *
 * @throws TypeError or RangeError: `ERR_INVALID_ARGUMENT` when `client` is none of these or an option is wrong,
 *   `ERR_INVALID_NAME` for a prefix that is not printable ASCII, `ERR_INVALID_DURATION` for `prefetch.maxAge`.
 * @example
 * const store = redisStore(new Redis())
 * const limiter = rateLimiter(tokenBucket({ rate: 100, per: "1m" }), { store, name: "api", timeout: "250ms" })
 * const { allowed } = await limiter.consume("user:1")
 */
export function redisStore(client: unknown, options: RedisStoreOptions = {}): Store {
  checkOptions(options);
  const { prefix = "sluice", batch = true, denialCache = true, prefetch = false } = options;
  checkName(prefix, "prefix");
  checkSwitch(batch, "batch");
  checkSwitch(denialCache, "denialCache");
  const max =
    typeof batch === "object" && batch.max !== undefined
      ? wholeNumber(batch.max, "batch.max", "ERR_INVALID_ARGUMENT", 1, largestBatch)
      : defaultBatch;
  const maxKeys =
    typeof denialCache === "object" && denialCache.maxKeys !== undefined
      ? wholeNumber(denialCache.maxKeys, "denialCache.maxKeys", "ERR_INVALID_ARGUMENT")
      : 10_000;
  const ahead = prefetch === false ? undefined : prefetchOptions(prefetch);
  const testClock = (options as { [scriptClock]?: Clock })[scriptClock];
  const clock = testClock ?? turnClock();
  // what came from the server counts from its arrival, not from an earlier moment of this turn of the event loop
  const exact = testClock ?? preciseClock;
  const driver = new RedisDriver(connect(client), clock, exact, prefix, {
    max: batch === false ? 1 : max,
    now: () => testClock?.now() ?? 0,
    denials: denialCache === false ? undefined : () => new Denials(clock, exact, maxKeys),
    lots: ahead && ((policies, giveBack) => openLots(clock, ahead, policies, giveBack)),
  });
  return { kind: "redis", close: () => driver.close(), [driverOf]: driver } as Store;
}

/** Rows in one call: 64 keep the server busy for about 0.15 ms; see bench/README.md. */
const defaultBatch = 64;
const largestBatch = 256;

function checkSwitch(value: unknown, what: string): void {
  if (typeof value !== "boolean" && (typeof value !== "object" || value === null)) {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected ${what} to be true, false or an object, got ${show(value)}.`);
  }
}

function prefetchOptions(prefetch: unknown): { max: number; maxAge: number } {
  if (typeof prefetch !== "object" || prefetch === null) {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected prefetch to be false or { max, maxAge }, got ${show(prefetch)}.`);
  }
  const { max, maxAge } = prefetch as { max?: unknown; maxAge?: unknown };
  return {
    max: wholeNumber(max, "prefetch.max", "ERR_INVALID_ARGUMENT", 1, 1_000_000),
    maxAge: micros(maxAge, "prefetch.maxAge"),
  };
}

class RedisDriver implements Driver {
  readonly remote = true;
  readonly clock: Clock;
  readonly alarms: Alarms;
  readonly scripts: ScriptHost;
  readonly #station: Station;
  readonly #gates: Registry<RedisGate>;
  /** Places in lines have names that no other process gives. */
  readonly #name = crypto.randomUUID().replaceAll("-", "").slice(0, 16);
  #places = 0;
  readonly #looks: Looks;
  /** What else ends with the store. */
  readonly #endings: (() => Promise<void>)[] = [];

  constructor(
    connection: RedisConnection,
    clock: Clock,
    exact: Clock,
    prefix: string,
    options: Pick<Station, "now" | "denials" | "lots"> & { readonly max: number },
  ) {
    const link = new Link(connection);
    const { max, now, denials, lots } = options;
    const batcher = new Batcher(link, limiterScript, clock, exact, max, now);
    this.clock = clock;
    this.alarms = new Alarms(exact);
    this.#station = { link, script: limiterScript, batcher, prefix, now, denials, lots };
    this.#gates = new Registry((policies, limiter) => new RedisGate(this, this.#station, limiter, policies), false);
    this.#looks = new Looks((asks, timeout) => this.#decide(asks, 0, false, false, timeout), max);
    this.scripts = scriptHost(link, prefix, this.#endings);
  }

  open(limiter: string, policies: readonly Policy[]): Gate {
    return this.#gates.open(limiter, policies);
  }

  async leave(limiter: string): Promise<void> {
    const gate = this.#gates.leave(limiter);
    await gate?.leave();
    await this.#settled();
  }

  /** What is under way is answered, or given up at its deadline; and what those who were answered gave back. */
  async #settled(): Promise<void> {
    const { batcher, link } = this.#station;
    await new Promise(setImmediate);
    for (let round = 0; round < 2; round++) {
      batcher.finish();
      await link.settled();
      await new Promise(setImmediate);
      batcher.hearAll();
    }
  }

  /** On a cluster, one atom is one slot. */
  atomic(asks: readonly Ask[]): boolean {
    return (
      !this.#station.link.connection.cluster ||
      asks.every(({ key }) => slotOf(inner(key)) === slotOf(inner((asks[0] as Ask).key)))
    );
  }

  decide(asks: readonly Ask[], maxWait: number, spend: boolean, keep: boolean, timeout: number): Promise<Verdict> {
    const [only] = asks;
    if (!spend && only !== undefined && asks.length === 1) return this.#looks.ask(only, timeout);
    return this.#decide(asks, maxWait, spend, keep, timeout);
  }

  async #decide(
    asks: readonly Ask[],
    maxWait: number,
    spend: boolean,
    keep: boolean,
    timeout: number,
    earliest = 0,
  ): Promise<Verdict> {
    const marks = asks.map(({ gate, key }) => (gate as RedisGate).mark(inner(key)));
    const { link, script, now } = this.#station;
    const keys: string[] = [];
    const waits = spend && maxWait > 0;
    const place = waits ? `${this.#name}${(this.#places++).toString(36)}` : undefined;
    const args: (string | number)[] = [
      "decide",
      now(),
      spend ? Math.min(maxWait, Number.MAX_SAFE_INTEGER) : -1,
      earliest,
      place ?? "",
      asks.length,
    ];
    asks.forEach(({ gate, cost }, index) => {
      const { tag } = marks[index] as Mark;
      (gate as RedisGate).recall(tag);
      keys.push(...(gate as RedisGate).namesOf(tag));
      if (waits) keys.push((gate as RedisGate).lineOf(tag));
      args.push(cost, (gate as RedisGate).encoded);
    });
    const figures = asks.reduce((sum, { gate }) => sum + (gate as RedisGate).figures, 0);
    const verdict = (reply: readonly unknown[], ticket: boolean): Verdict =>
      verdictOf(asks, marks, reply, maxWait, spend, ticket, place, timeout, earliest);
    // a grant that comes too late is for nobody, and is given back
    const late = (reply: readonly unknown[]): void => takeBack(verdict(reply, true).ticket);
    const ask = async (attempt: Attempt) => checkedReply(await link.run(script, keys, args, attempt), figures);
    return verdict(await link.within(timeout, keys[0] as string, ask, late), keep);
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#gates.values(), (gate) => gate.leave()));
    await this.#settled();
    this.#station.link.close();
    await Promise.all(this.#endings.map((end) => end()));
  }
}

/** What the script did, done again on the rows that it found. */
function verdictOf(
  asks: readonly Ask[],
  marks: readonly Mark[],
  reply: readonly unknown[],
  maxWait: number,
  spend: boolean,
  keep: boolean,
  name: string | undefined,
  timeout: number,
  earliest: number,
): Verdict {
  const now = Number(reply[0]);
  const findings: number[] = [];
  const befores: string[][] = [];
  let at = 1;
  let start = now + earliest;
  // asks of one limiter share its rows, so each ask is loaded and looked at by itself, twice
  const texts: (string | null)[][] = asks.map(({ gate }, index) => {
    const own: (string | null)[] = [];
    befores[index] = [];
    (gate as RedisGate).parts.forEach((part, place) => {
      const to = findings.length;
      if (part.logged) {
        noteLog(logFigures(reply, at), 0, 0, findings, to);
        findings[to] = logFigures(reply, at).wait;
        at += figuresPerLog;
        own[place] = null;
        start = Math.max(start, now + findings[to]);
      } else {
        own[place] = textOf(reply[at++]);
        loadRow(part.row, own[place]);
        start = Math.max(start, look(part, now, (asks[index] as Ask).cost, findings, to));
      }
      (befores[index] as string[])[place] = own[place] ?? "";
    });
    return own;
  });
  const wait = start - now;
  if (!spend || !(wait <= maxWait) || wait === Number.POSITIVE_INFINITY) {
    return { granted: false, wait, findings, ticket: undefined };
  }
  let to = 0;
  const grants = asks.map(({ gate, cost }, index): Grant & { gate: RedisGate } => {
    const own = gate as RedisGate;
    const mark = marks[index] as Mark;
    own.changed(mark.tag);
    const from = to;
    const stamps = own.parts.map((part, place) => {
      const here = to;
      to += numbersPerPolicy;
      if (part.logged) return start;
      loadRow(part.row, (texts[index] as (string | null)[])[place] as string | null);
      return take(part, now, start, cost, findings, here);
    });
    return {
      gate: own,
      mark,
      cost,
      now,
      stamps,
      backs: stamps.map((_, place) => start + (findings[from + place * numbersPerPolicy + 2] as number)),
      before: befores[index] as string[],
      after: own.rowTexts(),
      place: wait > 0 ? name : undefined,
    };
  });
  return { granted: true, wait, findings, ticket: keep || wait > 0 ? ticketFor(grants, timeout) : undefined };
}

function ticketFor(grants: readonly (Grant & { readonly gate: RedisGate })[], timeout: number): Ticket {
  return {
    cancel: async () => {
      await Promise.all(grants.toReversed().map((grant) => grant.gate.undo(grant, timeout)));
    },
    settle: async (deltas) => {
      await Promise.all(grants.map((grant, index) => grant.gate.settle(grant, deltas[index] as number, timeout)));
    },
  };
}

function scriptHost(link: Link, prefix: string, endings: (() => Promise<void>)[]): ScriptHost {
  const { subscribe } = link.connection;
  return {
    name: (name, part, key) => keyName(prefix, name, part, key),
    run: (script: Script, keys, args, timeout) =>
      link.within(timeout, keys[0] as string, (attempt) => link.run(script, keys, args, attempt)),
    subscribe,
    whenClosed: (listener) => void endings.push(listener),
  };
}
