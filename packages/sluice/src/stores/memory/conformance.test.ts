import { describe, it } from "vitest";
import { storeConformance } from "../../testing/conformance.js";
import { manualClock } from "../../testing/manual-clock.js";
import { memoryStore } from "./memory.js";

storeConformance(
  "the memory store",
  async () => {
    const clock = manualClock(1_700_000_000_123_457);
    return { store: memoryStore({ clock }), advance: (ms) => clock.advance(ms) };
  },
  { describe, it, effort: Number(process.env["LAWS_EFFORT"] ?? 3) },
);
