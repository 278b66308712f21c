import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reorder, type Sink } from "./reorder.js";

interface Sent {
  readonly at: number;
  readonly key: string;
  readonly cost: number;
}

function collector(): { readonly sent: Sent[]; readonly sink: Sink } {
  const sent: Sent[] = [];
  return { sent, sink: (at, key, cost) => sent.push({ at, key, cost }) };
}

const moments = fc.array(fc.nat(40), { maxLength: 300 });

describe("Reorder", () => {
  it("sorts by time, and keeps the order of those of one moment", () => {
    fc.assert(
      fc.property(moments, (times) => {
        const order = new Reorder(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
        const { sent, sink } = collector();
        const requests = times.map((at, index) => ({ at, key: `k${index}`, cost: index }));
        for (const { at, key, cost } of requests) {
          expect(order.late(at)).toBe(0);
          order.push(at, key, cost);
        }
        order.drain(Number.MAX_SAFE_INTEGER, sink);
        expect(sent).toEqual([]);
        order.end();
        order.drain(Number.MAX_SAFE_INTEGER, sink);
        expect(sent).toEqual(requests.toSorted((one, other) => one.at - other.at));
      }),
    );
  });

  it("sends on in order whenever it is drained, and refuses exactly what comes too late", () => {
    const steps = fc.array(fc.tuple(fc.nat(30), fc.boolean()), { maxLength: 300 });
    fc.assert(
      fc.property(steps, fc.nat(15), fc.constantFrom(1, 5, Number.POSITIVE_INFINITY), (walk, window, most) => {
        const order = new Reorder(window, most);
        const { sent, sink } = collector();
        const taken: Sent[] = [];
        let newest = Number.NEGATIVE_INFINITY;
        for (const [index, [step, drain]] of walk.entries()) {
          const at = index + step;
          const left = sent.at(-1)?.at ?? Number.NEGATIVE_INFINITY;
          expect(order.late(at)).toBe(Math.max(0, newest - window - at, left - at));
          if (order.late(at) === 0) {
            const request = { at, key: `k${index}`, cost: 1 };
            taken.push(request);
            order.push(at, request.key, 1);
            newest = Math.max(newest, at);
          }
          if (drain) order.drain(Number.MAX_SAFE_INTEGER, sink);
          if (drain) expect(taken.length - sent.length).toBeLessThanOrEqual(most);
        }
        order.end();
        order.drain(Number.MAX_SAFE_INTEGER, sink);
        expect(sent).toEqual(taken.toSorted((one, other) => one.at - other.at));
      }),
    );
  });

  it("drains up to a moment, that one included, and says when the next is", () => {
    const order = new Reorder(0, 1000);
    const { sent, sink } = collector();
    expect(order.ready).toBe(Number.POSITIVE_INFINITY);
    for (const at of [1, 2, 2, 3]) order.push(at, "a", 1);
    order.drain(2, sink);
    expect(sent).toHaveLength(3);
    expect(order.ready).toBe(3);
  });

  it("grows with its head in the middle", () => {
    const order = new Reorder(1000, Number.POSITIVE_INFINITY);
    const { sent, sink } = collector();
    for (let at = 0; at < 10_000; at++) {
      order.push(at, `k${at}`, at);
      if (at % 100 === 0) order.drain(Number.MAX_SAFE_INTEGER, sink);
    }
    order.end();
    order.drain(Number.MAX_SAFE_INTEGER, sink);
    expect(sent.every(({ at, key, cost }, index) => at === index && key === `k${index}` && cost === index)).toBe(true);
    expect(sent).toHaveLength(10_000);
  });
});
