import { Alarms } from "../../core/alarm.js";
import { type Row, tooLate } from "../../core/algorithm.js";
import { type Clock, turnClock } from "../../core/clock.js";
import { numbersPerPolicy } from "../../core/decision.js";
import { show, typeError } from "../../core/errors.js";
import type { Policy } from "../../core/policy.js";
import { Registry } from "../../core/registry.js";
import { type Ask, type Driver, driverOf, type Gate, type Store, type Ticket, type Verdict } from "../../core/store.js";
import { checkOptions, wholeNumber } from "../../core/validate.js";
import { type Grant, MemoryGate, type Place } from "./gate.js";

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
 * const limiter = rateLimiter(slidingWindow({ limit: 100, window: "1m" }), { store })
 * limiter.consumeSync("user:1").remaining // 99
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
  /** The gate that was looked at last for a key that can go. */
  #hand = 0;
  /** Keys held by all limiters. */
  size = 0;
  evicted = 0;

  constructor(maxKeys: number, clock: Clock) {
    this.clock = clock;
    this.#maxKeys = maxKeys;
    this.alarms = new Alarms(clock);
    const room = {
      make: (gate: MemoryGate) => {
        while (this.size >= this.#maxKeys && this.#evict(gate)) {
          // another key has gone
        }
      },
      count: (change: number) => {
        this.size += change;
      },
    };
    this.#gates = new Registry((policies) => new MemoryGate(this, policies, clock, room), true);
  }

  open(limiter: string, policies: readonly Policy[]): Gate {
    this.#gates.dropIdle((gate) => gate.isEmpty());
    return this.#gates.open(limiter, policies);
  }

  leave(limiter: string): void {
    this.#gates.leave(limiter);
  }

  decide(
    asks: readonly Ask[],
    maxWait: number,
    spend: boolean,
    keep: boolean,
    _timeout: number,
    earliest = 0,
  ): Verdict {
    const now = this.clock.now();
    const findings: number[] = [];
    const note = (gate: MemoryGate): void => {
      for (let at = 0; at < gate.policies.length * numbersPerPolicy; at++) findings.push(gate.findings[at] as number);
    };
    let start = now + earliest;
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
    const undoable: Undoable[] = [];
    for (const ask of asks) {
      const gate = ask.gate as MemoryGate;
      const { key, cost } = ask;
      const before = ticket ? gate.snapshot(key) : [];
      const stamps = gate.take(key, cost, now, start);
      note(gate);
      if (!ticket) continue;
      const after = gate.snapshot(key);
      const resets = stamps.map((_, index) => start + (gate.findings[index * numbersPerPolicy + 2] as number));
      const grant: Grant = { life: gate.lifeOf(key), now, stamps, resets, after };
      const place = wait > 0 ? gate.enter(key, cost, now, stamps, before, after) : undefined;
      undoable.push({ ask, grant, before, place });
    }
    return { granted: true, wait, findings, ticket: ticket ? this.#ticketFor(undoable) : undefined };
  }

  #ticketFor(grants: readonly Undoable[]): Ticket {
    return {
      // the newest first: a key that was asked twice goes back the way it came
      cancel: () => {
        const now = this.clock.now();
        for (const { ask, grant, before, place } of grants.toReversed()) {
          const gate = ask.gate as MemoryGate;
          const stamps = gate.correctable(grant, now);
          if (!gate.lives(grant.life) || stamps.every((stamp) => stamp === tooLate)) continue;
          if (place === undefined) gate.undo(ask.key, ask.cost, stamps, before, grant.after);
          else gate.leave(ask.key, place, stamps);
        }
      },
      settle: (deltas) => {
        grants.forEach(({ ask, grant }, index) => {
          const delta = deltas[index] as number;
          if (delta !== 0) (ask.gate as MemoryGate).settle(ask.key, delta, grant);
        });
      },
    };
  }

  forget(): void {
    this.#gates.forget();
  }

  /**
   * The key that has spent least goes, of a few: of the gate that wants room, of the fullest, and, until one is found
   * that has spent nothing, of those under a hand that moves on. False when no key was found.
   */
  #evict(gate: MemoryGate): boolean {
    const gates = Array.from(this.#gates.values());
    let best = cheapestOf(gate, undefined);
    if (best?.share === 0) {
      gate.reset(best.key);
      return true;
    }
    const fullest = gates.reduce((most, other) => (other.size > most.size ? other : most), gate);
    best = cheapestOf(fullest, best);
    for (let left = Math.min(gates.length, gatesLookedAt); left > 0 && best?.share !== 0; left--) {
      const looked = gates[this.#hand % gates.length] as MemoryGate;
      best = cheapestOf(looked, best);
      // it stays where there is more that has spent nothing
      if (best?.share !== 0) this.#hand = (this.#hand + 1) % gates.length;
    }
    if (best === undefined) return false;
    if (best.share > 0) this.evicted += 1;
    best.gate.reset(best.key);
    return true;
  }
}

/** Gates that are looked at for a key that can go. */
const gatesLookedAt = 8;

interface Cheapest {
  readonly gate: MemoryGate;
  readonly key: string;
  readonly share: number;
}

/** The cheaper one: what the gate would give up, or what was found before. */
function cheapestOf(gate: MemoryGate, before: Cheapest | undefined): Cheapest | undefined {
  const own = gate === before?.gate ? undefined : gate.cheapest();
  return own === undefined || (before !== undefined && before.share <= own.share) ? before : { gate, ...own };
}

/** What one ask was granted, and what takes it back. */
interface Undoable {
  readonly ask: Ask;
  readonly grant: Grant;
  readonly before: readonly Row[];
  /** Where its start lies ahead. */
  readonly place: Place | undefined;
}
