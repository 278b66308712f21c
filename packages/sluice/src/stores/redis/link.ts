import { timeoutError, withDeadline } from "../../core/deadline.js";
import { ClosedError, StoreError } from "../../core/errors.js";
import type { Script } from "../../core/store.js";
import { Breaker } from "./breaker.js";
import { isAnswer, isNoScript, isTryAgain, type RedisConnection } from "./clients.js";
import { slotOfName } from "./keys.js";

/** ms after which a node is asked again that had only some of the keys, for they were on their way to another. */
const tryAgainDelay = 20;
/** Slots that are taken for one node where a client does not tell which is whose: 256 groups. */
const slotsPerGroup = 64;

/** One call, from when it is sent until it is answered, has failed, or is given up, whichever comes first. */
export interface Attempt {
  readonly breaker: Breaker;
  /** ms until nobody waits for it, from when it is sent. */
  timeout: number;
  /** ms that the most patient of those who asked would wait. */
  readonly patience: number;
  /** The first of its keys. */
  key: string;
  /** It gives back what the server granted, so it is tried even when nothing else is: nobody tries it again. */
  owed: boolean;
  over: boolean;
  /** Among those that were sent since somebody last began to wait for all. */
  group: Group | undefined;
}

export function newAttempt(breaker: Breaker, timeout: number): Attempt {
  return { breaker, timeout, patience: timeout, key: "", owed: false, over: false, group: undefined };
}

/** Calls that are waited for together: how many of them are under way. */
interface Group {
  open: number;
}

/**
 * The way to the server. Runs scripts, with a circuit breaker for each node. A failed call has an unknown outcome and is
 * never sent again; only `NOSCRIPT` and `TRYAGAIN` are, because then nothing ran.
 */
export class Link {
  readonly connection: RedisConnection;
  /** By the name of the node or the number of the group of slots; one on a single server. */
  readonly #breakers = new Map<string | number, Breaker>();
  /** Calls join the last group; those before it are waited for. Counted, and not a Set of calls: see `#open` in batch.ts. */
  #groups: Group[] = [{ open: 0 }];
  readonly #watchers = new Set<() => void>();
  #closed = false;

  constructor(connection: RedisConnection) {
    this.connection = connection;
  }

  /** What fails together with the keys of a slot. */
  breaker(slot: number): Breaker {
    const { cluster, nodeOf } = this.connection;
    const name = cluster ? (nodeOf?.(slot) ?? Math.floor(slot / slotsPerGroup)) : 0;
    let breaker = this.#breakers.get(name);
    if (breaker === undefined) {
      // routed by a key, refused while the server is loading or busy, and allowed to whoever may do the rest
      breaker = new Breaker((key, within) => this.connection.send(["EVAL", "return 1", 1, key], key, within));
      this.#breakers.set(name, breaker);
    }
    return breaker;
  }

  /** Runs the script once, wherever the server keeps it. */
  run(script: Script, keys: readonly string[], args: readonly (string | number)[], attempt: Attempt): Promise<unknown> {
    const head: (string | number)[] = ["EVALSHA", script.sha, keys.length];
    return this.#deliver(head.concat(keys, args), keys[0] as string, attempt, script);
  }

  /** Sends one command. */
  send(args: readonly (string | number)[], key: string, attempt: Attempt): Promise<unknown> {
    return this.#deliver(args, key, attempt, undefined);
  }

  /** What `ask` sends with the attempt that it is given, or `StoreError` after `timeout` ms; `late` gets an answer after that. */
  within<T>(
    timeout: number,
    key: string,
    ask: (attempt: Attempt) => Promise<T>,
    late: (answer: T) => void = nobody,
  ): Promise<T> {
    const attempt = newAttempt(this.breaker(this.connection.cluster ? slotOfName(key) : 0), timeout);
    return withDeadline(ask(attempt), timeout, late, () => this.late([attempt]));
  }

  /** Calls that were not answered in time: together one failure of each node. */
  late(attempts: readonly Attempt[]): void {
    const breakers = new Map<Breaker, Attempt>();
    for (const attempt of attempts) {
      const { breaker, patience } = attempt;
      if (this.#end(attempt) && patience >= (breakers.get(breaker)?.patience ?? 0)) breakers.set(breaker, attempt);
    }
    for (const [breaker, { key, patience }] of breakers) breaker.late(key, patience);
  }

  /** Resolves when everything that is under way now is answered, has failed, or is given up. */
  settled(): Promise<void> {
    const awaited = this.#groups.filter(({ open }) => open > 0);
    this.#groups = [...awaited, { open: 0 }];
    return new Promise((resolve) => {
      const check = (): void => {
        if (awaited.some(({ open }) => open > 0)) return;
        this.#watchers.delete(check);
        resolve();
      };
      this.#watchers.add(check);
      check();
    });
  }

  close(): void {
    this.#closed = true;
    for (const breaker of this.#breakers.values()) breaker.close();
  }

  /** No `async` function where nothing goes wrong: each takes 0.3 µs. */
  #deliver(
    command: readonly (string | number)[],
    key: string,
    attempt: Attempt,
    script: Script | undefined,
  ): Promise<unknown> {
    try {
      if (this.#closed) throw new ClosedError("store");
      if (!attempt.owed) attempt.breaker.check();
    } catch (error) {
      return Promise.reject(error);
    }
    attempt.key = key;
    attempt.group = this.#groups.at(-1) as Group;
    attempt.group.open += 1;
    return this.#try(command, attempt, script);
  }

  #try(command: readonly (string | number)[], attempt: Attempt, script: Script | undefined): Promise<unknown> {
    return this.#send(command, attempt).then(
      (reply) => {
        if (this.#end(attempt)) attempt.breaker.succeeded();
        return reply;
      },
      (error: unknown) => this.#again(error, command, attempt, script),
    );
  }

  /** Not every client's method is `async`: one that throws must not end the turn for everybody else. */
  #send(command: readonly (string | number)[], { key, timeout }: Attempt): Promise<unknown> {
    try {
      return this.connection.send(command, key, timeout);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Nothing ran: it is tried once more, if anybody still waits. */
  async #again(
    error: unknown,
    command: readonly (string | number)[],
    attempt: Attempt,
    script: Script | undefined,
  ): Promise<unknown> {
    const lacksScript = script !== undefined && isNoScript(error);
    if (!lacksScript && !isTryAgain(error)) throw this.#failed(attempt, error);
    if (!lacksScript) await new Promise((resolve) => setTimeout(resolve, tryAgainDelay));
    if (attempt.over) throw timeoutError(attempt.timeout);
    return this.#try(lacksScript ? ["EVAL", script.text, ...command.slice(2)] : command, attempt, script);
  }

  #failed(attempt: Attempt, error: unknown): StoreError {
    if (this.#end(attempt)) {
      if (isAnswer(error)) attempt.breaker.succeeded();
      else attempt.breaker.failed(attempt.key, error);
    }
    const reason = error instanceof Error && error.message !== "" ? `: ${error.message}` : ".";
    return new StoreError("ERR_STORE_UNAVAILABLE", `The store could not answer${reason}`, { cause: error });
  }

  /** True for who ends it: what becomes of it after that says nothing of the server. */
  #end(attempt: Attempt): boolean {
    if (attempt.over) return false;
    attempt.over = true;
    if (attempt.group !== undefined) attempt.group.open -= 1;
    if (this.#watchers.size > 0) for (const check of Array.from(this.#watchers)) check();
    return true;
  }
}

function nobody(): void {}
