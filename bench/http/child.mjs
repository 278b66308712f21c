// Loads one server, which runs in a child of this one; prints one line of JSON.
import { fork } from "node:child_process";
import { once } from "node:events";
import autocannon from "autocannon";

const { connections, seconds, ...server } = JSON.parse(process.argv[2]);
const child = fork(new URL("./server.mjs", import.meta.url), [JSON.stringify(server)]);
const [{ port }] = await once(child, "message");
const url = `http://127.0.0.1:${port}/`;

const cpu = async () => {
  child.send("usage");
  const [usage] = await once(child, "message");
  return usage.cpu;
};

await autocannon({ url, connections, duration: 1 });
const before = await cpu();
const { requests, latency, errors, timeouts, non2xx } = await autocannon({ url, connections, duration: seconds });
const used = (await cpu()) - before;
if (errors + timeouts + non2xx > 0)
  throw new Error(`${errors} errors, ${timeouts} timeouts, ${non2xx} answers not 2xx`);
console.log(
  JSON.stringify({ rate: requests.total / seconds, cpu: used / requests.total, p50: latency.p50, p99: latency.p99 }),
);
child.disconnect();
await once(child, "exit");
