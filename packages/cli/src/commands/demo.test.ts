import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { run } from "../../test/run.js";
import { demoTraffic } from "./demo-traffic.js";

describe("sluice demo", () => {
  it("shows three policies that stop the abuser, the last of them also a few people", async () => {
    const { status, stdout, stderr } = await run(["demo"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("192.0.2.66");
    expect(stdout).toMatch(/^fixed-window:100\/1m,anchor=epoch +[\d,]+ +[\d,]+ +\d+\.\d % +1$/m);
    expect(stdout).toMatch(/^sliding-window:100\/1m +[\d,]+ +[\d,]+ +\d+\.\d % +1$/m);
    expect(stdout).toMatch(/^token-bucket:100\/1m,burst=10 +[\d,]+ +[\d,]+ +\d+\.\d % +3\d\d$/m);
    expect(stdout).toContain("npx sluice simulate access.log");
  });

  it("fits 80 columns, with and without colours", async () => {
    for (const [options, coloured] of [
      [{}, false],
      [{ columns: 80 }, true],
      [{ columns: 80, environment: { NO_COLOR: "1" } }, false],
    ] as const) {
      const { stdout } = await run(["demo"], options);
      const plain = stripVTControlCharacters(stdout);
      expect(plain !== stdout).toBe(coloured);
      for (const line of plain.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
    }
  });

  it("makes the same traffic from the same seed, in order of time", async () => {
    const traffic = demoTraffic(1);
    expect(demoTraffic(1)).toEqual(traffic);
    expect(demoTraffic(2)).not.toEqual(traffic);
    expect(traffic.length).toBeGreaterThan(50_000);
    expect(traffic.every(({ at }, index) => index === 0 || at >= (traffic[index - 1] as { at: number }).at)).toBe(true);
  });

  it("prints its traffic as a log that simulate reads whole", async () => {
    const { stdout: log } = await run(["demo", "--log"]);
    const policy = ["--policy", "sliding-window:100/1m"];
    const { stdout } = await run(["simulate", "-", "--json", ...policy], { stdin: [Buffer.from(log)] });
    const traffic = demoTraffic(1);
    expect(JSON.parse(stdout)).toMatchObject({
      requests: traffic.length,
      malformed: 0,
      distinctKeys: new Set(traffic.map(({ key }) => key)).size,
    });
  });
});
