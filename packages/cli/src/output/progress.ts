import { SingleBar } from "cli-progress";
import { count } from "./text.js";

/** How far the reading is; nothing at all where nobody watches. */
export interface Progress {
  /** So many more bytes were read. */
  read(bytes: number): void;
  /** So many requests were replayed so far. */
  requests(total: number): void;
  /** Takes the bar away and gives the cursor back. */
  stop(): void;
}

const silent: Progress = { read: () => {}, requests: () => {}, stop: () => {} };

/** A bar on a terminal. `total` is the bytes to read, undefined when that is not known. */
export function progressOn(stream: NodeJS.WriteStream, wanted: boolean, total: number | undefined): Progress {
  if (!wanted || !stream.isTTY) return silent;
  const bar = new SingleBar({
    stream,
    format: total === undefined ? "{requests} requests" : "[{bar}] {percentage} %  {requests} requests",
    barsize: 30,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
    fps: 10,
  });
  const shown = { requests: "0" };
  bar.start(Math.max(1, total ?? 1), 0, shown);
  let done = 0;
  return {
    read: (bytes) => {
      done += bytes;
    },
    requests: (replayed) => bar.update(total === undefined ? 0 : done, { requests: count(replayed) }),
    stop: () => {
      if (bar.isActive) bar.stop();
    },
  };
}
