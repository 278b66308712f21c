import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { preciseClock, turnClock } from "./clock.js";

describe("the clock of a turn", () => {
  it("is the epoch's, and never goes back", () => {
    const clock = turnClock();
    let last = clock.now();
    expect(Math.abs(last / 1000 - Date.now())).toBeLessThan(60_000);
    for (let call = 0; call < 1000; call++) {
      const now = clock.now();
      expect(Number.isSafeInteger(now)).toBe(true);
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
    expect(preciseClock.now()).toBeGreaterThanOrEqual(last);
  });

  it("is read anew when the process has slept, whatever wakes it", async () => {
    const clock = turnClock();
    const started = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(
      `const { parentPort, workerData } = require("node:worker_threads");
       parentPort.postMessage("ready");
       Atomics.wait(workerData, 0, 0);
       setTimeout(() => parentPort.postMessage("wake up"), 300);`,
      { eval: true, workerData: started },
    );
    await new Promise((resolve) => worker.once("message", resolve));
    // read by a timer, as an alarm does; then nothing but a message
    const before = await new Promise<number>((resolve) => {
      setTimeout(() => {
        Atomics.store(started, 0, 1);
        Atomics.notify(started, 0);
        resolve(clock.now());
      }, 5);
    });
    const after = await new Promise<number>((resolve) => {
      worker.once("message", () => resolve(clock.now()));
    });
    await worker.terminate();
    expect(after - before).toBeGreaterThan(250_000);
  });
});
