import { withDeadline } from "./deadline.js";
import { type Decision, decideMany, type Findings, markDegraded, numbersPerPolicy } from "./decision.js";
import { type Duration, maxWaitOf, milliseconds } from "./duration.js";
import { MaxWaitExceededError, RateLimitExceededError, StoreError } from "./errors.js";
import { type FailureAnswer, orElse } from "./failure.js";
import { decide, giveBackLate, together, whenKnown } from "./group.js";
import type { Policy } from "./policy.js";
import type { Ask, Gate, Ticket, Verdict } from "./store.js";
import { type Turns, takeBack, untilTurn } from "./turn.js";
import { checkFunction, checkOptions, checkSignal, costOf, wholeNumber } from "./validate.js";

/** What a call costs. */
export interface CostOptions {
  /** Positive integer; 0 is a RangeError (`settle(0)` is legal). Default 1. */
  cost?: number;
}

/** How patient a call is. */
export interface WaitOptions extends CostOptions {
  /** Give up at once, charging nothing, if the turn is further away than this. Default: wait as long as it takes. */
  maxWait?: Duration;
  /** Aborting rejects with `signal.reason` and gives the turn back, within the same turn of the event loop or once the store has answered; granted turns of others stand. */
  signal?: AbortSignal;
}

/**
 * Spent now, to be corrected later. Disposed of unsettled, it keeps the estimate. `settle` and `cancel` reject with
 * `StoreError` when the store fails.
 *
 * @example
 * const tokens = rateLimiter(tokenBucket({ rate: 90_000, per: "1m" }))
 * await using reservation = await tokens.reserve("model", { cost: 1200, maxWait: "30s" })
 * await reservation.settle(874)
 */
export interface Reservation extends AsyncDisposable {
  readonly decision: Decision;
  /**
   * Replace the reserved cost by what it really was: the difference is given back, or charged (into debt if need be).
   * Once only; later calls do nothing. A key that was given a cost of its own (`limiter.for(key, { cost })`) keeps it.
   */
  settle(cost: number): Promise<void>;
  /** Give everything back. */
  cancel(): Promise<void>;
}

/** What the verbs need of a limiter. */
export interface Member {
  readonly gate: Gate;
  readonly shadow: boolean;
  /** Those who wait; when it closes, they give up. */
  readonly turns: Turns;
  /** ms */
  readonly timeout: number;
  readonly whenStoreFails: FailureAnswer;
  /** Throws when the limiter is closed. */
  checkOpen(): void;
}

/** A key of a limiter; `cost` where the key has one of its own. */
export interface Target {
  readonly member: Member;
  readonly key: string;
  readonly cost: number | undefined;
}

/** An ask, and how many of its targets have the cost of the call. */
interface Question extends Ask {
  readonly member: Member;
  readonly shared: number;
}

interface Outcome {
  readonly verdict: Verdict;
  /** In the order of the verdict's findings. */
  readonly questions: readonly Question[];
  /** The same, in the order in which they were put. */
  readonly put: readonly Question[];
}

/** The options of one call, read once and checked. */
interface Wish {
  readonly cost: number;
  /** µs; undefined when the caller named none. */
  readonly maxWait: number | undefined;
  readonly signal: AbortSignal | undefined;
}

function wishOf(options: WaitOptions | undefined): Wish {
  checkOptions(options);
  const { cost, maxWait, signal } = options ?? {};
  checkSignal(signal);
  return { cost: costOf({ cost }), maxWait: maxWait === undefined ? undefined : maxWaitOf(maxWait), signal };
}

/** Spend now or be refused. */
export function consume(targets: readonly Target[], options: CostOptions | undefined): Decision | Promise<Decision> {
  const cost = costOf(options);
  const { whenStoreFails, shadow } = (targets[0] as Target).member;
  // nothing stands in for the answer, so it is not waited for
  if (targets.length === 1 && whenStoreFails === "throw" && !shadow) return spend(targets, cost);
  return orElse(targets, (asked) => spend(asked, cost), markDegraded, asItIs);
}

/** One key of one limiter has a way of its own, by which a store may be quicker. */
function spend(targets: readonly Target[], cost: number): Decision | Promise<Decision> {
  const { member, key, cost: own } = targets[0] as Target;
  if (targets.length > 1 || member.shadow) return whenKnown(ask(targets, cost, 0, true, false), decisionOf);
  member.checkOpen();
  return member.gate.consume(key, own ?? cost, member.timeout);
}

/** What `consume` would say. */
export function peek(targets: readonly Target[], options: CostOptions | undefined): Decision | Promise<Decision> {
  const cost = costOf(options);
  const look = (asked: readonly Target[]) => whenKnown(ask(asked, cost, 0, false, false), decisionOf);
  return orElse(targets, look, markDegraded, asItIs);
}

function asItIs(decision: Decision): Decision {
  return decision;
}

/** Spend, and go on when it is this caller's turn. */
export async function wait(targets: readonly Target[], options: WaitOptions | undefined): Promise<Decision> {
  const { decision } = await take(targets, wishOf(options));
  return decision;
}

/** `wait`, then the function; not when the signal has aborted in between. */
export async function run<T>(
  targets: readonly Target[],
  task: () => T | Promise<T>,
  options: WaitOptions | undefined,
): Promise<T> {
  checkFunction(task, "task");
  const wish = wishOf(options);
  const { ticket } = await take(targets, wish);
  giveBackAborted(ticket, wish.signal);
  return task();
}

/** Throws when the signal has aborted, and takes back what was granted. */
function giveBackAborted(ticket: Pick<Ticket, "cancel"> | undefined, signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  takeBack(ticket);
  throw signal.reason;
}

/** A turn that has come. */
interface Taken {
  readonly decision: Decision;
  readonly ticket: Ticket | undefined;
}

async function take(targets: readonly Target[], wish: Wish): Promise<Taken> {
  const { maxWait = Number.POSITIVE_INFINITY, signal } = wish;
  const verb = async (asked: readonly Target[]): Promise<Taken> => {
    const outcome = await turn(targets, asked, wish, maxWait, false);
    return { decision: decisionOf(outcome), ticket: outcome.verdict.ticket };
  };
  return orElse(
    targets,
    verb,
    ({ decision, ticket }) => ({ decision: markDegraded(decision), ticket }),
    (decision) => ({ decision: allowedOrThrow(decision), ticket: undefined }),
    signal,
  );
}

function allowedOrThrow(decision: Decision): Decision {
  if (!decision.allowed) throw new RateLimitExceededError(decision);
  return decision;
}

/** Spend an estimate, and keep the means to correct it. */
export async function reserve(targets: readonly Target[], options: WaitOptions | undefined): Promise<Reservation> {
  const wish = wishOf(options);
  const { cost, maxWait, signal } = wish;
  const verb = async (asked: readonly Target[]): Promise<Reservation> => {
    const outcome = await turn(targets, asked, wish, maxWait, true);
    return reservation(decisionOf(outcome), outcome.verdict.ticket, outcome.questions, cost);
  };
  return orElse(
    targets,
    verb,
    (reserved) => ({ ...reserved, decision: markDegraded(reserved.decision) }),
    (decision) => reservation(allowedOrThrow(decision), undefined, [], cost),
    signal,
  );
}

/** `reserve`, then the function, for what is refused rather than kept waiting. */
export async function runNow<T>(
  targets: readonly Target[],
  task: () => T | Promise<T>,
  options: WaitOptions & { readonly signal: AbortSignal },
): Promise<T> {
  giveBackAborted(await reserve(targets, options), options.signal);
  return task();
}

function reservation(
  decision: Decision,
  ticket: Ticket | undefined,
  questions: readonly Question[],
  cost: number,
): Reservation {
  let open = ticket;
  const close = (): Ticket | undefined => {
    const was = open;
    open = undefined;
    return was;
  };
  return {
    decision,
    settle: async (actual) => {
      wholeNumber(actual, "cost", "ERR_INVALID_COST", 0);
      await close()?.settle(questions.map(({ shared }) => shared * (actual - cost)));
    },
    cancel: async () => {
      await close()?.cancel();
    },
    [Symbol.asyncDispose]: async () => {
      close();
    },
  };
}

/**
 * Asks `asked`, the targets of the call or what stands in for them, and waits for the start that they grant. Without
 * `maxWait` it has to be now.
 */
function turn(
  targets: readonly Target[],
  asked: readonly Target[],
  { cost, signal }: Wish,
  maxWait: number | undefined,
  keep: boolean,
): Outcome | Promise<Outcome> {
  signal?.throwIfAborted();
  for (const { member } of targets) member.checkOpen();
  const members = [...targets, ...asked].map(({ member }) => member);
  // whoever leaves before a store has answered gives back even what starts at once
  const keeps = keep || signal !== undefined || members.some(({ gate }) => gate.driver.remote);
  const answer = whenKnown(ask(asked, cost, maxWait ?? 0, true, keeps), (outcome) => {
    const { granted, wait: missing } = outcome.verdict;
    if (granted) return outcome;
    if (maxWait === undefined) throw new RateLimitExceededError(decisionOf(outcome));
    throw new MaxWaitExceededError(milliseconds(missing), milliseconds(maxWait));
  });
  const limiters = new Set(members.map(({ turns }) => turns));
  return untilTurn(answer, limiters, (asked[0] as Target).member.gate.driver.alarms, signal);
}

/** One question to all targets. Those of shadow limiters are asked apart, after the others agreed, and never refuse. */
function ask(
  targets: readonly Target[],
  cost: number,
  maxWait: number,
  spends: boolean,
  keep: boolean,
): Outcome | Promise<Outcome> {
  for (const { member } of targets) member.checkOpen();
  const timeout = Math.min(...targets.map(({ member }) => member.timeout));
  const put = merge(targets, cost);
  const enforced = put.filter(({ member }) => !member.shadow);
  const shadows = put.filter(({ member }) => member.shadow);
  const end = shadows.length === 0 ? 0 : performance.now() + timeout;
  // what is charged in force comes back if a mistake in a shadow limiter ends the call
  const keeps = keep || shadows.length > 0;
  return whenKnown(decide(enforced, maxWait, spends, keeps, timeout), (verdict) => {
    if (shadows.length === 0) return { verdict: settled(verdict), questions: put, put };
    const left = Math.max(1, Math.ceil(end - performance.now()));
    const would = shadows.map((each) => {
      const answer = each.gate.driver.decide([each], 0, spends && verdict.granted, keep, timeout);
      if (!(answer instanceof Promise)) return answer;
      const inTime = withDeadline(answer, left, giveBackLate, () => {});
      // what others have granted does not hang on it
      return enforced.length === 0 ? inTime : inTime.catch((error: unknown) => silence(each, error));
    });
    const combine = (shadowed: readonly Verdict[]): Outcome => {
      const { findings, ticket } = together([verdict, ...shadowed].map(settled), [
        enforced.length,
        ...shadows.map(() => 1),
      ]);
      // those that enforce decide how long the wait is, and by whose clock
      const alarms = verdict.alarms ?? enforced[0]?.gate.driver.alarms;
      const own = alarms === undefined ? {} : { alarms };
      return { verdict: { ...verdict, ...own, findings, ticket }, questions: [...enforced, ...shadows], put };
    };
    if (!would.some((each) => each instanceof Promise)) return combine(would as readonly Verdict[]);
    return Promise.all(would.map(async (each) => each)).then(combine, (error: unknown) => {
      takeBack(verdict.ticket);
      throw error;
    });
  });
}

/** What a shadow limiter says whose store has failed: that it knows of nothing. */
function silence({ gate }: Question, error: unknown): Verdict {
  if (!(error instanceof StoreError)) throw error;
  return { granted: true, wait: 0, findings: gate.policies.flatMap(({ limit }) => [0, limit, 0]), ticket: undefined };
}

/** The same key asked twice in one call, through one limiter or through two of one name, is asked once, for both. */
function merge(targets: readonly Target[], cost: number): readonly Question[] {
  const questions: Question[] = [];
  for (const { member, key, cost: own } of targets) {
    const { gate, shadow } = member;
    const at = questions.findIndex((each) => each.gate === gate && each.key === key && each.member.shadow === shadow);
    const before = questions[at];
    const question = {
      member,
      gate,
      key,
      cost: (own ?? cost) + (before?.cost ?? 0),
      shared: (own === undefined ? 1 : 0) + (before?.shared ?? 0),
    };
    if (before === undefined) questions.push(question);
    else questions[at] = question;
  }
  return questions;
}

/** A granted verdict is allowed by every part: what they said of the wait is over once it is. */
function settled(verdict: Verdict): Verdict {
  if (!verdict.granted || verdict.wait === 0) return verdict;
  const findings = Array.from(verdict.findings);
  for (let at = 0; at < findings.length; at += numbersPerPolicy) findings[at] = 0;
  return { ...verdict, findings };
}

function decisionOf({ verdict, questions, put }: Outcome): Decision {
  const policies: readonly Policy[] =
    put.length === 1 ? (put[0] as Question).gate.policies : put.flatMap(({ gate }) => gate.policies);
  const findings = questions === put ? verdict.findings : inOrder(verdict.findings, questions, put);
  // a look grants nothing; it would have been allowed when the start is now
  return decideMany(policies, findings, verdict.granted || verdict.wait === 0);
}

/** Findings in the order of `questions`, in that of `put`. */
function inOrder(findings: Findings, questions: readonly Question[], put: readonly Question[]): Findings {
  let from = 0;
  const own = new Map<Question, readonly number[]>();
  for (const question of questions) {
    const to = from + question.gate.policies.length * numbersPerPolicy;
    own.set(question, Array.from(findings).slice(from, to));
    from = to;
  }
  return put.flatMap((question) => own.get(question) as readonly number[]);
}
