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
 * slot) that is one atom. Over several, each is looked at first, then they are charged in order as of the latest of their
 * starts, and given back if one refuses after all. Where others come in between and put that start off, those that were
 * charged before keep the earlier one.
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
  return withDeadline(decideApart(asks, maxWait, spend, timeout), timeout, giveBackLate, () => {});
}

/** A grant that nobody waits for any more is given back. */
export function giveBackLate({ ticket }: Pick<Verdict, "ticket">): void {
  takeBack(ticket);
}

async function decideApart(asks: readonly Ask[], maxWait: number, spend: boolean, timeout: number): Promise<Verdict> {
  const looks = await Promise.all(
    asks.map(async (ask) => ask.gate.driver.decide([ask], maxWait, false, false, timeout)),
  );
  const look = together(looks);
  if (!spend || !(look.wait <= maxWait) || look.wait === Number.POSITIVE_INFINITY) return look;
  // the common start, on the clock of each
  const starts = asks.map(({ gate }) => gate.driver.clock.now() + look.wait);
  /** µs by which others, who came in between, have put it off; and which of the asks it waits for. */
  let late = 0;
  let last = looks.findIndex(({ wait }) => wait === look.wait);
  const grants: Verdict[] = [];
  for (const [index, ask] of asks.entries()) {
    const { driver } = ask.gate;
    let grant: Verdict;
    try {
      const earliest = Math.max(0, (starts[index] as number) + late - driver.clock.now());
      grant = await driver.decide([ask], maxWait, true, true, timeout, earliest);
      if (grant.wait > earliest) {
        late += grant.wait - earliest;
        last = index;
      }
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
  return { ...together(grants), alarms: (asks[last] as Ask).gate.driver.alarms };
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
    // the newest first: a key that was asked twice goes back the way it came
    cancel: () => attempted(tickets.toReversed().map(async (ticket) => ticket?.cancel())),
    settle: (deltas) => {
      let from = 0;
      const settling = tickets.map(async (ticket, index) => {
        const own = deltas.slice(from, from + (asks[index] as number));
        from += own.length;
        await ticket?.settle(own);
      });
      return attempted(settling);
    },
  };
}

/** All of them, whatever becomes of the others; then rejects with the first reason, if there is one. */
async function attempted(tasks: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(tasks);
  await Promise.all(tasks);
}
