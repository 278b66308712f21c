import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it, vi } from "vitest";
import { preciseClock, turnClock } from "./clock.js";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** How often the platform's clock was read for so many questions in one turn. */
function readings(questions: number): number {
  const clock = turnClock();
  const read = vi.spyOn(preciseClock, "now");
  for (let question = 0; question < questions; question++) clock.now();
  return read.mock.calls.length;
}

describe("the clock of a turn", () => {
  it("is read once for up to 64 further questions", () => {
    expect(readings(65)).toBe(1);
    vi.restoreAllMocks();
    expect(readings(66)).toBe(2);
    vi.restoreAllMocks();
    expect(readings(650)).toBe(10);
  });

  it("is read each time where nothing tells when a turn ends", () => {
    vi.stubGlobal("setImmediate", undefined);
    expect(readings(10)).toBe(10);
  });

  it("is read anew in the next turn", async () => {
    const clock = turnClock();
    const read = vi.spyOn(preciseClock, "now");
    clock.now();
    await new Promise((resolve) => setImmediate(resolve));
    clock.now();
    expect(read).toHaveBeenCalledTimes(2);
  });

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
