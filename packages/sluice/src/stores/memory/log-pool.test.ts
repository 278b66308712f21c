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

  dropThrough(stamp: number): void {
    this.calls = this.calls.filter((call) => call.stamp > stamp);
  }

  take(cost: number, from: number, through: number): void {
    let left = cost;
    for (const call of this.calls.toReversed()) {
      if (call.stamp < from || call.stamp > through) continue;
      const taken = Math.min(left, call.cost);
      call.cost -= taken;
      left -= taken;
    }
    while (this.calls.at(-1)?.cost === 0) this.calls.pop();
  }

  add(stamp: number, cost: number): void {
    const call = this.calls.findLast((each) => each.stamp === stamp);
    if (call !== undefined) call.cost += cost;
  }

  used(past: number): number {
    return this.calls.reduce((sum, { stamp, cost }) => (stamp > past ? sum + cost : sum), 0);
  }

  reach(past: number, cost: number): number | undefined {
    const behind = this.calls.filter((call) => call.stamp > past);
    return behind.find((call) => this.used(past) - this.used(call.stamp) >= cost)?.stamp;
  }

  shift(back: number): void {
    for (const call of this.calls) call.stamp = Math.max(0, call.stamp - back);
  }
}

/** Wherever the edge is put, what lies behind it is that of the list. */
function compare(pool: LogPool, model: NaiveLog): void {
  expect(pool.newest()).toBe(model.newest());
  const stamps = model.calls.map(({ stamp }) => stamp);
  const pasts = [...stamps, ...stamps.map((stamp) => stamp - 1).toReversed(), -1];
  for (const past of pasts.filter((each) => each < model.newest())) {
    const before = [...pool.header];
    expect(pool.moveEdge(past)).toBe(before.some((number, column) => number !== pool.header[column]));
    expect(pool.moveEdge(past)).toBe(false);
    const used = model.used(past);
    expect(pool.used()).toBe(used);
    for (const cost of [1, Math.ceil(used / 3), Math.ceil(used / 2), used - 1, used].filter(
      (each) => each > 0 && each <= used,
    )) {
      expect(pool.reach(cost)).toBe(model.reach(past, cost));
    }
  }
  if (model.calls.length === 0) expect([...pool.header]).toEqual([0, 0, 0, 0]);
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
        { weight: 4, arbitrary: fc.record({ name: fc.constant("edge" as const), age: fc.nat(3 * mostGap) }) },
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
          pool.push(now + step.gap, step.cost);
          model.push(now + step.gap, step.cost);
        } else if (step.name === "drop") {
          pool.dropThrough(now - step.age);
          model.dropThrough(now - step.age);
        } else if (step.name === "take") {
          pool.take(step.cost, now - step.from, now - step.through);
          model.take(step.cost, now - step.from, now - step.through);
        } else if (step.name === "add") {
          const stamp = model.calls[step.which]?.stamp ?? now + 1;
          pool.add(stamp, step.cost);
          model.add(stamp, step.cost);
        } else if (step.name === "edge") {
          if (step.age > 0) pool.moveEdge(now - step.age);
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
          compare(pool, naive[index] as NaiveLog);
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
      expect([...pool.header]).toEqual([0, 0, 0, 0]);
    }
    expect(highest).toBeLessThanOrEqual(8 * 6);
  });

  it("hold what a call can cost, and no more", () => {
    const pool = new LogPool();
    const most = 2 ** 48 - 1;
    pool.push(5, most - 3);
    pool.push(5, 7);
    expect(pool.used()).toBe(most);
    pool.push(6, Number.MAX_SAFE_INTEGER);
    expect(pool.used()).toBe(2 * most);
    pool.take(most + 9, 0, 6);
    expect(pool.used()).toBe(most - 9);
    pool.add(5, 10);
    expect(pool.used()).toBe(most);
  });

  it("forget what a large call cost when a small one takes its place", () => {
    const pool = new LogPool();
    for (const cost of [2 ** 40 + 3, 0xffff, 0x1_0000, 1]) {
      pool.push(7, cost);
      expect(pool.used()).toBe(cost);
      pool.dropThrough(7);
    }
  });
});
