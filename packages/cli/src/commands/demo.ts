import { Command, Option } from "commander";
import { simulate } from "sluice/simulate";
import { type Layout, printReport } from "../output/report.js";
import { parsePolicy } from "../policy-spec.js";
import { layoutFor, type Surroundings } from "../surroundings.js";
import { demoTraffic, logLine } from "./demo-traffic.js";
import { upTo } from "./option-parsers.js";

const specifications = ["fixed-window:100/1m,anchor=epoch", "sliding-window:100/1m", "token-bucket:100/1m,burst=10"];

/** `sluice demo`: the same on traffic that it makes itself. */
export function demoCommand(surroundings: Surroundings): Command {
  const { stdout } = surroundings;
  return new Command("demo")
    .summary("the same on traffic that it makes itself")
    .description("Make ten minutes of traffic, an abuser among many polite clients, and try three limits on it.")
    .addOption(new Option("--seed <n>", "another seed makes other traffic").default(1).argParser(upTo(2 ** 32 - 1, 0)))
    .option("--log", "print the traffic itself, as an access log")
    .action(async ({ seed, log }: { seed: number; log?: true }) => {
      stdout.write(
        log ? demoTraffic(seed).map(logLine).join("") : await demonstration(seed, layoutFor(surroundings, 3)),
      );
    });
}

const program = [
  'import { rateLimiter, tokenBucket } from "sluice";',
  'const limit = rateLimiter(tokenBucket({ rate: 100, per: "1m", burst: 40 }));',
  'const { allowed, retryAfter } = await limit.consume("192.0.2.66");',
];

async function demonstration(seed: number, layout: Layout): Promise<string> {
  const { bold, dim, cyan } = layout.colours;
  const report = await simulate(demoTraffic(seed), {
    policies: specifications.map(parsePolicy),
    topKeys: layout.topKeys,
  });
  const tries: readonly (readonly [string, string])[] = [
    ["Your own log, also zipped:", "npx sluice simulate access.log -p token-bucket:100/1m,burst=40"],
    ["Budget bytes, not requests:", "npx sluice simulate access.log --cost bytes -p sliding-window:9000000/1h"],
    ["This very traffic, as a log:", "npx sluice demo --log | npx sluice simulate - -p sliding-counter:60/1m"],
    ["Formats, fields, figures:", "npx sluice simulate --help"],
  ];
  return [
    bold("Three rate limits, tried on the same ten minutes of made-up traffic"),
    dim("400 people open pages of a dozen files, 40 programs ask once a second,"),
    dim("and one abuser, 192.0.2.66, tries fifty passwords a second for five minutes."),
    "",
    printReport(report, layout),
    "All three stop the abuser. But this bucket holds less than a page needs, so it",
    "refuses people too: better seen here than in production. Try it with burst=40.",
    "",
    bold("What to try next"),
    ...tries.flatMap(([what, command]) => [`  ${what}`, `    ${cyan(command)}`]),
    "  The same limit in a program; examples/ has servers and clients that run:",
    ...program.map((line) => `    ${cyan(line)}`),
    "",
  ].join("\n");
}
