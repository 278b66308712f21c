// Loads servers, each in a child of its own, by turns: a slice of time to each of them in every round, so that what else
// the machine does hits all alike. Every few rounds all servers are started anew: what V8 makes of one process stays with
// it, and differed by up to 4 µs a request between processes of one program. Prints one line of JSON: for each variant,
// its figures by round.
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";

const { variants, rounds, starts, connections, seconds, ...task } = JSON.parse(process.argv[2]);

async function serve(variant) {
  const child = fork(new URL("./server.mjs", import.meta.url), [JSON.stringify({ ...task, variant })]);
  const failed = once(child, "exit").then(([code, signal]) => {
    throw new Error(`The server '${variant}' ended with ${code ?? signal} before it listened.`);
  });
  failed.catch(() => {});
  const [{ port }] = await Promise.race([once(child, "message"), failed]);
  return { variant, child, url: `http://127.0.0.1:${port}/` };
}

async function usage(child) {
  child.send("usage");
  const [{ cpu }] = await once(child, "message");
  return cpu;
}

/** wrk and not a load in JavaScript: that takes as much CPU a request as the server does, and so hides what it measures. */
const run = promisify(execFile);
async function load(url) {
  try {
    const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "10s", "--latency", url];
    return (await run("wrk", args)).stdout;
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    throw new Error("The HTTP bench needs wrk (Debian: apt-get install wrk).", { cause: error });
  }
}

const units = { us: 0.001, ms: 1, s: 1000 };
function milliseconds(report, percentile) {
  const [, figure, unit] = new RegExp(`${percentile}%\\s+([\\d.]+)(us|ms|s)`).exec(report);
  return Number(figure) * units[unit];
}

async function slice({ child, url }) {
  const before = await usage(child);
  const report = await load(url);
  const cpu = (await usage(child)) - before;
  if (/Non-2xx|Socket errors/.test(report)) throw new Error(report);
  const requests = Number(/(\d+) requests in/.exec(report)[1]);
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(report)[1]);
  return { rate, cpu: cpu / requests, p50: milliseconds(report, 50), p99: milliseconds(report, 99) };
}

const figures = Object.fromEntries(variants.map((variant) => [variant, []]));
for (let start = 0; start < starts; start++) {
  const servers = await Promise.all(variants.map(serve));
  // the first slice is for the compiler
  for (const server of servers) await slice(server);
  for (let round = start; round < rounds; round += starts) {
    // each comes first and last equally often
    const first = round % servers.length;
    for (const server of [...servers.slice(first), ...servers.slice(0, first)]) {
      figures[server.variant].push(await slice(server));
    }
  }
  for (const { child } of servers) {
    child.disconnect();
    await once(child, "exit");
  }
}
console.log(JSON.stringify(figures));
