import { once } from "node:events";
import { resolve } from "node:path";
import { describe, expect, inject, it } from "vitest";
import { programOf } from "./fleet/fleet.js";

describe("examples", () => {
  it("fleet: three processes end, with at most 5 calls at once", async () => {
    const [server] = inject("servers");
    const program = await programOf(resolve(import.meta.dirname, "../../../examples/fleet.mjs"));
    try {
      const leader = program.start([], { REDIS_URL: server?.url ?? "", CALLS: "10" });
      expect(await once(leader, "exit")).toEqual([0, null]);
    } finally {
      await program.remove();
    }
  });
});
