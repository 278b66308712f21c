import { describe, it } from "vitest";
import { memoryStore } from "../stores/memory/memory.js";
import { storeConformance } from "./conformance.js";
import { manualClock } from "./manual-clock.js";

storeConformance(
  "the memory store",
  async () => {
    const clock = manualClock(1_700_000_000_123_457);
    return { store: memoryStore({ clock }), advance: clock.advance };
  },
  { describe, it: (name, body) => it(name, { timeout: 60_000 }, body), effort: Number(process.env["EFFORT"] ?? 4) },
);
