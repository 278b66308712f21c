import { Command, Option } from "commander";
import { statusHelp, usageError } from "../command-error.js";
import { accessLogFields } from "../input/access-log.js";
import { addressKeyOf } from "../input/address-key.js";
import { standardInput } from "../input/bytes.js";
import { type Format, formats } from "../input/format.js";
import { KeyCache } from "../input/key-cache.js";
import { type TimeUnit, timeUnits } from "../input/time.js";
import { type Progress, progressOn } from "../output/progress.js";
import { printReport } from "../output/report.js";
import { checkDistinct, parsePolicy, policyExamples } from "../policy-spec.js";
import { type ReplayReport, replay } from "../replay.js";
import { layoutFor, type Surroundings } from "../surroundings.js";
import { duration, oneCharacter, upTo } from "./option-parsers.js";

interface SimulateOptions {
  readonly policy?: readonly string[];
  readonly format: "auto" | Format;
  readonly key?: string | false;
  readonly rawKeys?: true;
  readonly ipv6Prefix: number;
  readonly cost?: string;
  readonly time?: string;
  readonly timeUnit?: TimeUnit;
  readonly delimiter?: string;
  readonly reorder: number;
  readonly sort?: true;
  readonly top: number;
  readonly maxKeys: number;
  readonly json?: true;
  readonly progress: boolean;
}

/** `sluice simulate`: recorded traffic through limits. */
export function simulateCommand(surroundings: Surroundings): Command {
  const command = new Command("simulate")
    .summary("replay recorded traffic through rate limits, and show what they would have refused")
    .description(simulateDescription)
    .argument("<file...>", "logs to replay, in any order; - is standard input; gzip is recognised")
    .addOption(
      new Option("-p, --policy <policy>", "a limit to try; give several to compare them").argParser(
        (text: string, before: readonly string[] | undefined) => [...(before ?? []), text],
      ),
    )
    .addOption(new Option("-f, --format <format>", "what the files are").choices(["auto", ...formats]).default("auto"))
    .option("-k, --key <field>", "whom to count: a field, a column's name or number (default: the client's address)")
    .option("--no-key", "count all requests together")
    .option("--raw-keys", "count addresses as they are written, not as sluice/http does")
    .addOption(
      new Option("--ipv6-prefix <bits>", "how much of an IPv6 address counts").default(64).argParser(upTo(128, 32)),
    )
    .option("-c, --cost <field>", "what a request costs: a field of whole numbers, such as bytes (default: 1)")
    .option("-t, --time <field>", "when a request came: a field, a column's name or number (default: its usual names)")
    .addOption(
      new Option("--time-unit <unit>", "what numbers that are times count (default: as their size suggests)").choices(
        timeUnits,
      ),
    )
    .addOption(new Option("--delimiter <character>", "what separates columns").argParser(oneCharacter))
    .addOption(
      new Option("--reorder <duration>", "how far a request may come after a newer one")
        .default(60_000_000, "1m")
        .argParser(duration),
    )
    .option("--sort", "load everything and sort it, however disordered")
    .addOption(new Option("--top <n>", "how many of the most refused keys to name").default(5).argParser(upTo(1000, 0)))
    .addOption(
      new Option("--max-keys <n>", "the most keys to remember, for each policy")
        .default(1_000_000)
        .argParser(upTo(100_000_000, 1)),
    )
    .option("--json", "print the report as JSON, durations in milliseconds")
    .option("--no-progress", "no progress bar, even on a terminal")
    .addHelpText("after", simulateHelp)
    .action(async (files: string[], options: SimulateOptions) => act(files, options, surroundings));
  // both set the same option, and the last one would win
  const given = new Set<string>();
  for (const option of ["key", "no-key"]) {
    command.on(`option:${option}`, () => {
      given.add(option);
      if (given.size > 1) throw usageError("--key and --no-key exclude each other: give one of them");
    });
  }
  return command;
}

async function act(files: readonly string[], options: SimulateOptions, surroundings: Surroundings): Promise<void> {
  const { stdout, stderr } = surroundings;
  if (options.policy === undefined) {
    throw usageError(`give at least one limit to try, for example --policy ${policyExamples[0]}`);
  }
  const policies = options.policy.map(parsePolicy);
  checkDistinct(policies);
  if (files.filter((file) => file === standardInput).length > 1)
    throw usageError("standard input (-) can be read only once");
  const watch = (total: number | undefined): Progress => {
    const progress = progressOn(stderr, options.progress, total);
    surroundings.onInterrupt(() => progress.stop());
    return progress;
  };
  const report = await replay(
    files,
    {
      stdin: surroundings.stdin,
      policies,
      topKeys: options.top,
      maxKeys: options.maxKeys,
      format: options.format === "auto" ? undefined : options.format,
      key: options.key,
      cost: options.cost,
      time: options.time,
      timeUnit: options.timeUnit,
      keys: new KeyCache(options.rawKeys ? undefined : addressKeyOf(options.ipv6Prefix)),
      delimiter: options.delimiter,
      reorder: options.reorder,
      sort: options.sort ?? false,
    },
    watch,
  );
  stdout.write(
    options.json
      ? `${JSON.stringify(asJson(report), null, 2)}\n`
      : printReport(report, layoutFor(surroundings, options.top)),
  );
}

/** Of `--json`; another one when a field goes, or comes to mean something else. */
const jsonVersion = 1;

/** Moments as ISO 8601, and nothing left out: what is not there is null. */
function asJson(report: ReplayReport): unknown {
  const from = new Date(report.from).toISOString();
  const to = new Date(report.to).toISOString();
  const complete = { version: jsonVersion, ...report, from, to };
  return JSON.parse(JSON.stringify(complete, (_key, value: unknown) => (value === undefined ? null : value)));
}

const simulateDescription =
  "Replay recorded traffic through the real algorithms, under a clock that shows the time of the traffic, and show " +
  "what each policy would have allowed and refused. Nothing is sent anywhere.";

const simulateHelp = `
Policies: ALGORITHM:LIMIT/WINDOW[,SETTING=VALUE...], WINDOW in ms, s, m, h, d, w
  token-bucket:100/1m,burst=20       100 a minute, smoothly, and at most 20 at
                                     once (default: all 100); refill=interval
                                     adds all 100 at once, every minute
  sliding-window:100/1m              never more than 100 in any minute
  sliding-counter:100/1m             the same approximately, in less memory
  fixed-window:1000/1h,anchor=epoch  1000 in each hour of the clock;
                                     anchor=first (default): in each hour that
                                     begins with a request
  name=TEXT                          for all: what the report calls it

Formats:
  Access logs (common and combined) have the fields ${accessLogFields.slice(0, 4).join(", ")},
  ${accessLogFields.slice(4).join(", ")}.
  A field inside a JSON object is written with dots: --key request.remote_ip.
  Times are ISO 8601 (UTC without a zone), as in access logs, or numbers.
  Malformed lines are left out and counted; so are requests without a key (an
  empty field, or "-"), and lone ones dated more than a day away from both their
  neighbours. A request that costs 0 passes.
  Addresses count as sluice/http counts them: however they are written, IPv6 by
  /64 (--ipv6-prefix); as they are written with --raw-keys.

Figures:
  share             refused of all requests
  keys refused      keys that were refused at least once
  p50, p95, p99     how long the refused would have had to wait, each as long as
                    its refusal said (retryAfter), if nobody else had asked
                    meanwhile; at most 0.8 % too high, never too low
  longest           the longest of these waits, exactly
  longest lock-out  the longest that a key was shut out: from its first refusal
                    until it was allowed again, or could have been
  Keys are counted exactly up to --max-keys, and the most refused ones as long
  as no more than 10,000 are refused. Where a figure is not exact, it says so.

Order:
  Requests may come up to --reorder after newer ones, while no more than a
  million lie that close together. Several files are merged by time. Memory is
  bounded, except with --sort.

Examples:
  sluice simulate access.log --policy token-bucket:100/1m,burst=20
  sluice simulate access.log* -p sliding-window:100/1m -p fixed-window:100/1m
  sluice simulate calls.csv --key tenant --time start --cost tokens \\
    -p token-bucket:1000000/1m
  zcat calls.json.gz | sluice simulate - --key user.id -p sliding-window:9/1s
${statusHelp}`;
