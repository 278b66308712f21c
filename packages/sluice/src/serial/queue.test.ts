import fc from "fast-check";
import { expect, it } from "vitest";
import { Queue, type Queued } from "./queue.js";

interface Link extends Queued<Link> {
  readonly id: number;
}

it("is an array to which things are added at the end, and taken from anywhere", () => {
  const step = fc.oneof(fc.constant("push" as const), fc.nat());
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new Queue<Link>();
      const model: Link[] = [];
      steps.forEach((each, id) => {
        if (each === "push") {
          const link: Link = { id, previous: undefined, next: undefined };
          queue.push(link);
          model.push(link);
        } else if (model.length > 0) {
          const [taken] = model.splice(each % model.length, 1) as [Link];
          queue.remove(taken);
          expect(taken.next ?? taken.previous).toBeUndefined();
        }
        expect(queue.length).toBe(model.length);
        expect(idsOf(queue)).toEqual(model.map((link) => link.id));
      });
    }),
  );
});

function idsOf(queue: Queue<Link>): number[] {
  const ids: number[] = [];
  for (let link = queue.first; link !== undefined; link = link.next) ids.push(link.id);
  return ids;
}
