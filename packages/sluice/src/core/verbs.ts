import { withDeadline } from "./deadline.js";
import { type Decision, decideMany, markDegraded, numbersPerPolicy } from "./decision.js";
import { type Duration, maxWaitOf, milliseconds } from "./duration.js";
import { MaxWaitExceededError, RateLimitExceededError } from "./errors.js";
import { type FailureAnswer, orElse } from "./failure.js";
import { decide, together, tooLate, whenKnown } from "./group.js";
import type { Policy } from "./policy.js";
import type { Ask, Gate, Ticket, Verdict } from "./store.js";
import { type Turns, takeBack, untilStart } from "./turn.js";
import { checkFunction, checkSignal, costOf, wholeNumber } from "./validate.js";

/** What a call costs. */
export interface CostOptions {
  /** Positive integer; 0 is a RangeError (`settle(0)` is legal). Default 1. */
  cost?: number;
}

/** How patient a call is. */
export interface WaitOptions extends CostOptions {
  /** Give up at once, charging nothing, if the turn is further away than this. Default: wait as long as it takes. */
  maxWait?: Duration;
  /** Aborting rejects with `signal.reason` and gives the turn back; granted turns of others stand. */
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
  readonly questions: readonly Question[];
}

/** Spend now or be refused. */
export function consume(targets: readonly Target[], options: CostOptions | undefined): Decision | Promise<Decision> {
  return decideNow(targets, options, true);
}

/** What `consume` would say. */
export function peek(targets: readonly Target[], options: CostOptions | undefined): Decision | Promise<Decision> {
  return decideNow(targets, options, false);
}

function decideNow(
  targets: readonly Target[],
  options: CostOptions | undefined,
  spend: boolean,
): Decision | Promise<Decision> {
  const cost = costOf(options);
  const verb = (asked: readonly Target[]) => whenKnown(ask(asked, cost, 0, spend, false), decisionOf);
  return orElse(targets, verb, markDegraded, (decision) => decision);
}

/** Spend, and go on when it is this caller's turn. */
export async function wait(targets: readonly Target[], options: WaitOptions | undefined): Promise<Decision> {
  const maxWait = maxWaitOf(options?.maxWait);
  const verb = async (asked: readonly Target[]) => decisionOf(await turn(asked, options, maxWait, false));
  return orElse(targets, verb, markDegraded, allowedOrThrow);
}

function allowedOrThrow(decision: Decision): Decision {
  if (!decision.allowed) throw new RateLimitExceededError(decision);
  return decision;
}

/** `wait`, then the function. */
export async function run<T>(
  targets: readonly Target[],
  task: () => T | Promise<T>,
  options: WaitOptions | undefined,
): Promise<T> {
  checkFunction(task, "task");
  await wait(targets, options);
  return task();
}

/** Spend an estimate, and keep the means to correct it. */
export async function reserve(targets: readonly Target[], options: WaitOptions | undefined): Promise<Reservation> {
  const cost = costOf(options);
  const maxWait = options?.maxWait === undefined ? 0 : maxWaitOf(options.maxWait);
  const verb = async (asked: readonly Target[]): Promise<Reservation> => {
    const outcome =
      options?.maxWait === undefined ? await now(asked, options) : await turn(asked, options, maxWait, true);
    return reservation(decisionOf(outcome), outcome.verdict.ticket, outcome.questions, cost);
  };
  return orElse(
    targets,
    verb,
    (reserved) => ({ ...reserved, decision: markDegraded(reserved.decision) }),
    (decision) => reservation(allowedOrThrow(decision), undefined, [], cost),
  );
}

/** Asks without waiting. */
async function now(targets: readonly Target[], options: CostOptions & { signal?: AbortSignal } = {}): Promise<Outcome> {
  const { signal } = options;
  checkSignal(signal);
  signal?.throwIfAborted();
  const outcome = await ask(targets, costOf(options), 0, true, true);
  if (signal?.aborted === true) {
    takeBack(outcome.verdict.ticket);
    throw signal.reason;
  }
  if (!outcome.verdict.granted) throw new RateLimitExceededError(decisionOf(outcome));
  return outcome;
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

/** Asks, and waits for the start that was granted. */
async function turn(
  targets: readonly Target[],
  options: WaitOptions | undefined,
  maxWait: number,
  keep: boolean,
): Promise<Outcome> {
  const cost = costOf(options);
  const signal = options?.signal;
  checkSignal(signal);
  signal?.throwIfAborted();
  const asked = ask(targets, cost, maxWait, true, keep || signal !== undefined);
  const outcome = asked instanceof Promise ? await asked : asked;
  const { verdict } = outcome;
  if (signal?.aborted === true) {
    takeBack(verdict.ticket);
    throw signal.reason;
  }
  if (!verdict.granted) throw new MaxWaitExceededError(milliseconds(verdict.wait), milliseconds(maxWait));
  const { gate } = (targets[0] as Target).member;
  await untilStart(new Set(targets.map(({ member }) => member.turns)), verdict, gate.driver.alarms, signal);
  return outcome;
}

/** One question to all targets. Those of shadow limiters are asked apart, after the others agreed, and never refuse. */
function ask(
  targets: readonly Target[],
  cost: number,
  maxWait: number,
  spend: boolean,
  keep: boolean,
): Outcome | Promise<Outcome> {
  for (const { member } of targets) member.checkOpen();
  const timeout = Math.min(...targets.map(({ member }) => member.timeout));
  const questions = merge(targets, cost);
  const enforced = questions.filter(({ member }) => !member.shadow);
  const shadows = questions.filter(({ member }) => member.shadow);
  const end = shadows.length === 0 ? 0 : performance.now() + timeout;
  return whenKnown(decide(enforced, maxWait, spend, keep, timeout), (verdict) => {
    if (shadows.length === 0) return { verdict: settled(verdict), questions };
    const would = shadows.map((each) => each.gate.driver.decide([each], 0, spend && verdict.granted, keep, timeout));
    const combine = (shadowed: readonly Verdict[]): Outcome => {
      const all = together([verdict, ...shadowed].map(settled), [enforced.length, ...shadows.map(() => 1)]);
      return {
        verdict: { ...all, granted: verdict.granted, wait: verdict.wait },
        questions: [...enforced, ...shadows],
      };
    };
    if (!would.some((each) => each instanceof Promise)) return combine(would as readonly Verdict[]);
    const left = Math.max(1, Math.ceil(end - performance.now()));
    const asked = Promise.all(would.map(async (each) => each)).then(combine);
    return withDeadline(
      asked,
      left,
      ({ verdict: late }) => tooLate(late),
      () => {},
    );
  });
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

function decisionOf({ verdict, questions }: Outcome): Decision {
  const policies: readonly Policy[] =
    questions.length === 1 ? (questions[0] as Question).gate.policies : questions.flatMap(({ gate }) => gate.policies);
  // a look grants nothing; it would have been allowed when the start is now
  return decideMany(policies, verdict.findings, verdict.granted || verdict.wait === 0);
}
