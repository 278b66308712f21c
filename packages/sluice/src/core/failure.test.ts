import { describe, expect, it } from "vitest";
import { all, memoryStore, rateLimiter, slidingWindow, tokenBucket } from "../index.js";
import { Alarms } from "./alarm.js";
import { turnClock } from "./clock.js";
import { StoreError } from "./errors.js";
import type { StoreFailureAnswer } from "./limiter.js";
import { type Driver, driverOf, type Gate, type Store } from "./store.js";

/** A store on a server that answers everything with this error. */
function broken(reason: unknown = new StoreError("ERR_STORE_UNAVAILABLE", "gone")): Store {
  const clock = turnClock();
  const fail = async (): Promise<never> => {
    throw reason;
  };
  const driver: Driver = {
    remote: true,
    clock,
    alarms: new Alarms(clock),
    open: (_limiter, policies): Gate => ({ driver, policies, consume: fail, amend: fail, reset: fail }),
    leave: () => {},
    decide: fail,
  };
  return { kind: "broken", close: async () => {}, [driverOf]: driver } as Store;
}

const policy = tokenBucket({ rate: 10, per: "1m", name: "api" });

function limiter(whenStoreFails: StoreFailureAnswer, options: { shadow?: boolean; store?: Store } = {}) {
  return rateLimiter(policy, { store: broken(), ...options, whenStoreFails });
}

const gone = expect.objectContaining({ code: "ERR_STORE_UNAVAILABLE" }) as Error;
const refused = { allowed: false, degraded: true, remaining: 0, retryAfter: 1000, policy: "api", limit: 10 };
const allowed = { allowed: true, degraded: true, retryAfter: 0, policy: "api", limit: 10 };

describe("when the store fails", () => {
  it("'throw' throws, whatever is asked", async () => {
    const throwing = limiter("throw");
    for (const verb of [
      throwing.consume("a"),
      throwing.peek("a"),
      throwing.wait("a"),
      throwing.reserve("a"),
      throwing.refund("a"),
      throwing.charge("a"),
      throwing.reset("a"),
    ]) {
      await expect(verb).rejects.toThrow(gone);
    }
  });

  it("'deny' refuses, marked as degraded, and says to come back in a second", async () => {
    const denying = limiter("deny");
    expect(await denying.consume("a")).toMatchObject(refused);
    expect(await denying.peek("a")).toMatchObject(refused);
    expect((await denying.consume("a")).parts).toMatchObject([{ policy: "api", allowed: false, retryAfter: 1000 }]);
    const limited = expect.objectContaining({ code: "ERR_RATE_LIMIT_EXCEEDED" }) as Error;
    await expect(denying.wait("a")).rejects.toThrow(limited);
    await expect(denying.reserve("a")).rejects.toThrow(limited);
    // a charge is never refused
    expect(await denying.charge("a")).toMatchObject(allowed);
  });

  it("'allow' lets everything pass, marked as degraded", async () => {
    const allowing = limiter("allow");
    expect(await allowing.consume("a")).toMatchObject(allowed);
    expect(await allowing.peek("a")).toMatchObject(allowed);
    expect(await allowing.wait("a")).toMatchObject(allowed);
    expect((await allowing.reserve("a")).decision).toMatchObject(allowed);
    await allowing.refund("a");
  });

  it("another limiter counts in its stead, with the key and the cost of the call", async () => {
    const own = rateLimiter(slidingWindow({ limit: 5, window: "1h", name: "stead" }), { store: memoryStore() });
    const replaced = limiter(own);
    expect(await replaced.consume("a", { cost: 3 })).toMatchObject({ allowed: true, degraded: true, remaining: 2 });
    expect(await replaced.consume("a", { cost: 3 })).toMatchObject({ allowed: false, degraded: true, policy: "stead" });
    expect(own.peekSync("a")).toMatchObject({ remaining: 2, degraded: false });
    expect(own.peekSync("b").remaining).toBe(5);
    await replaced.charge("a");
    expect(own.peekSync("a").remaining).toBe(1);
  });

  it("a limiter whose stead fails too does what that one says", async () => {
    expect(await limiter(limiter("deny")).consume("a")).toMatchObject(refused);
    expect(await limiter(limiter("allow")).consume("a")).toMatchObject(allowed);
    await expect(limiter(limiter("throw")).consume("a")).rejects.toThrow(gone);
  });

  it("a limiter in shadow mode allows, whatever it was told", async () => {
    for (const answer of ["throw", "deny", "allow"] as const) {
      expect(await limiter(answer, { shadow: true }).consume("a")).toMatchObject(allowed);
    }
  });

  it("of several limiters the strictest counts: throw before deny before another limiter before allow", async () => {
    const stead = rateLimiter(slidingWindow({ limit: 1, window: "1h", name: "stead" }), { store: memoryStore() });
    const together = async (...answers: StoreFailureAnswer[]) => {
      const store = broken();
      const limiters = answers.map((answer, index) =>
        rateLimiter(policy, { store, name: `limiter ${index}`, whenStoreFails: answer }),
      );
      return all(...limiters.map((each) => each.for("a"))).consume();
    };
    await expect(together("allow", "deny", "throw", stead)).rejects.toThrow(gone);
    expect(await together("allow", stead, "deny")).toMatchObject(refused);
    expect(stead.peekSync("a").remaining).toBe(1);
    expect(await together("allow", stead)).toMatchObject({ allowed: true, degraded: true, policy: "stead" });
    expect(await together("allow", stead)).toMatchObject({ allowed: false, degraded: true, policy: "stead" });
    expect(await together("allow", "allow")).toMatchObject(allowed);
  });

  it("what is no failure of the store is thrown as it is", async () => {
    const mistake = new TypeError("a mistake");
    for (const answer of ["throw", "deny", "allow"] as const) {
      await expect(limiter(answer, { store: broken(mistake) }).consume("a")).rejects.toBe(mistake);
    }
    await expect(limiter("allow").consume("")).rejects.toThrow(RangeError);
  });
});
