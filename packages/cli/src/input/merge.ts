import type { Sink } from "./reorder.js";
import type { Source } from "./source.js";

/** Sends the requests of all sources on in order of time; of the same moment, the earlier source first. */
export async function merge(sources: readonly Source[], sink: Sink): Promise<void> {
  let open = sources;
  while (open.length > 0) {
    for (const source of open) {
      while (source.ready === Number.POSITIVE_INFINITY && !source.ended) await source.fill();
    }
    open = open.filter(({ ready }) => ready !== Number.POSITIVE_INFINITY);
    const next = Math.min(...open.map(({ ready }) => ready));
    const turn = open.findIndex(({ ready }) => ready === next);
    // up to where another source has its say: before the moment of an earlier one, including that of a later one
    const until = open.reduce(
      (least, { ready }, index) => (index === turn ? least : Math.min(least, index < turn ? ready - 1 : ready)),
      Number.MAX_SAFE_INTEGER,
    );
    open[turn]?.drain(until, sink);
  }
}
