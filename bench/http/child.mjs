// Loads servers, each in a child of its own, by turns: a slice of requests to each of them in every round, so that what
// else the machine does hits all alike. Prints one line of JSON: for each variant, its figures by round.
import { fork } from "node:child_process";
import { once } from "node:events";
import autocannon from "autocannon";

const { variants, rounds, connections, requests, ...task } = JSON.parse(process.argv[2]);

async function serve(variant) {
  const child = fork(new URL("./server.mjs", import.meta.url), [JSON.stringify({ ...task, variant })]);
  const [{ port }] = await once(child, "message");
  return { variant, child, url: `http://127.0.0.1:${port}/`, figures: [] };
}

async function usage(child) {
  child.send("usage");
  const [{ cpu }] = await once(child, "message");
  return cpu;
}

async function slice({ child, url }) {
  const before = await usage(child);
  const from = performance.now();
  let answered = 0;
  let seconds = 0;
  const load = autocannon({ url, connections, amount: requests, sampleInt: 50 });
  // it ends at a tick of its own only
  load.on("response", () => {
    if (++answered === requests) seconds = (performance.now() - from) / 1000;
  });
  const { latency, errors, timeouts, non2xx } = await load;
  const cpu = (await usage(child)) - before;
  if (errors + timeouts + non2xx > 0) throw new Error(`${errors} errors, ${timeouts} timeouts, ${non2xx} not 2xx`);
  return { rate: requests / seconds, cpu: cpu / requests, p50: latency.p50, p99: latency.p99 };
}

const servers = await Promise.all(variants.map(serve));
for (const server of servers) for (let warm = 0; warm < 3; warm++) await slice(server);
for (let round = 0; round < rounds; round++) {
  // each comes first and last equally often
  const first = round % servers.length;
  for (const server of [...servers.slice(first), ...servers.slice(0, first)]) server.figures.push(await slice(server));
}
console.log(JSON.stringify(Object.fromEntries(servers.map(({ variant, figures }) => [variant, figures]))));
for (const { child } of servers) {
  child.disconnect();
  await once(child, "exit");
}
