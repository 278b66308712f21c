import { describe, expect, it } from "vitest";
import { Alarms } from "../core/alarm.js";
import { LeaseLostError, StoreError } from "../core/errors.js";
import { type ManualClock, manualClock } from "../testing/manual-clock.js";
import { HeldLease } from "./lease.js";
import type { Permits } from "./permits.js";

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const failure = new StoreError("ERR_STORE_UNAVAILABLE", "Away.");

interface Question {
  readonly answer: (held: boolean) => void;
  readonly fail: () => void;
}

/** A grant on a store that answers when the test says so. */
class SlowGrant {
  readonly token = 1;
  readonly provisional = false;
  expiry: number;
  renewals: Question[] = [];
  releases: Question[] = [];
  givenBack = 0;
  readonly #clock: ManualClock;
  readonly #lease: number;

  constructor(clock: ManualClock, lease: number) {
    this.#clock = clock;
    this.#lease = lease;
    this.expiry = clock.now() + lease;
  }

  async renew(): Promise<boolean> {
    const sent = this.#clock.now();
    const renewed = await this.#ask(this.renewals);
    if (renewed) this.expiry = sent + this.#lease;
    return renewed;
  }

  release(): Promise<boolean> {
    return this.#ask(this.releases);
  }

  giveBack(): void {
    this.givenBack += 1;
  }

  #ask(questions: Question[]): Promise<boolean> {
    return new Promise((resolve, reject) => questions.push({ answer: resolve, fail: () => reject(failure) }));
  }
}

/** A lease of `ms`, that renews itself unless told otherwise. */
function held(ms: number, renews = true): { lease: HeldLease; grant: SlowGrant; clock: ManualClock } {
  const clock = manualClock();
  const grant = new SlowGrant(clock, ms * 1000);
  const store = { clock, alarms: new Alarms(clock) } as unknown as Permits;
  return { lease: new HeldLease("key", 1, grant, store, renews), grant, clock };
}

describe("a release that fails", () => {
  it("while a renewal is under way: the lease is never renewed again, and ends", async () => {
    const { lease, grant, clock } = held(900);
    clock.advance(300);
    expect(grant.renewals).toHaveLength(1);
    const released = lease.release();
    grant.releases[0]?.fail();
    await expect(released).rejects.toBe(failure);
    grant.renewals[0]?.answer(true);
    await settled();
    for (let time = 0; time < 800; time += 100) {
      clock.advance(100);
      await settled();
    }
    expect(grant.renewals).toHaveLength(1);
    expect(lease.signal.aborted).toBe(false);
    clock.advance(100);
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError);
  });

  it("while somebody renews by hand: the same", async () => {
    const { lease, grant, clock } = held(900, false);
    const { signal } = lease;
    const renewed = lease.renew();
    const released = lease.release();
    grant.releases[0]?.fail();
    await expect(released).rejects.toBe(failure);
    grant.renewals[0]?.answer(true);
    expect(await renewed).toBe(false);
    expect(await lease.renew()).toBe(false);
    clock.advance(899);
    expect(signal.aborted).toBe(false);
    clock.advance(1);
    expect(signal.aborted).toBe(true);
    expect(grant.renewals).toHaveLength(1);
  });

  it("may be asked for again, and may have happened the first time", async () => {
    const { lease, grant } = held(900);
    const first = lease.release();
    expect(lease.release()).toBe(first);
    grant.releases[0]?.fail();
    await expect(first).rejects.toBe(failure);
    const second = lease.release();
    grant.releases[1]?.answer(false);
    expect(await second).toBe(true);
    expect(await lease.release()).toBe(true);
    expect(grant.releases).toHaveLength(2);
  });

  it("at the end of a scope is tried again in the background, and fails nobody", async () => {
    const { lease, grant } = held(900);
    const end = lease.end();
    grant.releases[0]?.fail();
    await end;
    expect(grant.givenBack).toBe(1);
    const disposed = lease[Symbol.asyncDispose]();
    grant.releases[1]?.answer(true);
    await disposed;
    expect(await lease.release()).toBe(true);
  });
});

describe("a lease that was lost", () => {
  it("answers its release at once, and is given back in the background", async () => {
    const { lease, grant, clock } = held(900);
    clock.advance(900);
    expect(await lease.release()).toBe(false);
    expect(grant.releases).toHaveLength(0);
    expect(grant.givenBack).toBe(1);
    expect(lease.signal.aborted).toBe(true);
  });

  it("while its release is under way has been lost, whatever the store says", async () => {
    const { lease, grant, clock } = held(900);
    const { signal } = lease;
    const released = lease.release();
    clock.advance(900);
    expect(signal.aborted).toBe(true);
    grant.releases[0]?.answer(true);
    expect(await released).toBe(false);
  });
});

describe("renewals", () => {
  it.each([2, 5, 9, 12, 900])("keep a lease of %i ms", async (ms) => {
    const { lease, grant, clock } = held(ms);
    const { signal } = lease;
    for (let time = 0; time < 10 * ms; time += 0.5) {
      clock.advance(0.5);
      for (const { answer } of grant.renewals.splice(0)) answer(true);
      await settled();
    }
    expect(signal.aborted).toBe(false);
  });

  it("that fail are tried again until the end, and no longer", async () => {
    const { lease, grant, clock } = held(900);
    const { signal } = lease;
    for (let time = 0; time < 2000; time++) {
      clock.advance(1);
      for (const { fail } of grant.renewals.slice(-1)) fail();
      await settled();
    }
    expect(grant.renewals.length).toBeGreaterThan(3);
    expect(grant.renewals.length).toBeLessThan(40);
    expect(signal.aborted).toBe(true);
  });
});
