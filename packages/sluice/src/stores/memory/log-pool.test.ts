import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { headerWidth, LogPool } from "./log-pool.js";

interface Call {
  stamp: number;
  cost: number;
}

/** A log as a plain list. */
class NaiveLog {
  calls: Call[] = [];

  newest(): number {
    return this.calls.at(-1)?.stamp ?? 0;
  }

  push(stamp: number, cost: number): void {
    const last = this.calls.at(-1);
    if (last !== undefined && last.stamp === stamp) last.cost += cost;
    else this.calls.push({ stamp, cost });
  }

  dropThrough(stamp: number): number {
    const dropped = this.calls.filter((call) => call.stamp <= stamp).reduce((sum, { cost }) => sum + cost, 0);
    this.calls = this.calls.filter((call) => call.stamp > stamp);
    return dropped;
  }

  take(cost: number, from: number, through: number): number {
    let left = cost;
    for (const call of this.calls.toReversed()) {
      if (call.stamp < from || call.stamp > through) continue;
      const taken = Math.min(left, call.cost);
      call.cost -= taken;
      left -= taken;
    }
    while (this.calls.at(-1)?.cost === 0) this.calls.pop();
    return cost - left;
  }

  add(stamp: number, cost: number): number {
    const call = this.calls.find((each) => each.stamp === stamp);
    if (call === undefined) return 0;
    call.cost += cost;
    return cost;
  }

  shift(back: number): void {
    for (const call of this.calls) call.stamp = Math.max(0, call.stamp - back);
  }
}

/** What is logged for each stamp; calls of one stamp may stand in several entries, and spent ones may linger. */
function summed(calls: readonly Call[]): readonly (readonly [number, number])[] {
  const sums = new Map<number, number>();
  for (const { stamp, cost } of calls) if (cost > 0) sums.set(stamp, (sums.get(stamp) ?? 0) + cost);
  return [...sums].toSorted(([one], [other]) => one - other);
}

const steps = (mostCost: number, mostGap: number) =>
  fc.array(
    fc.record({
      key: fc.nat(2),
      do: fc.oneof(
        {
          weight: 8,
          arbitrary: fc.record({
            name: fc.constant("push" as const),
            gap: fc.nat(mostGap),
            cost: fc.integer({ min: 1, max: mostCost }),
          }),
        },
        { weight: 3, arbitrary: fc.record({ name: fc.constant("drop" as const), age: fc.nat(3 * mostGap) }) },
        {
          weight: 3,
          arbitrary: fc.record({
            name: fc.constant("take" as const),
            cost: fc.integer({ min: 1, max: 3 * mostCost }),
            from: fc.nat(3 * mostGap),
            through: fc.nat(3 * mostGap),
          }),
        },
        {
          weight: 2,
          arbitrary: fc.record({
            name: fc.constant("add" as const),
            which: fc.nat(20),
            cost: fc.integer({ min: 1, max: mostCost }),
          }),
        },
        { weight: 1, arbitrary: fc.record({ name: fc.constant("shift" as const), back: fc.nat(10 * mostGap) }) },
        { weight: 1, arbitrary: fc.record({ name: fc.constant("clear" as const) }) },
      ),
    }),
    { maxLength: 120 },
  );

function check(pool: LogPool, mostCost: number, mostGap: number, origin: number): void {
  fc.assert(
    fc.property(steps(mostCost, mostGap), (list) => {
      const headers = [0, 1, 2].map(() => new Float64Array(headerWidth));
      const naive = headers.map(() => new NaiveLog());
      for (const { key, do: step } of list) {
        const model = naive[key] as NaiveLog;
        pool.header.set(headers[key] as Float64Array);
        const now = Math.max(origin, model.newest());
        if (step.name === "push") {
          expect(pool.push(now + step.gap, step.cost)).toBe(step.cost);
          model.push(now + step.gap, step.cost);
        } else if (step.name === "drop") {
          expect(pool.dropThrough(now - step.age)).toBe(model.dropThrough(now - step.age));
        } else if (step.name === "take") {
          const [from, through] = [now - step.from, now - step.through];
          expect(pool.take(step.cost, from, through)).toBe(model.take(step.cost, from, through));
        } else if (step.name === "add") {
          const stamp = model.calls[step.which]?.stamp ?? now + 1;
          expect(pool.add(stamp, step.cost)).toBe(model.add(stamp, step.cost));
        } else if (step.name === "shift") {
          pool.shift(step.back);
          model.shift(step.back);
        } else {
          pool.clear();
          model.calls = [];
        }
        (headers[key] as Float64Array).set(pool.header);
        // the keys beside it are as they were
        for (const [index, header] of headers.entries()) {
          pool.header.set(header);
          const seen: Call[] = [];
          pool.scan((stamp, cost) => seen.push({ stamp, cost }) > 0);
          const back: Call[] = [];
          pool.scan((stamp, cost) => back.push({ stamp, cost }) > 0, true);
          expect(back.toReversed()).toEqual(seen);
          expect(summed(seen)).toEqual(summed((naive[index] as NaiveLog).calls));
          expect(pool.newest()).toBe((naive[index] as NaiveLog).newest());
        }
      }
      for (const header of headers) {
        pool.header.set(header);
        pool.clear();
      }
    }),
    { numRuns: 250 },
  );
}

describe("a pool of logs is a plain list for each key", () => {
  it("with small costs", () => check(new LogPool(), 100, 40, 1_700_000_000_000_000));
  it("with large costs", () => check(new LogPool(), 2 ** 40, 40, 1_700_000_000_000_000));
  it("with stamps years apart, across the wrap of 48 bits", () => check(new LogPool(), 5, 2 ** 42, 2 ** 48 - 2 ** 43));
});

describe("blocks", () => {
  it("are used again: no matter how long it runs, the pool does not grow", () => {
    const pool = new LogPool();
    let highest = 0;
    for (let stamp = 1; stamp <= 200_000; stamp++) {
      pool.dropThrough(stamp - 20);
      pool.push(stamp, 1);
      highest = Math.max(highest, pool.header[1] as number);
    }
    // 20 calls are three or four blocks of eight
    expect(highest).toBeLessThanOrEqual(8 * 6);
    pool.clear();
    for (let key = 0; key < 1000; key++) {
      pool.header.fill(0);
      for (let stamp = 1; stamp <= 30; stamp++) pool.push(stamp, 1);
      highest = Math.max(highest, pool.header[1] as number);
      pool.clear();
      expect([...pool.header]).toEqual([0, 0, 0]);
    }
    expect(highest).toBeLessThanOrEqual(8 * 6);
  });

  it("a cost above what an entry holds is spread, and a debt far above every limit is cut", () => {
    const pool = new LogPool();
    const most = 2 ** 48 - 1;
    expect(pool.push(5, most * 3 + 7)).toBe(most * 3 + 7);
    expect(pool.take(most * 2, 5, 5)).toBe(most * 2);
    expect(pool.add(5, 10)).toBe(10);
    expect(pool.dropThrough(5)).toBe(most + 17);
    expect(pool.push(6, Number.MAX_SAFE_INTEGER)).toBe(most * 16);
  });

  it("forget what a large call cost when a small one takes its place", () => {
    const pool = new LogPool();
    for (const cost of [2 ** 40 + 3, 0xffff, 0x1_0000, 1]) {
      expect(pool.push(7, cost)).toBe(cost);
      expect(pool.dropThrough(7)).toBe(cost);
    }
  });
});
