// One server in a process of its own. Says its port, and on request how much CPU it has used so far.
import { start } from "./variants.mjs";

const server = await start(JSON.parse(process.argv[2]));
process.send({ port: server.address().port });
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send({ cpu: user + system });
});
process.on("disconnect", () => process.exit(0));
