import { typeError } from "../core/errors.js";
import { Bench, type Law, type StoreUnderTest } from "./bench.js";
import { clockLaws } from "./clock-laws.js";
import { correctionLaws } from "./corrections-laws.js";
import { decisionLaws } from "./decisions-laws.js";
import { togetherLaws } from "./together-laws.js";
import { waitingLaws } from "./waiting-laws.js";

/** The functions of a test runner that the suite needs: vitest, jest, mocha and node:test all have them. */
export interface Runner {
  readonly describe: (name: string, body: () => void) => unknown;
  readonly it: (name: string, body: (context?: unknown) => Promise<void>) => unknown;
  /** How many times the usual number of random cases. Default 1. */
  readonly effort?: number;
}

export const laws: readonly Law[] = [...decisionLaws, ...waitingLaws, ...correctionLaws, ...togetherLaws, ...clockLaws];

/**
 * The laws that every store must keep, as tests of the runner in use: passed in, or global.
 *
 * `create` is called for every law and gives a store, empty or shared: limiter names are unique. With `advance` (ms, back
 * where negative) the store's clock must stand still between calls; without it, the laws that need exact time are
 * skipped by name. `dispose` is called after each law.
 *
 * @throws TypeError with code `ERR_INVALID_ARGUMENT` when there is no runner.
 * @example
 * storeConformance("memory", async () => {
 *   const clock = manualClock()
 *   return { store: memoryStore({ clock }), advance: (ms) => clock.advance(ms) }
 * }, { describe, it })
 */
export function storeConformance(
  name: string,
  create: () => Promise<StoreUnderTest>,
  runner: Runner = globalThis as unknown as Runner,
): void {
  const { describe, it, effort = 1 } = runner;
  if (typeof describe !== "function" || typeof it !== "function") {
    throw typeError(
      "ERR_INVALID_ARGUMENT",
      "Expected describe and it of a test runner: pass them as the third argument where they are not global.",
    );
  }
  describe(`${name} keeps the laws`, () => {
    for (const law of laws) {
      it(law.name, async (context) => {
        const bench = new Bench(await create(), effort);
        try {
          if (law.moves && !bench.movable) skip(context);
          else await law.holds(bench);
        } finally {
          await bench.dispose();
        }
      });
    }
  });
}

function skip(context: unknown): void {
  (context as { skip?: (reason: string) => void } | undefined)?.skip?.("needs a clock that can be moved");
}
