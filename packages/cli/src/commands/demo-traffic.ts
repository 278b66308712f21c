import type { TimedRequest } from "sluice/simulate";
import { monthNames } from "../input/time.js";

const second = 1_000_000;
const minute = 60 * second;
/** 1 January 2026, 12:00 UTC: the demonstration is the same whenever it runs. */
const start = Date.UTC(2026, 0, 1, 12) * 1000;

export interface DemoRequest extends Required<TimedRequest> {
  readonly path: string;
}

/**
 * Ten minutes of made-up traffic: 400 people who open a page now and then, each page being a burst of some dozen files; 40
 * programs that ask once a second; and one abuser who tries passwords as fast as he can, for five minutes. The same for
 * the same seed.
 */
export function demoTraffic(seed: number): DemoRequest[] {
  const random = generator(seed);
  const requests: DemoRequest[] = [];
  const request = (at: number, key: string, path: string): void => {
    requests.push({ at: start + Math.round(at), key, path, cost: 1 });
  };
  for (let person = 0; person < 400; person++) {
    const key = `198.51.${100 + (person >> 8)}.${person & 255}`;
    for (let at = wait(random, 2 * minute); at < 10 * minute; at += wait(random, 2 * minute)) {
      request(at, key, `/articles/${Math.floor(random() * 100)}`);
      const files = 8 + Math.floor(random() * 12);
      for (let file = 0; file < files; file++) request(at + random() * 2 * second, key, `/assets/${file}.js`);
    }
  }
  for (let program = 0; program < 40; program++) {
    const offset = random() * second;
    for (let at = offset; at < 10 * minute; at += second) request(at, `203.0.113.${program}`, "/api/status");
  }
  for (let at = 2.5 * minute; at < 7.5 * minute; at += wait(random, second / 50)) request(at, "192.0.2.66", "/login");
  return requests.filter(({ at }) => at < start + 10 * minute).toSorted((one, other) => one.at - other.at);
}

/** How long until the next, when they come `mean` apart at random (exponential). */
function wait(random: () => number, mean: number): number {
  return -Math.log(1 - random()) * mean;
}

/** Mulberry32: small and good enough for a demonstration. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A request as a line of an access log, with its end. */
export function logLine({ at, key, path }: DemoRequest): string {
  const [year, month, day, time] = new Date(at / 1000).toISOString().split(/[-T.]/) as [string, string, string, string];
  const method = path === "/login" ? "POST" : "GET";
  return `${key} - - [${day}/${monthNames[Number(month) - 1]}/${year}:${time} +0000] "${method} ${path} HTTP/1.1" 200 512\n`;
}
