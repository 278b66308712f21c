import type { Decision } from "../core/decision.js";
import { MaxWaitExceededError } from "../core/errors.js";
import type { RateLimiter } from "../core/limiter.js";
import type { Bench } from "./bench.js";
import { check, checkSame, outcomeOf } from "./check.js";
import type { Random } from "./random.js";
import { type Model, remainingOf } from "./reference/model.js";
import { isLogged, type Subject } from "./subjects.js";

/** A wait that was granted and has not come yet. */
interface Waiting {
  /** µs since the beginning. */
  readonly start: number;
  readonly settled: Promise<unknown>;
  readonly abort: () => void;
  /** Makes the models not know of it. */
  readonly withdraw: () => void;
}

/** A limiter over some policies and the models that say what it has to answer, side by side. */
export class Play {
  readonly limiter: RateLimiter;
  readonly key: string;
  readonly #bench: Bench;
  readonly #subjects: readonly Subject[];
  readonly #models: readonly Model[];
  /** Now, for each model: in phase with the store's clock. */
  readonly #now: number[];
  readonly #trace: string[] = [];
  readonly #start: string;
  /** Those who wait, as the models know them, and those who were forgotten while they did. */
  #waiting: Waiting[] = [];
  #forgotten: Waiting[] = [];
  /** µs since the beginning. */
  #elapsed = 0;
  /** µs that the last refusal asked to wait. */
  #hint = 0;

  private constructor(bench: Bench, subjects: readonly Subject[], now: number[], key: string) {
    this.#bench = bench;
    this.#subjects = subjects;
    this.#now = now;
    this.key = key;
    this.limiter = bench.limiter(subjects.map(({ policy }) => policy));
    this.#models = subjects.map((subject) => subject.model());
    this.#start = `${subjects.map(({ about }) => about).join(" + ")}, from ${now.join(", ")}`;
  }

  static async of(bench: Bench, subjects: readonly Subject[], key = "key"): Promise<Play> {
    const now: number[] = [];
    for (const { window } of subjects) now.push(8 * window + (await bench.phase(window)));
    return new Play(bench, subjects, now, key);
  }

  /** One call, one refusal, one step of the clock: whatever chance says. */
  async step(random: Random): Promise<void> {
    const dice = random.next();
    if (dice < 0.32) await this.consume(this.#cost(random));
    else if (dice < 0.4) await this.peek(this.#cost(random));
    else if (dice < 0.58) await this.wait(this.#cost(random), random);
    else if (dice < 0.67) await this.abort(random);
    else if (dice < 0.71) await this.charge(this.#cost(random));
    else if (dice < 0.77) await this.refund(this.#cost(random));
    else if (dice < 0.78) await this.reset();
    else await this.advance(this.#gap(random));
  }

  async consume(cost: number): Promise<Decision> {
    const wait = this.#wait(cost);
    const told = wait === 0 ? undefined : this.#told(cost, false);
    if (wait === 0) this.#grant(0, cost);
    else this.#hint = wait;
    const decision = await this.limiter.consume(this.key, { cost });
    this.#compare(`consume ${cost}`, decision, told ?? this.#told(0, true));
    return decision;
  }

  async peek(cost: number): Promise<Decision> {
    const decision = await this.limiter.peek(this.key, { cost });
    this.#compare(`peek ${cost}`, decision, this.#told(cost, false));
    return decision;
  }

  /** Charges a few limits at most: what a debt of centuries is cut to is no promise. */
  async charge(wanted: number): Promise<void> {
    const cost = Math.min(wanted, ...this.#subjects.map(({ policy }) => 5 * policy.limit));
    // a log keeps what is charged behind those who wait where it is, also when they give up
    if (this.#subjects.some(isLogged)) this.#waiting = [];
    this.#models.forEach((model, index) => {
      model.charge(this.#at(index), cost);
    });
    this.#compare(`charge ${cost}`, await this.limiter.charge(this.key, { cost }), this.#told(0, true));
  }

  /** Refunds where all that was granted has started: what else may come back is each algorithm's own affair. */
  async refund(cost: number): Promise<void> {
    if (this.#models.some((model, index) => model.latest > this.#at(index))) return;
    this.#trace.push(`refund ${cost}`);
    this.#models.forEach((model, index) => {
      model.refund(this.#at(index), cost);
    });
    await this.limiter.refund(this.key, { cost });
  }

  async reset(): Promise<void> {
    this.#forgotten.push(...this.#waiting);
    this.#waiting = [];
    this.#trace.push("reset");
    this.#subjects.forEach((subject, index) => {
      (this.#models as Model[])[index] = subject.model();
    });
    await this.limiter.reset(this.key);
  }

  /** Waits with a patience that is just enough, just too little, or endless. */
  async wait(cost: number, random: Random): Promise<void> {
    const wait = this.#wait(cost);
    const patience = random.pick([wait, wait - 1, wait + 1, 0, Number.POSITIVE_INFINITY]);
    const maxWait = Number.isFinite(patience) ? Math.max(0, patience) : Number.POSITIVE_INFINITY;
    const controller = new AbortController();
    const what = `wait ${cost} up to ${maxWait}`;
    const waiting = this.limiter.wait(this.key, { cost, maxWait: maxWait / 1000, signal: controller.signal });
    const settled = outcomeOf(waiting);
    if (wait > maxWait || wait === Number.POSITIVE_INFINITY) {
      const outcome = await settled;
      const error = "error" in outcome ? outcome.error : undefined;
      check(error instanceof MaxWaitExceededError, () =>
        this.#fail(`${what}: expected MaxWaitExceededError, got ${String(error)}`),
      );
      checkSame(error.wait, wait / 1000, () => this.#fail(`${what}: how long it would have taken`));
      this.#trace.push(`${what}: too far, ${wait}`);
      return;
    }
    const withdraw = this.#grant(wait, cost);
    this.#trace.push(`${what}: granted in ${wait}`);
    if (wait === 0) {
      const outcome = await settled;
      check("value" in outcome, () => this.#fail(`${what}: refused`));
      this.#compare(what, outcome.value, this.#told(0, true));
      return;
    }
    // whoever asks next sees it; the answer also shows that the store has heard of it before the clock is moved
    await this.peek(1);
    this.#waiting.push({ start: this.#elapsed + wait, settled, abort: () => controller.abort(), withdraw });
  }

  /** Some who wait give up, in any order: one, or several in one turn of the event loop. */
  async abort(random: Random): Promise<void> {
    const leaving: Waiting[] = [];
    for (let count = random.pick([1, 1, 1, 2, 3, 20]); count > 0; count--) {
      const among = this.#forgotten.length > 0 && random.chance(0.2) ? this.#forgotten : this.#waiting;
      if (among.length === 0) break;
      const [each] = among.splice(random.whole(0, among.length - 1), 1) as [Waiting];
      if (among === this.#waiting) each.withdraw();
      this.#trace.push(`${among === this.#waiting ? "gave up" : "forgotten, gave up"} ${each.start}`);
      leaving.push(each);
    }
    for (const each of leaving) each.abort();
    await Promise.all(leaving.map(({ settled }) => settled));
    if (leaving.length > 0) await this.peek(1);
  }

  async advance(micros: number): Promise<void> {
    this.#elapsed += micros;
    this.#waiting = this.#waiting.filter(({ start }) => start > this.#elapsed);
    this.#forgotten = this.#forgotten.filter(({ start }) => start > this.#elapsed);
    this.#trace.push(`+${micros}`);
    this.#now.forEach((now, index) => {
      this.#now[index] = now + micros;
    });
    await this.#bench.advance(micros);
  }

  #at(index: number): number {
    return this.#now[index] as number;
  }

  /** µs until the first common start. */
  #wait(cost: number): number {
    return Math.max(...this.#models.map((model, index) => model.start(this.#at(index), cost) - this.#at(index)));
  }

  /** The function returned makes it not have happened. */
  #grant(wait: number, cost: number): () => void {
    const withdrawals = this.#models.map((model, index) => {
      const at = this.#at(index) + wait;
      check(model.start(at, cost) === at, () => this.#fail(`the models disagree about ${cost} in ${wait}`));
      return model.grant(at, cost);
    });
    return () => {
      for (const withdraw of withdrawals) withdraw();
    };
  }

  /** What the limiter has to say now: of a cost that was asked, or, when it was granted, of what is left. */
  #told(cost: number, granted: boolean): Omit<Decision, "degraded"> {
    const parts = this.#models.map((model, index) => {
      const now = this.#at(index);
      const wait = granted ? 0 : model.start(now, cost) - now;
      const { name, limit, window } = (this.#subjects[index] as Subject).policy;
      return {
        policy: name,
        allowed: wait === 0,
        limit,
        window,
        remaining: remainingOf(model, now),
        retryAfter: wait / 1000,
        resetAfter: (model.resetAt(now) - now) / 1000,
      };
    });
    const retryAfter = Math.max(...parts.map((part) => part.retryAfter));
    const remaining = Math.min(...parts.map((part) => part.remaining));
    const speaker =
      retryAfter > 0
        ? parts.find((part) => part.retryAfter === retryAfter)
        : parts.find((part) => part.remaining === remaining);
    return {
      allowed: retryAfter === 0,
      policy: speaker?.policy as string,
      limit: speaker?.limit as number,
      remaining,
      retryAfter,
      resetAfter: Math.max(...parts.map((part) => part.resetAfter)),
      parts,
    };
  }

  #compare(what: string, decision: Decision, told: Omit<Decision, "degraded">): void {
    const { allowed, policy, limit, remaining, retryAfter, resetAfter, parts } = decision;
    const got = { allowed, policy, limit, remaining, retryAfter, resetAfter, parts };
    checkSame(got, told, () => this.#fail(what));
    this.#trace.push(`${what}: ${allowed}`);
  }

  #fail(what: string): string {
    return `${this.#start}\n  after ${this.#trace.join("; ")}\n  ${what}`;
  }

  #cost(random: Random): number {
    const { limit } = random.pick(this.#subjects).policy;
    return random.pick([1, 1, 1, 2, Math.ceil(limit / 2), random.whole(1, limit), limit, limit + 1]);
  }

  #gap(random: Random): number {
    const { window, tick } = random.pick(this.#subjects);
    const round = random.pick([tick, window, this.#hint, this.#hint, Math.floor(window / 2), 2 * window]);
    const near = Math.max(0, (Number.isFinite(round) ? round : 0) + random.whole(-1, 1));
    return random.pick([0, 1, near, near, near, random.whole(0, tick), random.whole(0, window), 3 * window + near]);
  }
}
