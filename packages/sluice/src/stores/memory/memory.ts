import { Alarms } from "../../core/alarm.js";
import { type Clock, turnClock } from "../../core/clock.js";
import { numbersPerPolicy } from "../../core/decision.js";
import { show, typeError } from "../../core/errors.js";
import type { Policy } from "../../core/policy.js";
import { Registry } from "../../core/registry.js";
import { type Ask, type Driver, driverOf, type Gate, type Store, type Ticket, type Verdict } from "../../core/store.js";
import { checkOptions, wholeNumber } from "../../core/validate.js";
import { MemoryGate } from "./gate.js";

/** State in this process. */
export interface MemoryStore extends Store {
  readonly kind: "memory";
  /** Keys held now. */
  readonly size: number;
  /**
   * Keys that had to go though they had spent something, because there were more than `maxKeys`.
   *
   * @internal
   */
  readonly evicted: number;
}

/**
 * Keeps state in this process: bounded, without a timer, an object or a promise for any key.
 *
 * Beyond `maxKeys` (default 1 000 000) the keys with the least share of their limit spent go first, so that flooding
 * with new keys cannot wash a spent one. `clock` (default: monotonic, read once per turn of the event loop) is for tests.
 *
 * @throws TypeError or RangeError with code `ERR_INVALID_ARGUMENT`.
 * @example
 * const store = memoryStore({ maxKeys: 100_000 })
 */
export function memoryStore(options?: { maxKeys?: number; clock?: Clock }): MemoryStore {
  checkOptions(options);
  const maxKeys =
    options?.maxKeys === undefined ? 1_000_000 : wholeNumber(options.maxKeys, "maxKeys", "ERR_INVALID_ARGUMENT");
  const clock = options?.clock === undefined ? turnClock() : options.clock;
  if (typeof clock !== "object" || clock === null || typeof clock.now !== "function") {
    throw typeError("ERR_INVALID_ARGUMENT", `Expected clock to have a method now(), got ${show(clock)}.`);
  }
  const driver = new MemoryDriver(maxKeys, clock);
  return {
    kind: "memory",
    get size() {
      return driver.size;
    },
    get evicted() {
      return driver.evicted;
    },
    close: async () => driver.forget(),
    [driverOf]: driver,
  } as MemoryStore;
}

class MemoryDriver implements Driver {
  readonly remote = false;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly #maxKeys: number;
  readonly #gates: Registry<MemoryGate>;
  /** Keys held by all limiters. */
  size = 0;
  evicted = 0;

  constructor(maxKeys: number, clock: Clock) {
    this.clock = clock;
    this.#maxKeys = maxKeys;
    this.alarms = new Alarms(clock);
    const room = {
      make: (gate: MemoryGate) => {
        while (this.size >= this.#maxKeys) this.#evict(gate);
      },
      count: (change: number) => {
        this.size += change;
      },
    };
    this.#gates = new Registry((policies) => new MemoryGate(this, policies, clock, room));
  }

  open(limiter: string, policies: readonly Policy[]): Gate {
    return this.#gates.open(limiter, policies);
  }

  leave(limiter: string): void {
    this.#gates.leave(limiter);
  }

  decide(asks: readonly Ask[], maxWait: number, spend: boolean, keep: boolean): Verdict {
    const now = this.clock.now();
    const findings: number[] = [];
    const note = (gate: MemoryGate): void => {
      for (let at = 0; at < gate.policies.length * numbersPerPolicy; at++) findings.push(gate.findings[at] as number);
    };
    let start = now;
    for (const { gate, key, cost } of asks) {
      start = Math.max(start, (gate as MemoryGate).look(key, cost, now));
      note(gate as MemoryGate);
    }
    const wait = start - now;
    if (!spend || !(wait <= maxWait) || wait === Number.POSITIVE_INFINITY) {
      return { granted: false, wait, findings, ticket: undefined };
    }
    findings.length = 0;
    const ticket = keep || wait > 0;
    const grants = asks.map((ask) => {
      const gate = ask.gate as MemoryGate;
      const { key, cost } = ask;
      const before = ticket ? gate.snapshot(key) : [];
      const stamps = gate.take(key, cost, now, start);
      note(gate);
      const after = ticket ? gate.snapshot(key) : [];
      const place = wait > 0 ? gate.enter(key, cost, now, stamps, before, after) : undefined;
      const cancel = (): void => {
        if (place === undefined) gate.undo(key, cost, stamps, before, after);
        else gate.leave(key, place);
      };
      return { gate, key, stamps, cancel };
    });
    return { granted: true, wait, findings, ticket: ticket ? ticketFor(grants) : undefined };
  }

  forget(): void {
    this.#gates.forget();
  }

  /** The gate that wants room gives up a key, or the fullest gate does, whichever key has spent less. */
  #evict(gate: MemoryGate): void {
    let fullest = gate;
    for (const other of this.#gates.values()) if (other.size > fullest.size) fullest = other;
    const own = gate.cheapest();
    const others = fullest === gate ? undefined : fullest.cheapest();
    if (others !== undefined && (own === undefined || others.share < own.share)) this.#forgetKey(fullest, others);
    else if (own !== undefined) this.#forgetKey(gate, own);
  }

  #forgetKey(gate: MemoryGate, { key, share }: { readonly key: string; readonly share: number }): void {
    if (share > 0) this.evicted += 1;
    gate.reset(key);
  }
}

interface Grant {
  readonly gate: MemoryGate;
  readonly key: string;
  readonly stamps: readonly number[];
  readonly cancel: () => void;
}

function ticketFor(grants: readonly Grant[]): Ticket {
  return {
    // the newest first: a key that was asked twice goes back the way it came
    cancel: () => {
      for (const { cancel } of grants.toReversed()) cancel();
    },
    settle: (deltas) => {
      grants.forEach(({ gate, key, stamps }, index) => {
        const delta = deltas[index] as number;
        if (delta !== 0) gate.correct(key, delta, stamps);
      });
    },
  };
}
