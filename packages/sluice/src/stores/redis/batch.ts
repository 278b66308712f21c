import type { Clock } from "../../core/clock.js";
import { afterDeadline, type DeadlineTimer, timeoutError } from "../../core/deadline.js";
import { type Decision, decideMany, decideOne, numbersPerPolicy } from "../../core/decision.js";
import type { Script } from "../../core/store.js";
import type { Breaker } from "./breaker.js";
import type { RedisGate } from "./gate.js";
import { slots } from "./keys.js";
import type { Attempt, Link } from "./link.js";
import type { Taken } from "./lots.js";
import {
  checkedReply,
  complaintOf,
  figuresPerLog,
  type LogFigures,
  loadRow,
  logFigures,
  look,
  noteLog,
  type Part,
  stepOnce,
  take,
  textOf,
} from "./replay.js";

/**
 * Decisions asked for in one turn of the event loop travel in one script call, each key once however often it is asked.
 * Calls are sent to a node while fewer than `rowsInFlight` rows are under way to it; what is asked meanwhile gathers in
 * the next.
 */
export class Batcher {
  readonly #link: Link;
  readonly #script: Script;
  readonly #clock: Clock;
  readonly #exact: Clock;
  readonly #max: number;
  readonly #now: () => number;
  /** What goes to each node. */
  readonly #lanes = new Map<Breaker, Lane>();
  /**
   * The call of each slot that still takes more; one slot on a single server. Nothing that a lone call fills and empties
   * is a Map, a Set or an array that shrinks: V8 makes their memory anew each time. Two Maps here and a Set in `Link` took
   * 2.6 of the 4.4 µs that a lone call spent in this process beside the client.
   */
  readonly #open: (Call | undefined)[];
  #flushing = false;
  /** Calls that are neither answered nor given up, and those of them that were sent. */
  #calls = 0;
  #underWay = 0;
  /** Rows of the replies that were heard in these two turns, and the replies that are heard at their end. */
  #heard = 0;
  readonly #unheard: Call[] = [];
  #turnsAreShort = true;
  /** Serves all calls. */
  #timer: DeadlineTimer | undefined;
  /** µs on the local clock. */
  #timerAt = Number.POSITIVE_INFINITY;

  /** `exact` is read for a lone call: `clock` needs an immediate at the end of the turn for which it shares a reading. */
  constructor(link: Link, script: Script, clock: Clock, exact: Clock, max: number, now: () => number) {
    this.#link = link;
    this.#script = script;
    this.#clock = clock;
    this.#exact = exact;
    this.#open = Array.from({ length: link.connection.cluster ? slots : 1 });
    this.#max = max;
    this.#now = now;
  }

  /** One decision, refused or granted at once. */
  consume(gate: RedisGate, tag: string, cost: number, timeout: number): Promise<Decision> {
    return new Promise((resolve, reject) => this.#add(gate, tag, cost, 1, timeout, resolve, reject));
  }

  /** Up to `count` calls at a cost of 1, together; `granted` may be fewer, or 0. */
  lot(gate: RedisGate, tag: string, count: number, timeout: number): Promise<Taken> {
    return new Promise((resolve, reject) =>
      this.#add(gate, tag, 1, count, timeout, (decision, granted, now) => resolve({ decision, granted, now }), reject),
    );
  }

  #add(
    gate: RedisGate,
    tag: string,
    cost: number,
    count: number,
    timeout: number,
    resolve: Caller["resolve"],
    reject: Caller["reject"],
  ): void {
    const slot = gate.slot(tag);
    let call = this.#open[slot];
    let now: number;
    if (call === undefined || call.rows >= this.#max) {
      const alone = this.#calls === 0;
      now = alone ? this.#exact.now() : this.#clock.now();
      call = new Call(slot, this.#lane(slot), alone ? now : -1);
      this.#open[slot] = call;
      call.lane.waiting.push(call);
      this.#calls += 1;
      this.#flushSoon();
    } else {
      now = this.#clock.now();
      call.begun = -1;
    }
    const deadline = now + timeout * 1000;
    call.add(gate, tag, new Caller(cost, count, resolve, reject, timeout, deadline));
    if (deadline < call.due) this.#watch(call, deadline, now);
  }

  /**
   * A lone decision goes after the microtasks in which it was asked for. While others are under way it waits for what this
   * turn of the event loop still brings: the requests of an HTTP server come each in a callback of its own.
   */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    if (this.#underWay === 0) process.nextTick(this.#flush);
    else setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    for (const lane of this.#lanes.values()) {
      // after a failure, one call's worth: a server that hangs does all that it was sent when it wakes, for nobody
      const most = lane.breaker.doubtful ? this.#max : rowsInFlight;
      for (let call = lane.waiting.first; call !== undefined; call = lane.waiting.first) {
        if (lane.rows > 0 && lane.rows + call.rows > most) break;
        this.#send(call);
      }
    }
  };

  /** Sends everything that has gathered, before the store closes. */
  finish(): void {
    for (const { waiting } of this.#lanes.values()) for (const call of waiting.all()) this.#send(call);
  }

  #lane(slot: number): Lane {
    const breaker = this.#link.breaker(slot);
    let lane = this.#lanes.get(breaker);
    if (lane === undefined) {
      lane = { breaker, waiting: new CallList(), underWay: new CallList(), rows: 0 };
      this.#lanes.set(breaker, lane);
    }
    return lane;
  }

  #send(call: Call): void {
    this.#take(call);
    const { lane } = call;
    call.sent = call.begun < 0 ? this.#clock.now() : call.begun;
    call.timeout = Math.max(1, Math.ceil((call.last - call.sent) / 1000));
    lane.rows += call.rows;
    lane.waiting.remove(call);
    lane.underWay.push(call);
    this.#underWay += 1;
    const { keys, args } = call.encode(this.#now());
    this.#link.run(this.#script, keys, args, call).then(
      (reply) => this.#hearInTurn(call, reply),
      (error: unknown) => {
        call.fail(error);
        this.#done(call);
      },
    );
  }

  /**
   * Of replies that come together, one full call's worth is heard at once, and the others two turns of the event loop
   * later, when what the first callers ask next has been written. All at once, four calls were answered, asked for and
   * written together by a client that writes at the end of a turn, and the server idled meanwhile: in short
   * runs node-redis had 105 000 decisions a second with 250 in flight and 95 000 with 1000, as against 165 000 and 155 000;
   * ioredis, which writes at once, is as fast either way. While turns are long nothing is put off.
   */
  #hearInTurn(call: Call, reply: unknown): void {
    call.reply = reply;
    const full = this.#heard > 0 && this.#heard + call.rows > portion;
    if (this.#turnsAreShort && (full || this.#unheard.length > 0)) {
      this.#unheard.push(call);
      return;
    }
    if (this.#heard === 0 && this.#underWay > 1) {
      const from = this.#clock.now();
      setImmediate(() => setImmediate(() => this.#hearRest(from)));
    }
    if (this.#underWay > 1) this.#heard += call.rows;
    this.#hear(call);
  }

  #hearRest(from: number): void {
    this.#heard = 0;
    this.#turnsAreShort = this.#clock.now() - from < longTurn;
    this.hearAll();
  }

  /** Hands out the answers that are here. */
  hearAll(): void {
    for (const call of this.#unheard.splice(0)) this.#hear(call);
  }

  #hear(call: Call): void {
    try {
      call.answer(checkedReply(call.reply, call.figures));
    } catch (error) {
      call.fail(error);
    }
    this.#done(call);
  }

  /**
   * Expires the call's callers from `due` on. One timer serves all calls. It is not stopped when they are answered, but
   * goes off for nothing once in each timeout: to set one for each call took 4 of the 55 µs of a lone one.
   */
  #watch(call: Call, due: number, now: number): void {
    call.due = due;
    if (due >= this.#timerAt) {
      this.#timer?.hold(true);
      return;
    }
    this.#timer?.stop();
    this.#timerAt = due;
    this.#timer = afterDeadline(Math.max(1, (due - now) / 1000), this.#expire, this.#clock);
  }

  readonly #expire = (reached: number): void => {
    this.#timerAt = Number.POSITIVE_INFINITY;
    // what was answered in time is not late
    this.hearAll();
    const calls = Array.from(this.#lanes.values(), ({ waiting, underWay }) => [
      ...underWay.all(),
      ...waiting.all(),
    ]).flat();
    const late: Call[] = [];
    for (const call of calls) {
      const next = call.due > reached ? call.due : call.expire(reached);
      if (next !== undefined) {
        this.#watch(call, next, this.#clock.now());
      } else if (call.sent >= 0) {
        late.push(call);
      } else {
        // nobody waits for it any more: it is never sent, so that nothing of it counts
        this.#take(call);
        call.lane.waiting.remove(call);
        this.#calls -= 1;
      }
    }
    this.#link.late(late);
    for (const call of late) this.#done(call);
    // what had no room behind a call that nobody waits for any more may have it now
    for (const { waiting } of this.#lanes.values()) if (waiting.first !== undefined) this.#flushSoon();
  };

  /** Nobody joins it any more. */
  #take(call: Call): void {
    if (this.#open[call.slot] === call) this.#open[call.slot] = undefined;
  }

  /** It is answered, has failed, or is given up: others may be sent in its place. */
  #done(call: Call): void {
    if (call.done) return;
    call.done = true;
    const { lane } = call;
    lane.rows -= call.rows;
    lane.underWay.remove(call);
    this.#calls -= 1;
    this.#underWay -= 1;
    if (this.#calls === 0) this.#timer?.hold(false);
    if (lane.waiting.first !== undefined) this.#flushSoon();
  }
}

/** Four full calls: one the server works on, the others on their way, see bench/README.md. */
const rowsInFlight = 256;

/** Rows that are heard at once: a full call's, as a rule. */
const portion = 64;
/** µs: two turns that take longer would put off too much. */
const longTurn = 5000;

/** The way to one node. */
interface Lane {
  readonly breaker: Breaker;
  /** Calls that are not sent. */
  readonly waiting: CallList;
  readonly underWay: CallList;
  /** Of the calls under way. */
  rows: number;
}

/** Calls, oldest first, linked to each other. */
class CallList {
  first: Call | undefined;
  #last: Call | undefined;

  all(): Call[] {
    const calls: Call[] = [];
    for (let call = this.first; call !== undefined; call = call.after) calls.push(call);
    return calls;
  }

  push(call: Call): void {
    call.before = this.#last;
    if (this.#last === undefined) this.first = call;
    else this.#last.after = call;
    this.#last = call;
  }

  /** Of a call that is in this list. */
  remove(call: Call): void {
    const { before, after } = call;
    if (before === undefined) this.first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    call.before = call.after = undefined;
  }
}

/**
 * Who asked: once at a cost, or for a lot of up to `count` calls. A class, and linked to the next who asked for the key:
 * where many literals of one place survive a collection of young garbage, which was so in one process of six, V8 allocates
 * all later ones of that place among the old, and decisions on many keys took three times as long from then on.
 */
class Caller {
  readonly cost: number;
  readonly count: number;
  /** Gets the decision, how many calls of a lot were granted, and the store's moment. */
  resolve: (decision: Decision, granted: number, now: number) => void;
  reject: (error: unknown) => void;
  readonly timeout: number;
  /** µs */
  readonly deadline: number;
  /** Who asked for the same key after that. */
  next: Caller | undefined = undefined;

  constructor(
    cost: number,
    count: number,
    resolve: Caller["resolve"],
    reject: Caller["reject"],
    timeout: number,
    deadline: number,
  ) {
    this.cost = cost;
    this.count = count;
    this.resolve = resolve;
    this.reject = reject;
    this.timeout = timeout;
    this.deadline = deadline;
  }
}

/** What an expired caller does with the answer. */
const nobody = (): void => {};

/** A key that is asked for, and who asks, in order. */
class Asked {
  readonly tag: string;
  readonly first: Caller;
  last: Caller;
  /** Of equal costs. */
  runs = 1;

  constructor(tag: string, caller: Caller) {
    this.tag = tag;
    this.first = this.last = caller;
  }

  add(caller: Caller): void {
    if (caller.cost !== this.last.cost) this.runs += 1;
    this.last.next = caller;
    this.last = caller;
  }

  reject(error: unknown): void {
    for (let caller: Caller | undefined = this.first; caller !== undefined; caller = caller.next) caller.reject(error);
  }

  /** Once, at a cost of 1. */
  get isPlain(): boolean {
    const { cost, count, next } = this.first;
    return next === undefined && cost === 1 && count === 1;
  }
}

/** What is asked of one limiter. Most calls ask for one key, which needs no Map. */
class Section {
  readonly gate: RedisGate;
  readonly firstKey: Asked;
  /** Where there are several keys. */
  #byTag: Map<string, Asked> | undefined = undefined;

  constructor(gate: RedisGate, firstKey: Asked) {
    this.gate = gate;
    this.firstKey = firstKey;
  }

  get size(): number {
    return this.#byTag === undefined ? 1 : this.#byTag.size;
  }

  find(tag: string): Asked | undefined {
    if (this.#byTag !== undefined) return this.#byTag.get(tag);
    return tag === this.firstKey.tag ? this.firstKey : undefined;
  }

  add(asked: Asked): void {
    if (this.#byTag === undefined) {
      this.#byTag = new Map();
      this.#byTag.set(this.firstKey.tag, this.firstKey);
    }
    this.#byTag.set(asked.tag, asked);
  }

  asked(): Iterable<Asked> {
    return this.#byTag?.values() ?? [this.firstKey];
  }
}

/** One call of the script. */
class Call implements Attempt {
  readonly breaker: Breaker;
  timeout = 0;
  patience = 0;
  key = "";
  owed = false;
  over = false;
  group: Attempt["group"];
  readonly slot: number;
  readonly lane: Lane;
  /** µs on the local clock: when its only caller asked, while no other call waited or was under way; -1 once somebody joins. */
  begun: number;
  /** Its neighbours in the list of those that are sent, or are not. */
  before: Call | undefined;
  after: Call | undefined;
  /** What it costs the server, in rows: those that it reads, and the further runs on them. */
  rows = 0;
  /** µs on the local clock: when the first of its callers expires, and the last. */
  due = Number.POSITIVE_INFINITY;
  last = 0;
  /** µs on the local clock; -1 before it is sent. */
  sent = -1;
  done = false;
  /** What its reply has to hold besides the moment. */
  figures = 0;
  /** The server's, while others are heard first. */
  reply: unknown;
  #sections: Section[] = [];

  constructor(slot: number, lane: Lane, begun: number) {
    this.breaker = lane.breaker;
    this.slot = slot;
    this.lane = lane;
    this.begun = begun;
  }

  add(gate: RedisGate, tag: string, caller: Caller): void {
    const section = this.#sectionOf(gate);
    const asked = section?.find(tag);
    if (asked === undefined) {
      if (section === undefined) this.#sections.push(new Section(gate, new Asked(tag, caller)));
      else section.add(new Asked(tag, caller));
      this.rows += gate.weight;
      this.figures += gate.figures;
    } else {
      if (asked.last.cost !== caller.cost) {
        // another cost is another run, and takes the server as long as another row
        this.rows += gate.weight;
        this.figures += gate.figuresPerRun;
      }
      asked.add(caller);
    }
    if (caller.deadline > this.last) this.last = caller.deadline;
    if (caller.timeout > this.patience) this.patience = caller.timeout;
  }

  #sectionOf(gate: RedisGate): Section | undefined {
    for (const section of this.#sections) if (section.gate === gate) return section;
    return undefined;
  }

  encode(now: number): { keys: string[]; args: (string | number)[] } {
    const alone = now === 0 ? this.#alone() : undefined;
    if (alone !== undefined) return alone;
    const keys: string[] = [];
    const args: (string | number)[] = ["consume", now];
    for (const section of this.#sections) {
      const { gate, size } = section;
      const place = args.push(gate.encoded, size) - 1;
      let plain = true;
      for (const asked of section.asked()) {
        gate.pushNames(keys, asked.tag);
        plain &&= asked.isPlain;
      }
      if (plain) args[place] = -size;
      else for (const asked of section.asked()) pushRuns(args, asked);
    }
    return { keys, args };
  }

  /** One key that is asked once: what such a call does not say, the server need not read. */
  #alone(): { keys: string[]; args: string[] } | undefined {
    const { gate, firstKey, size } = this.#sections[0] as Section;
    if (this.#sections.length > 1 || size > 1 || !firstKey.isPlain || gate.encodedPolicy === undefined)
      return undefined;
    return { keys: gate.namesOf(firstKey.tag), args: [gate.encodedPolicy] };
  }

  answer(reply: readonly unknown[]): void {
    const now = Number(reply[0]);
    let at = 1;
    for (const section of this.#sections) {
      for (const asked of section.asked()) at = answerKey(section.gate, asked, reply, at, now, this.sent);
    }
  }

  /** Rejects those whose time is over; returns the next deadline, if anybody still waits. */
  expire(now: number): number | undefined {
    let next = Number.POSITIVE_INFINITY;
    for (const caller of this.#callers()) {
      if (caller.deadline > now) {
        next = Math.min(next, caller.deadline);
        continue;
      }
      if (caller.resolve === nobody) continue;
      const { reject } = caller;
      // it keeps its place, for the answer is read in order; a late reply is handed to nobody
      caller.resolve = caller.reject = nobody;
      reject(timeoutError(caller.timeout));
    }
    if (next === Number.POSITIVE_INFINITY) return undefined;
    if (this.sent < 0) this.#forgetExpired();
    return next;
  }

  /** What is not sent yet need not ask for those whose time is over. */
  #forgetExpired(): void {
    const sections = this.#sections;
    this.#sections = [];
    this.rows = this.figures = 0;
    for (const section of sections) {
      for (const { tag, first } of section.asked()) {
        for (let caller: Caller | undefined = first; caller !== undefined; ) {
          const next: Caller | undefined = caller.next;
          caller.next = undefined;
          if (caller.resolve !== nobody) this.add(section.gate, tag, caller);
          caller = next;
        }
      }
    }
  }

  fail(error: unknown): void {
    for (const section of this.#sections) for (const asked of section.asked()) asked.reject(error);
  }

  #callers(): Caller[] {
    const callers: Caller[] = [];
    for (const section of this.#sections) {
      for (const { first } of section.asked()) {
        for (let caller: Caller | undefined = first; caller !== undefined; caller = caller.next) callers.push(caller);
      }
    }
    return callers;
  }
}

/** Cost and count of each run of equal costs; a negative count means that another run follows. */
function pushRuns(args: (string | number)[], { first }: Asked): void {
  let caller: Caller | undefined = first;
  while (caller !== undefined) {
    const cost: number = caller.cost;
    let count = 0;
    for (; caller !== undefined && caller.cost === cost; caller = caller.next) count += caller.count;
    args.push(cost, caller === undefined ? count : -count);
  }
}

/** Reads the rows of one key, runs the steps again for each caller in order, and hands out the answers. */
function answerKey(
  gate: RedisGate,
  asked: Asked,
  reply: readonly unknown[],
  start: number,
  now: number,
  sent: number,
): number {
  const { parts, policies } = gate;
  const { tag, first } = asked;
  const complaint = complaintOf(reply[start]);
  if (complaint !== undefined) {
    asked.reject(complaint);
    return start + gate.figures + (asked.runs - 1) * gate.figuresPerRun;
  }
  let at = start;
  for (const part of parts) if (!part.logged) loadRow(part.row, textOf(reply[at++]));
  const only = parts[0] as Part;
  if (parts.length === 1 && !only.logged) {
    let refused = 0;
    for (let caller: Caller | undefined = first; caller !== undefined; caller = caller.next) {
      const { cost, count } = caller;
      let answer = stepOnce(only, now, cost);
      let granted = answer.start <= now ? 1 : 0;
      // as in the script: many calls at one moment cost what one call of their sum does
      const more = granted * Math.min(count - 1, Math.floor(answer.remaining / cost));
      if (more > 0) {
        answer = stepOnce(only, now, cost * more);
        granted += more;
      }
      const allowed = granted > 0;
      const wait = allowed ? 0 : answer.start - now;
      const reset = Math.max(0, answer.resetAt - now);
      if (allowed) {
        refused = 0;
        gate.changed(tag);
      } else if (cost !== refused) {
        // the same question finds the same answer
        refused = cost;
        gate.denied(tag, cost, wait, now, sent);
      }
      caller.resolve(decideOne(policies, allowed, wait, answer.remaining, reset), granted, now);
    }
    return at;
  }
  let caller: Caller | undefined = first;
  while (caller !== undefined) {
    const cost: number = caller.cost;
    const logs = parts.map((part) => {
      if (!part.logged) return undefined;
      const figures = logFigures(reply, at);
      at += figuresPerLog;
      return figures;
    });
    let index = 0;
    for (; caller !== undefined && caller.cost === cost; caller = caller.next) {
      const { count, resolve } = caller;
      const findings = ask(parts, logs, index, cost, now);
      const granted = grantedOf(parts, logs, index, cost, count, findings);
      if (granted > 0) {
        parts.forEach((part, place) => {
          const figures = logs[place];
          // as in the script: many calls at one moment cost what one call of their sum does
          if (figures === undefined) take(part, now, now, cost * granted, findings, place * numbersPerPolicy);
          else noteLog(figures, index + granted - 1, cost, findings, place * numbersPerPolicy);
        });
        gate.changed(tag);
      } else deny(gate, tag, cost, findings, now, sent);
      index += count;
      resolve(decideMany(policies, findings, granted > 0), granted, now);
    }
  }
  return at;
}

function deny(
  gate: RedisGate,
  tag: string,
  cost: number,
  findings: readonly number[],
  now: number,
  sent: number,
): void {
  const wait = Math.max(...findings.filter((_, place) => place % numbersPerPolicy === 0));
  gate.deniedByLog(tag, cost, findings, sent);
  gate.denied(tag, cost, wait, now, sent);
}

/** How many of `count` calls every policy grants, from the call at `index` of a run on, which found `findings`. */
function grantedOf(
  parts: readonly Part[],
  logs: readonly (LogFigures | undefined)[],
  index: number,
  cost: number,
  count: number,
  findings: readonly number[],
): number {
  let granted = count;
  for (let place = 0; place < parts.length; place++) {
    const at = place * numbersPerPolicy;
    if ((findings[at] as number) > 0) return 0;
    const figures = logs[place];
    const room = figures === undefined ? Math.floor((findings[at + 1] as number) / cost) : figures.granted - index;
    granted = Math.min(granted, room);
  }
  return Math.max(1, granted);
}

/** What every policy says to the call at `index` of a run. */
function ask(
  parts: readonly Part[],
  logs: readonly (LogFigures | undefined)[],
  index: number,
  cost: number,
  now: number,
): number[] {
  const findings: number[] = [];
  parts.forEach((part, place) => {
    const figures = logs[place];
    if (figures === undefined) look(part, now, cost, findings, place * numbersPerPolicy);
    else noteLog(figures, index, cost, findings, place * numbersPerPolicy);
  });
  return findings;
}
