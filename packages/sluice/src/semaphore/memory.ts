import type { Alarms } from "../core/alarm.js";
import type { Clock } from "../core/clock.js";
import type { Grant, Occupancy, Permits, Place, Waiter } from "./permits.js";

/** The keys of one semaphore that are held or waited for; its objects on one store share them. */
export interface Lines {
  readonly keys: Map<string, Line>;
  /** The last that was given out for any key, so that tokens increase also when a key was forgotten meanwhile. */
  lastToken: number;
}

/**
 * Permits that are counted in this process: the twin of `semaphore.lua`, with the same names. Here nobody renews over
 * a network, so a lease that is renewed lasts until it is released, and costs no timer; only others can run out.
 */
export class MemoryPermits implements Permits {
  readonly clock: Clock;
  readonly alarms: Alarms;
  readonly #lines: Lines;
  readonly #permits: number;
  readonly #lease: number;

  /** `lease` in µs. */
  constructor(lines: Lines, permits: number, lease: number, clock: Clock, alarms: Alarms) {
    this.#lines = lines;
    this.#permits = permits;
    this.#lease = lease;
    this.clock = clock;
    this.alarms = alarms;
  }

  take(key: string, count: number, wait: boolean, renew: boolean): Grant | Place | undefined {
    let line = this.#line(key);
    if (line === undefined) {
      line = new Line(key, this.#lines, this.clock, this.alarms);
      this.#lines.keys.set(key, line);
    }
    line.permits = this.#permits;
    const lease = renew ? Number.POSITIVE_INFINITY : this.#lease;
    if (line.waiting > 0) line.serve();
    if (line.waiting === 0 && line.held + count <= line.permits) return line.grant(count, lease);
    return wait ? line.enter(count, lease) : undefined;
  }

  inspect(key: string): Occupancy {
    const { permits, held, waiting } = this.#line(key) ?? { permits: this.#permits, held: 0, waiting: 0 };
    return { permits, held, waiting };
  }

  close(): void {
    // leases that are out run out by the store's alarms, as they would without this semaphore
  }

  /** The line of a key as of now, if anybody is in it. */
  #line(key: string): Line | undefined {
    const line = this.#lines.keys.get(key);
    return line === undefined || line.sweep() ? line : undefined;
  }
}

/** One key: who holds its permits, and who stands in line. */
class Line {
  permits = 0;
  held = 0;
  waiting = 0;
  readonly clock: Clock;
  readonly #key: string;
  readonly #lines: Lines;
  readonly #alarms: Alarms;
  /** Those who wait, by place; no place before `head` is taken, and `tail` was the last given out. */
  readonly #places = new Map<number, MemoryPlace>();
  #head = 1;
  #tail = 0;
  /** Grants that can run out, and a moment before which none does. */
  #mortal: Set<MemoryGrant> | undefined;
  #soonest = Number.POSITIVE_INFINITY;
  #cancelAlarm: (() => void) | undefined;

  constructor(key: string, lines: Lines, clock: Clock, alarms: Alarms) {
    this.#key = key;
    this.#lines = lines;
    this.clock = clock;
    this.#alarms = alarms;
  }

  grant(count: number, lease: number): MemoryGrant {
    this.held += count;
    const grant = new MemoryGrant(this, ++this.#lines.lastToken, count, lease);
    if (lease !== Number.POSITIVE_INFINITY) {
      this.#mortal ??= new Set();
      this.#mortal.add(grant);
      this.#watch(grant.expiry);
    }
    return grant;
  }

  enter(count: number, lease: number): Place {
    const place = new MemoryPlace(this, ++this.#tail, count, lease);
    if (this.waiting === 0) this.#head = this.#tail;
    this.#places.set(this.#tail, place);
    this.waiting += 1;
    if (this.waiting === 1) this.#setAlarm();
    return place;
  }

  leave(place: MemoryPlace): void {
    if (!this.#drop(place)) return;
    this.serve();
    this.#forget();
  }

  release(grant: MemoryGrant): boolean {
    this.sweep();
    if (!grant.held) return false;
    this.#end(grant);
    if (this.waiting > 0) this.serve();
    this.#forget();
    return true;
  }

  /** Gives what is free to those in line, strictly in order. */
  serve(): void {
    while (this.waiting > 0 && this.held < this.permits) {
      const place = this.#places.get(this.#head);
      if (place === undefined) {
        this.#head += 1;
      } else if (this.held + place.count <= this.permits) {
        this.#drop(place);
        place.settle(this.grant(place.count, place.lease));
      } else {
        return;
      }
    }
  }

  /** Drops what has run out, and serves those who wait for it. False when nobody is left. */
  sweep(): boolean {
    if (this.#soonest === Number.POSITIVE_INFINITY) return true;
    const now = this.clock.now();
    if (now < this.#soonest) return true;
    this.#disarm();
    let next = Number.POSITIVE_INFINITY;
    for (const grant of this.#mortal ?? []) {
      if (grant.expiry <= now) this.#end(grant);
      else next = Math.min(next, grant.expiry);
    }
    this.#watch(next);
    this.serve();
    return !this.#forget();
  }

  /** A key that nobody holds or waits for is as if never seen: true then. */
  #forget(): boolean {
    if (this.held > 0 || this.waiting > 0) return false;
    this.#disarm();
    this.#lines.keys.delete(this.#key);
    return true;
  }

  #watch(expiry: number): void {
    if (expiry >= this.#soonest) return;
    this.#soonest = expiry;
    this.#setAlarm();
  }

  /** Only who waits for a lease to end keeps the process alive until then. */
  #setAlarm(): void {
    if (this.#soonest === Number.POSITIVE_INFINITY) return;
    this.#cancelAlarm?.();
    this.#cancelAlarm = this.#alarms.set(this.#soonest, () => this.sweep(), this.waiting > 0);
  }

  #disarm(): void {
    this.#cancelAlarm?.();
    this.#cancelAlarm = undefined;
    this.#soonest = Number.POSITIVE_INFINITY;
  }

  #drop(place: MemoryPlace): boolean {
    if (!this.#places.delete(place.place)) return false;
    this.waiting -= 1;
    if (this.waiting === 0) this.#setAlarm();
    return true;
  }

  #end(grant: MemoryGrant): void {
    grant.held = false;
    this.held -= grant.count;
    this.#mortal?.delete(grant);
  }
}

class MemoryGrant implements Grant {
  readonly token: number;
  readonly provisional = false;
  readonly count: number;
  expiry: number;
  held = true;
  readonly #line: Line;
  readonly #lease: number;

  constructor(line: Line, token: number, count: number, lease: number) {
    this.#line = line;
    this.token = token;
    this.count = count;
    this.#lease = lease;
    this.expiry = lease === Number.POSITIVE_INFINITY ? lease : line.clock.now() + lease;
  }

  renew(): boolean {
    this.#line.sweep();
    // a later expiry leaves the line's next look where it is: early, never late
    if (this.held && this.#lease !== Number.POSITIVE_INFINITY) this.expiry = this.#line.clock.now() + this.#lease;
    return this.held;
  }

  release(): boolean {
    return this.#line.release(this);
  }

  giveBack(): void {
    this.release();
  }
}

class MemoryPlace implements Place {
  readonly place: number;
  readonly count: number;
  readonly lease: number;
  readonly #line: Line;
  #grant: MemoryGrant | undefined;
  #waiter!: Waiter;

  constructor(line: Line, place: number, count: number, lease: number) {
    this.#line = line;
    this.place = place;
    this.count = count;
    this.lease = lease;
  }

  occupy(waiter: Waiter): void {
    this.#waiter = waiter;
  }

  settle(grant: MemoryGrant): void {
    this.#grant = grant;
    this.#waiter.granted(grant);
  }

  leave(): void {
    if (this.#grant === undefined) this.#line.leave(this);
    else this.#grant.release();
  }
}
