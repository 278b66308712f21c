import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunOptions, run } from "../../test/run.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-simulate-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Writes a file, and says where. */
function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** A log line some seconds after noon. */
function line(seconds: number, host = "1.2.3.4"): string {
  const time = new Date(seconds * 1000 + 43_200_000).toISOString().slice(11, 19);
  return `${host} - - [21/Nov/2026:${time} +0000] "GET / HTTP/1.1" 200 10\n`;
}

const policy = ["--policy", "fixed-window:2/10s"];

interface Report {
  readonly requests: number;
  readonly malformed: number;
  readonly policies: readonly { readonly allowed: number; readonly refused: number }[];
  readonly inputs: readonly Record<string, unknown>[];
}

async function json(parameters: readonly string[], options?: RunOptions): Promise<Report> {
  const { status, stdout, stderr } = await run(["simulate", ...policy, "--json", ...parameters], options);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as Report;
}

describe("sluice simulate", () => {
  it("reads plain and gzip files alike, by content and not by name", async () => {
    const log = [0, 1, 2, 11].map((seconds) => line(seconds)).join("");
    const members = Buffer.concat([gzipSync(log.slice(0, 100)), gzipSync(log.slice(100))]);
    const inputs = [file("plain.gz", log), file("zipped.log", gzipSync(log)), file("members", members)];
    for (const input of inputs) {
      const { requests, policies } = await json([input]);
      expect({ requests, allowed: policies[0]?.allowed }).toEqual({ requests: 4, allowed: 3 });
    }
  });

  it("reads standard input, plain and zipped, however it comes in pieces", async () => {
    const log = Buffer.from(`\uFEFF${[0, 1, 2, 11].map((seconds) => line(seconds)).join("")}`);
    for (const bytes of [log, gzipSync(log)]) {
      const stdin = Array.from(bytes, (byte) => Buffer.from([byte]));
      const { requests, inputs } = await json(["-"], { stdin });
      expect(requests).toBe(4);
      expect(inputs).toEqual([expect.objectContaining({ file: "standard input", format: "common", lines: 4 })]);
    }
  });

  it("judges by the same first lines, however the input comes in pieces", async () => {
    const head = '{"time":1700000000,"msg":"boot"}\n';
    const lines = Array.from({ length: 5 }, (_, index) => `{"time":${1_700_000_001 + index},"ip":"a"}\n`).join("");
    for (const options of [[], ["--format", "jsonl"]]) {
      const stdin = [Buffer.from(head), Buffer.from(lines)];
      const { requests, inputs } = await json(["-", ...options], { stdin });
      expect({ requests, inputs }).toMatchObject({ requests: 5, inputs: [{ key: "ip", withoutKey: 1 }] });
    }
    const table = [Buffer.from("# made by hand\n"), Buffer.from("time,ip\n5,a\n"), Buffer.from("6,a\n7,b\n")];
    const { status, stderr } = await run(["simulate", ...policy, "-"], { stdin: table });
    expect({ status, stderr: stderr.slice(0, 55) }).toEqual({
      status: 2,
      stderr: 'sluice: none of the columns "# made by hand" is known t',
    });
  });

  it("leaves lone requests with a wrong clock out, wherever they stand, and says how wrong it is", async () => {
    const wrong = [line(0).replace("2026", "2070"), line(0).replace("2026", "1999")];
    const good = [0, 1, 2, 3].map((seconds) => line(seconds));
    for (const odd of wrong) {
      for (let place = 0; place <= good.length; place++) {
        const forward = place === 0 ? odd === wrong[1] : place === good.length && odd === wrong[0];
        const report = await json([file("clock.log", good.toSpliced(place, 0, odd).join(""))]);
        // a first one long before the others, or a last one long after them, may be right
        expect(report).toMatchObject({ requests: forward ? 5 : 4, malformed: forward ? 0 : 1 });
      }
    }
    const [future = "", past = ""] = wrong;
    const report = await json([file("clocks.log", [good[0], future, good[1], past, good[2], future, past].join(""))]);
    expect(report).toMatchObject({
      malformedSamples: [
        { line: 2, why: "its time is 16071 d away from its neighbours", text: future.trim() },
        { line: 4, why: "its time is 9862 d away from its neighbours", text: past.trim() },
        {},
      ],
    });
  });

  it("takes a long silence for what it is, and a log that is not in order for what that is", async () => {
    const days = (...numbers: number[]): string =>
      numbers.map((day) => line(0).replace("21/Nov", `${String(day).padStart(2, "0")}/Nov`)).join("");
    expect(await json([file("silence.log", days(1, 5, 9, 9, 20))])).toMatchObject({ requests: 5, malformed: 0 });
    expect(await json([file("days.log", days(9, 1, 20, 5)), "--sort"])).toMatchObject({ requests: 4, malformed: 0 });
    const { status, stderr } = await run(["simulate", ...policy, file("backwards.log", days(20, 15, 10, 5))]);
    expect(status).toBe(1);
    expect(stderr).toContain("too late to be put in order");
  });

  it("says when the cap on what may wait to be put in order was hit", async () => {
    const stamp = (second: number): string => `${1_700_000_000 + second},a\n`;
    const crowd = file("crowd.csv", `time,ip\n${stamp(1).repeat(1_100_000)}${stamp(0)}${stamp(1)}`);
    const { status, stderr } = await run(["simulate", ...policy, crowd]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr:
        `sluice: ${crowd}, line 1100002: this request came 1 s too late to be put in order` +
        " (more than 1,000,000 requests lie within the 1 min of --reorder); use --sort to load and sort everything\n",
    });
  }, 60_000);

  it("counts addresses as sluice/http does, unless they are to count as they are written", async () => {
    const hosts = ["2001:db8::1", "2001:DB8::2", "2001:db8:0:0:3::", "::ffff:1.2.3.4", "1.2.3.4"];
    const log = file("addresses.log", hosts.map((host) => line(0, host)).join(""));
    const keys = async (...options: string[]) => (await json([log, ...options])) as unknown as { distinctKeys: number };
    expect(await keys()).toMatchObject({ distinctKeys: 2, policies: [{ refused: 1 }] });
    expect(await keys("--ipv6-prefix", "128")).toMatchObject({ distinctKeys: 4 });
    expect(await keys("--raw-keys")).toMatchObject({ distinctKeys: 5 });
  });

  it("shows what it guessed, and files that were read alike on one line", async () => {
    const files = [1, 2, 3, 4, 5].map((name) => file(`${name}.csv`, "time,host\n5,a\n"));
    const plain = { columns: 120, environment: { NO_COLOR: "1" } };
    const { stdout } = await run(["simulate", ...policy, ...files], plain);
    expect(stdout).toMatch(/1\.csv, [^\n]+2\.csv and 3 more: csv;\s+key: host, time: time, cost: 1\n/);
    expect(stdout.replaceAll(/\s+/g, " ")).toContain("host was taken for the client, for want of a better field");
    const vhosts = file("vhosts.log", `example.com:80 ${line(0)}example.com:80 ${line(1, "5.6.7.8")}`);
    const report = await json([vhosts]);
    expect(report).toMatchObject({ requests: 2, inputs: [{ doubt: expect.stringContaining("virtual host") }] });
  });

  it("has no delimiter for a log", async () => {
    const parameters = [file("plain.log", line(0)), "--format", "common", "--delimiter", ";"];
    const { status, stderr } = await run(["simulate", ...policy, ...parameters]);
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: "sluice: --delimiter is for CSV and TSV, and not for common\n",
    });
  });

  it("shows nothing of strangers raw on a terminal", async () => {
    const { stderr } = await run(["simulate", ...policy, file("raw.csv", "a\u009b31m,\u202eb\n1,2\n")]);
    expect(stderr).toContain('"a\\u{9b}31m", "\\u{202e}b"');
  });

  it("merges several files by time, whatever their order and format", async () => {
    const one = file("one.log", line(0) + line(2) + line(11));
    const two = file("two.csv", "time,host\n2026-11-21T12:00:01Z,1.2.3.4\n2026-11-21T12:00:12Z,1.2.3.4\n");
    for (const files of [
      [one, two],
      [two, one],
    ]) {
      const report = await json(files);
      expect(report).toMatchObject({ requests: 5, from: "2026-11-21T12:00:00.000Z", to: "2026-11-21T12:00:12.000Z" });
      expect(report.policies).toMatchObject([
        { allowed: 4, refused: 1, longestLockout: 8000, wait: { longest: 8000 } },
      ]);
    }
  });

  it("takes the earlier file first where moments are equal", async () => {
    const cheap = file("cheap.csv", "time,cost\n5,1\n5,1\n");
    const dear = file("dear.csv", "time,cost\n5,2\n");
    const refused = async (...files: string[]) =>
      (await json([...files, "--cost", "cost"])).policies.map((each) => each.refused);
    expect(await refused(cheap, dear)).toEqual([1]);
    expect(await refused(dear, cheap)).toEqual([2]);
  });

  it("puts small disorder into order, and refuses more, unless it may sort", async () => {
    const late = file("late.log", [50, 0, 49, 110, 51].map((seconds) => line(seconds)).join(""));
    expect((await json([late])).policies).toMatchObject([{ allowed: 4, refused: 1 }]);
    const { status, stdout, stderr } = await run(["simulate", ...policy, "--reorder", "49s", late]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toBe(
      `sluice: ${late}, line 2: this request came 1 s too late to be put in order (requests may come up to 49 s after newer ones);` +
        " use --sort to load and sort everything, or a longer --reorder\n",
    );
    expect((await json([late, "--reorder", "1w"])).policies).toMatchObject([{ allowed: 4, refused: 1 }]);
    expect((await json([late, "--reorder", "0.1s", "--sort"])).policies).toMatchObject([{ allowed: 4, refused: 1 }]);
  });

  it("sorts whatever the disorder, and gives what the sorted log gives", async () => {
    const seconds = Array.from({ length: 5000 }, (_, index) => (index * 7919) % 5003);
    const log = (order: readonly number[]): string => order.map((each) => line(each, ["a", "b"][each % 2])).join("");
    const shuffled = await json([file("shuffled.log", log(seconds)), "--sort"]);
    const sorted = await json([file("sorted.log", log(seconds.toSorted((one, other) => one - other)))]);
    const { inputs: _files, ...report } = shuffled;
    expect(report).toEqual({ ...sorted, inputs: undefined });
    expect(shuffled.policies[0]?.refused).toBeGreaterThan(100);
  });

  it("reads JSON lines, CSV and TSV, with chosen fields", async () => {
    const rows = [0, 1, 2].map((second) => ({ start: 1_700_000_000 + second, who: { id: "a" }, tokens: 1 }));
    const jsonl = file("calls.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
    const fields = ["--time", "start", "--cost", "tokens"];
    expect((await json([jsonl, ...fields, "--key", "who.id"])).policies).toMatchObject([{ allowed: 2, refused: 1 }]);
    const table = (delimiter: string): string =>
      ["start", "id", "tokens"].join(delimiter) +
      rows.map(({ start, tokens }) => `\n${[start, "a", tokens].join(delimiter)}`).join("");
    for (const [name, delimiter, more] of [
      ["calls.csv", ",", []],
      ["calls.tsv", "\t", []],
      ["calls.txt", ";", ["--delimiter", ";"]],
    ] as const) {
      const report = await json([file(name, table(delimiter)), ...fields, "--key", "id", ...more]);
      expect(report.policies).toMatchObject([{ allowed: 2, refused: 1 }]);
    }
  });

  it("counts malformed lines and lines without a key, with samples, and goes on", async () => {
    const odd = `${line(0)}\n   \ngarbage \u001b[31m\n${line(1)}${"x".repeat(2_000_000)}\n${line(2)}torn [21/Nov`;
    const input = file("odd.log", odd);
    const report = await json([input]);
    expect(report).toMatchObject({ requests: 3, malformed: 3 });
    expect(report).toMatchObject({
      malformedSamples: [
        { file: input, line: 4, why: "no time in [brackets]", text: "garbage \u001b[31m" },
        { file: input, line: 6, why: "longer than 1048576 bytes", text: "x".repeat(200) },
        { file: input, line: 8, why: "no time in [brackets]", text: "torn [21/Nov" },
      ],
    });
    const { stdout } = await run(["simulate", ...policy, input]);
    expect(stdout).toContain("3 of 6 lines are malformed and left out, such as\n");
    expect(stdout).toContain("\n  line 4 (no time in [brackets]): garbage \\u{1b}[31m\n");
    const users = await run([
      "simulate",
      ...policy,
      "--key",
      "user",
      file("users.log", line(0) + line(1).replace("- -", "- me")),
    ]);
    expect(users.stdout).toContain("1 request of 1 key");
    expect(users.stdout).toContain("1 request has no key: left out.");
  });

  it.each([
    ["nothing at all", "", "holds no requests"],
    ["blank lines", "\n\n \n  ", "holds no requests"],
    ["UTF-16", Buffer.from("\uFEFFa,b\n", "utf16le"), "is UTF-16; make it UTF-8 first"],
    ["no known format", "hello\nworld\n", "cannot tell the format of"],
    ["another delimiter", "time;ip\n5;a\n", "columns that are separated by ; need --delimiter ';'"],
    ["lines that end with CR", "time,ip\r5,a\r", "end with CR alone"],
    ["only malformed lines", "time,host\nsoon,a\nlater,b\n", "all of 2 lines are malformed as csv, such as"],
    ["no keys", "time,host\n5,\n6,-\n", "has a host; choose another --key"],
    ["damaged gzip", Buffer.concat([gzipSync("x").subarray(0, 12), Buffer.alloc(9, 255)]), "its gzip data is damaged"],
    ["half a gzip", gzipSync("time,host\n5,a\n").subarray(0, 20), "its gzip data ends too early"],
    ["a first line without end", "x".repeat(3_000_000), "cannot tell the format of"],
  ])("ends with one sentence on %s", async (name, content, sentence) => {
    const input = file(`${name.replaceAll(" ", "-")}.txt`, content);
    const { status, stdout, stderr } = await run(["simulate", ...policy, input]);
    expect(stderr).toContain(sentence);
    expect(stderr).toMatch(/^sluice: [^\n]+\n$/);
    expect(stderr).toContain(input);
    expect(stdout).toBe("");
    expect([1, 2]).toContain(status);
  });

  it.each([
    ["a missing file", ["nowhere.log"], 1, "cannot read nowhere.log: there is no such file"],
    ["a folder", [tmpdir()], 1, "it is a directory"],
    ["no policy", ["x.log"], 2, "give at least one limit to try, for example --policy token-bucket:100/1m,burst=20"],
    ["a wrong policy", ["x.log", "-p", "token-bucket:1"], 2, "expected ALGORITHM:LIMIT/WINDOW"],
    ["two policies of one name", ["x.log", ...policy, ...policy], 2, "two policies are called"],
    ["standard input twice", ["-", "-", ...policy], 2, "can be read only once"],
    ["no file", [...policy], 2, "missing required argument 'file'"],
    ["an unknown option", ["x.log", "--polcy", "x"], 2, "unknown option '--polcy'"],
    ["an unknown format", ["x.log", "--format", "xml"], 2, "Allowed choices are auto, common"],
    ["a wrong number", ["x.log", "--top", "many"], 2, "Expected a whole number from 0 to 1000"],
    ["a wrong bound", ["x.log", "--max-keys", "0"], 2, "Expected a whole number from 1"],
    ["a wrong duration", ["x.log", "--reorder", "60"], 2, "such as 90s"],
    ["a key and none", ["x.log", "--key", "a", "--no-key"], 2, "--key and --no-key exclude each other"],
    ["none and a key", ["x.log", "--no-key", "-k", "a"], 2, "--key and --no-key exclude each other"],
    ["a setting twice", ["x.log", "-p", "token-bucket:1/1s,burst=1,burst=2"], 2, "burst= is given twice"],
    ["a wrong delimiter", ["x.log", "--delimiter", "||"], 2, "Expected one ASCII character"],
    ["a wrong unit", ["x.log", "--time-unit", "days"], 2, "Allowed choices are s, ms, us, ns"],
  ])("ends with one sentence and a status on %s", async (what, parameters, status, sentence) => {
    const wanted = what === "a missing file" || what === "a folder" ? [...parameters, ...policy] : parameters;
    const found = await run(["simulate", ...wanted]);
    expect(found.stderr).toContain(sentence);
    expect(found.stderr).toMatch(/^sluice: /);
    expect(found.stderr).not.toMatch(/^ +at /m);
    expect({ status: found.status, stdout: found.stdout }).toEqual({ status, stdout: "" });
  });

  it("reports everything as JSON, with null for what is not there", async () => {
    const { stdout } = await run(["simulate", "-", "--json", "-p", "sliding-window:9/1s"], {
      stdin: [Buffer.from(line(0))],
    });
    expect(JSON.parse(stdout)).toEqual({
      version: 1,
      requests: 1,
      cost: 1,
      from: "2026-11-21T12:00:00.000Z",
      to: "2026-11-21T12:00:00.000Z",
      distinctKeys: 1,
      distinctKeysExact: true,
      policies: [
        {
          policy: "sliding-window:9/1s",
          algorithm: "sliding-window",
          limit: 9,
          window: 1000,
          allowed: 1,
          refused: 0,
          refusedShare: 0,
          allowedCost: 1,
          refusedCost: 0,
          impossible: 0,
          refusedKeys: 0,
          refusedKeysExact: true,
          topRefusedKeys: [],
          wait: null,
          longestLockout: 0,
          longestLockoutKey: null,
          exact: true,
        },
      ],
      malformed: 0,
      malformedSamples: [],
      withoutKey: 0,
      inputs: [
        {
          file: "standard input",
          format: "common",
          key: "host",
          time: "time",
          cost: null,
          doubt: null,
          lines: 1,
          requests: 1,
          malformed: 0,
          withoutKey: 0,
        },
      ],
    });
  });

  it("prints a table for people", async () => {
    const log = [0, 1, 2, 2, 11].map((second) => line(second)).join("") + line(11, "5.6.7.8");
    const policies = [...policy, "-p", "token-bucket:100/1m,name=generous"];
    const { stdout } = await run(["simulate", "-", ...policies], { stdin: [Buffer.from(log)] });
    expect(stdout).toBe(
      [
        "6 requests of 2 keys",
        "2026-11-21 12:00:00 UTC to 2026-11-21 12:00:11 UTC (11 s)",
        "standard input: common; key: host, time: time, cost: 1",
        "",
        "Policy              allowed  refused   share  keys refused",
        "fixed-window:2/10s        4        2  33.3 %             1",
        "generous                  6        0   0.0 %             0",
        "",
        "If the refused had waited  p50  p95  p99  longest",
        "fixed-window:2/10s         8 s  8 s  8 s      8 s",
        "generous                     -    -    -        -",
        "",
        "Longest lock-out",
        "fixed-window:2/10s  8 s  1.2.3.4",
        "",
        "Most refused by fixed-window:2/10s",
        "  2  100.0 %  1.2.3.4",
        "",
      ].join("\n"),
    );
  });

  it("shows costs, calls that can never pass, and keys that would upset a terminal", async () => {
    const key = `${"k".repeat(100)}\u001b[2J`;
    const rows = [`5,1,${key}`, `5,30,${key}`, `6,1,${key}`, `7,1,${key}`];
    const table = file("costs.csv", `time,cost,host\n${rows.join("\n")}\n`);
    const { stdout } = await run(["simulate", table, "--cost", "cost", ...policy]);
    expect(stdout).toContain("4 requests of 1 key, cost 33\n");
    expect(stdout).toMatch(/cost refused\nfixed-window:2\/10s +2 +2 +50\.0 % +1 +93\.9 %/);
    expect(stdout).toContain(
      "\nfixed-window:2/10s:\n  1 of the refused cost more than the limit; these can never pass.\n",
    );
    expect(stdout).not.toContain("\u001b");
    expect(stdout).toMatch(/^ {2}2 {2}100\.0 % {2}k+…$/m);
  });

  it("draws a progress bar on a terminal, unless it is not wanted, and takes it away", async () => {
    const log = file("bar.log", Array.from({ length: 50 }, (_, second) => line(second)).join(""));
    const shown = await run(["simulate", log, ...policy], { columns: 80, environment: { NO_COLOR: "1" } });
    expect(shown.stderr).toContain("requests");
    expect(shown.stderr).toContain("\u001b[?25l");
    expect(shown.stderr.lastIndexOf("\u001b[?25h")).toBeGreaterThan(shown.stderr.lastIndexOf("\u001b[?25l"));
    expect(shown.stdout).not.toContain("\u001b");
    const hidden = await run(["simulate", log, ...policy, "--no-progress"], { columns: 80 });
    expect(hidden.stderr).toBe("");
    const failed = await run(["simulate", file("bad.csv", "time,a\nx,b\n"), ...policy], { columns: 80 });
    expect(failed.stderr.lastIndexOf("\u001b[?25h")).toBeGreaterThan(failed.stderr.lastIndexOf("\u001b[?25l"));
    expect(failed.stderr).toMatch(/sluice: no request in [^\n]+\n$/);
  });

  it("says what is not exact", async () => {
    const rows = Array.from({ length: 40 }, (_, row) => `${5 + Math.floor(row / 4)},k${row % 20}`);
    const table = file(
      "many.csv",
      `time,host\n${[...rows, ...rows.map((row) => row.replace(/^\d+/, "20"))].join("\n")}\n`,
    );
    const { stdout } = await run(["simulate", table, "-p", "sliding-window:1/1h", "--max-keys", "5"]);
    expect(stdout).toContain("80 requests of more than 5 keys");
    expect(stdout).toContain("More keys than --max-keys were in use at once");
  });
});

describe("the README", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  /** The first column of the first table under a heading, without its head. */
  const rows = (heading: string): string[] => {
    const [, behind = ""] = readme.split(`${heading}\n`);
    const table = behind.split("\n\n").find((block) => block.trim().startsWith("|")) ?? "";
    const [, , ...lines] = table.trim().split("\n");
    return lines.map((row) => (row.split("|")[1] ?? "").trim());
  };

  it("knows the policies, the figures and the status that the help knows", async () => {
    const help = (await run(["simulate", "--help"])).stdout;
    const [policies = "", figures = "", statuses = ""] = ["Policies:", "Figures:", "Exit status:"].map(
      (title) => help.split(title)[1]?.split("\n\n")[0],
    );
    for (const row of rows("### Policies")) expect(policies).toContain(row.replaceAll("`", ""));
    for (const row of rows("### What the figures mean")) expect(figures).toContain(`  ${row} `);
    for (const status of rows("## Exit status").join(", ").split(", ")) expect(statuses).toContain(status);
  });

  it("documents every option, and every field of --json", async () => {
    const help = (await run(["simulate", "--help"])).stdout;
    const unnamed = ["--help", "--no-progress"];
    for (const [option] of help.matchAll(/--[a-z][a-z\d-]+/g)) {
      if (!unnamed.includes(option)) expect(readme).toContain(option);
    }
    const report = await json([file("fields.log", `${line(0).repeat(3)}x`)]);
    const names = JSON.stringify(report).matchAll(/"(\w+)":/g);
    const documented = readme.replaceAll("[]`", "`");
    for (const [, name] of names) expect(documented).toContain(`\`${name}\``);
  });
});

describe("sluice", () => {
  it("shows its help, its version, and what it does not know", async () => {
    const help = await run(["--help"]);
    expect(help).toMatchObject({ status: 0, stderr: "" });
    expect(help.stdout).toMatch(/simulate \[options\] <file\.\.\.>[\s\S]*demo[\s\S]*Exit status:\n {2}0 {4}done/);
    const simulate = await run(["simulate", "--help"]);
    expect(simulate).toMatchObject({ status: 0, stderr: "" });
    for (const row of simulate.stdout.split("\n")) expect(row.length, row).toBeLessThanOrEqual(80);
    expect((await run(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await run([])).toMatchObject({ status: 2, stdout: "" });
    expect(await run(["simulat"])).toMatchObject({ status: 2 });
  });
});
