import { withDeadline } from "./deadline.js";
import type { Ask, Ticket, Verdict } from "./store.js";
import { takeBack } from "./turn.js";

/** Goes on with a value, at once when it is there at once. */
export function whenKnown<T, U>(value: T | Promise<T>, use: (value: T) => U | Promise<U>): U | Promise<U> {
  return value instanceof Promise ? value.then(use) : use(value);
}

/** The verdict on no question at all. */
const nothingAsked: Verdict = { granted: true, wait: 0, findings: [], ticket: undefined };

/**
 * One decision over asks that may live in different stores: all are charged, or none. In one store (on a cluster: in one
 * slot) that is one atom. Over several, each is looked at first, then they are charged in order, and given back if a later one refuses after
 * all; each is charged as of its own start, and the caller waits for the latest.
 */
export function decide(
  asks: readonly Ask[],
  maxWait: number,
  spend: boolean,
  keep: boolean,
  timeout: number,
): Verdict | Promise<Verdict> {
  const driver = asks[0]?.gate.driver;
  if (driver === undefined) return nothingAsked;
  if (asks.every((ask) => ask.gate.driver === driver) && (driver.atomic?.(asks) ?? true)) {
    return driver.decide(asks, maxWait, spend, keep, timeout);
  }
  // one deadline for all of it
  return withDeadline(decideApart(asks, maxWait, spend, timeout), timeout, tooLate, () => {});
}

/** A grant that nobody waits for any more is given back. */
export function tooLate({ ticket }: Pick<Verdict, "ticket">): void {
  takeBack(ticket);
}

async function decideApart(asks: readonly Ask[], maxWait: number, spend: boolean, timeout: number): Promise<Verdict> {
  const looks = await Promise.all(
    asks.map(async (ask) => ask.gate.driver.decide([ask], maxWait, false, false, timeout)),
  );
  const look = together(looks);
  if (!spend || !(look.wait <= maxWait) || look.wait === Number.POSITIVE_INFINITY) return look;
  const grants: Verdict[] = [];
  for (const [index, ask] of asks.entries()) {
    let grant: Verdict;
    try {
      grant = await ask.gate.driver.decide([ask], maxWait, true, true, timeout);
    } catch (error) {
      takeBack(together(grants).ticket);
      throw error;
    }
    if (!grant.granted) {
      // who is refused finds things as they were; it is a refusal even if they cannot be reached any more
      await Promise.resolve(together(grants).ticket?.cancel()).catch(() => {});
      return together(looks.map((each, at) => (at === index ? grant : each)));
    }
    grants.push(grant);
  }
  return together(grants);
}

/** Several verdicts as one; `asks` says how many asks each of them answers, where that is not one. */
export function together(verdicts: readonly Verdict[], asks?: readonly number[]): Verdict {
  const tickets = verdicts.map(({ ticket }) => ticket);
  return {
    granted: verdicts.every(({ granted }) => granted),
    wait: Math.max(0, ...verdicts.map(({ wait }) => wait)),
    findings: verdicts.flatMap(({ findings }) => Array.from(findings)),
    ticket: tickets.some((ticket) => ticket !== undefined) ? joined(tickets, asks ?? tickets.map(() => 1)) : undefined,
  };
}

/** Several tickets as one; each stands for so many asks. */
function joined(tickets: readonly (Ticket | undefined)[], asks: readonly number[]): Ticket {
  return {
    cancel: async () => {
      for (const ticket of tickets.toReversed()) await ticket?.cancel();
    },
    settle: async (deltas) => {
      let from = 0;
      const settling = tickets.map(async (ticket, index) => {
        const own = deltas.slice(from, from + (asks[index] as number));
        from += own.length;
        await ticket?.settle(own);
      });
      await Promise.all(settling);
    },
  };
}
