import { describe, expect, it } from "vitest";
import { Alarms } from "../core/alarm.js";
import { manualClock } from "../testing/manual-clock.js";
import type { Mailbox } from "./mailbox.js";
import { type Outlook, RedisLine } from "./redis-line.js";
import type { RedisPlace } from "./redis-place.js";

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const quiet = { soonest: 3_600_000_000, head: 1 };

/** A line on a clock that stands still, and how many were named each time that the server was asked. */
function line(answer: () => Promise<Outlook | undefined> = async () => quiet) {
  const clock = manualClock();
  const mailbox = { isOpen: true, listen: () => undefined, leave: () => undefined };
  const asked: { at: number; named: number }[] = [];
  const made = new RedisLine(
    mailbox as unknown as Mailbox,
    { clock, alarms: new Alarms(clock) },
    1_000_000,
    (places) => {
      asked.push({ at: clock.now() / 1000, named: places.length });
      return answer();
    },
  );
  const join = (id: string, place: number, outlook: Outlook): void =>
    made.join({ id, place, state: "waiting" } as RedisPlace, outlook);
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 50) {
      clock.advance(50);
      await settled();
    }
  };
  return { line: made, mailbox, asked, join, pass };
}

describe("a line", () => {
  it("says every four seconds that all are there", async () => {
    const { asked, join, pass } = line();
    join("a", 1, quiet);
    join("b", 2, quiet);
    await pass(12_000);
    expect(asked).toEqual([4000, 8000, 12_000].map((at) => ({ at, named: 2 })));
  });

  it("goes on when an alarm rings while a look is under way", async () => {
    const answers: ((outlook: Outlook) => void)[] = [];
    const { line: made, asked, join, pass } = line(() => new Promise((resolve) => answers.push(resolve)));
    const answer = async (): Promise<void> => {
      for (const resolve of answers.splice(0)) resolve(quiet);
      await settled();
    };
    join("a", 1, quiet);
    made.beat();
    // one who comes meanwhile sets an alarm, and it rings before the answer
    join("b", 2, { soonest: 100_000, head: 1 });
    await pass(1000);
    await answer();
    await answer();
    const before = asked.length;
    for (let second = 0; second < 20; second++) {
      await pass(1000);
      await answer();
    }
    expect(asked.length).toBeGreaterThanOrEqual(before + 4);
  });

  it("looks when time gives something back, without a word of those in line; those further back do so later", async () => {
    const outlook = { soonest: 500_000, head: 10 };
    const first = line();
    first.join("a", 10, outlook);
    await first.pass(3000);
    expect(first.asked).toEqual([{ at: 550, named: 0 }]);
    const fourth = line();
    fourth.join("d", 13, outlook);
    await fourth.pass(3000);
    expect(fourth.asked).toEqual([{ at: 1300, named: 0 }]);
    const last = line();
    last.join("z", 60, outlook);
    await last.pass(4000);
    expect(last.asked).toEqual([{ at: 4000, named: 1 }]);
  });

  it("names all again after a failure, and while no messages arrive", async () => {
    let works = false;
    const { asked, join, pass, mailbox } = line(async () => (works ? quiet : undefined));
    join("a", 1, { soonest: 100_000, head: 1 });
    await pass(150);
    works = true;
    await pass(1050);
    expect(asked).toEqual([
      { at: 150, named: 0 },
      { at: 1150, named: 1 },
    ]);
    mailbox.isOpen = false;
    join("b", 2, quiet);
    await pass(1000);
    expect(asked.length).toBeGreaterThan(4);
    for (const { named } of asked.slice(2)) expect(named).toBe(2);
  });
});
