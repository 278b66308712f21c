import { fixedWindow, slidingCounter, slidingWindow, tokenBucket } from "sluice";
import { describe, expect, it } from "vitest";
import { exitStatus } from "./command-error.js";
import { checkDistinct, parsePolicy, policyExamples } from "./policy-spec.js";

describe("parsePolicy", () => {
  it.each([
    ["token-bucket:100/1m", tokenBucket({ rate: 100, per: "1m" })],
    ["token-bucket:100/1m,burst=20", tokenBucket({ rate: 100, per: "1m", burst: 20 })],
    [
      "token-bucket:100/1m,burst=20,refill=interval",
      tokenBucket({ rate: 100, per: "1m", burst: 20, refill: "interval" }),
    ],
    ["sliding-window:5/250ms", slidingWindow({ limit: 5, window: 250 })],
    ["sliding-counter:5/1.5h", slidingCounter({ limit: 5, window: "1.5h" })],
    ["fixed-window:1000/1d", fixedWindow({ limit: 1000, window: "1d" })],
    ["fixed-window:1000/1 w,anchor=epoch", fixedWindow({ limit: 1000, window: "1w", anchor: "epoch" })],
  ])("reads %s, and names it after itself", (text, { algorithm, limit, window }) => {
    expect(parsePolicy(text)).toEqual({ algorithm, limit, window, name: text });
  });

  it("takes another name, and spaces between the settings", () => {
    expect(parsePolicy("token-bucket:9/1s, burst=2, name=the api")).toMatchObject({ name: "the api", limit: 2 });
  });

  it("shows examples that it reads itself", () => {
    expect(policyExamples.map((example) => parsePolicy(example).name)).toEqual(policyExamples);
  });

  it.each([
    ["", "expected ALGORITHM:LIMIT/WINDOW"],
    ["token-bucket", "expected ALGORITHM:LIMIT/WINDOW"],
    ["token-bucket:100", "expected ALGORITHM:LIMIT/WINDOW"],
    ["leaky-bucket:1/1s", 'there is no algorithm "leaky-bucket", only token-bucket, sliding-window'],
    ["constructor:1/1s", 'there is no algorithm "constructor"'],
    ["token-bucket:x/1s", 'Expected LIMIT to be a whole number, got "x"'],
    ["token-bucket:0/1s", "Expected rate to be a whole number from 1"],
    ["token-bucket:1.5/1s", "Expected LIMIT to be a whole number"],
    ["token-bucket:-1/1s", "Expected LIMIT to be a whole number"],
    ["sliding-window:99999999999999999999/1s", "Expected limit to be a whole number"],
    [
      "token-bucket:1/60",
      'Expected WINDOW to be a number with its unit (ms, s, m, h, d, w), got "60": did you mean 60s?',
    ],
    ["token-bucket:1/m", "did you mean 1m?"],
    ["token-bucket:1/minute", "did you mean 1m?"],
    ["token-bucket:1/5 Hours", "did you mean 5h?"],
    ["token-bucket:1/1m;burst=20", "settings stand behind a comma"],
    ["token-bucket:1/1 month", "Expected WINDOW to be milliseconds or a number with its unit"],
    ["token-bucket:1/0s", "Expected WINDOW to be a duration from"],
    ["token-bucket:1/1s,burst=2,burst=3", "burst= is given twice"],
    ["token-bucket:1/1s,burst=x", "Expected burst to be a whole number"],
    ["token-bucket:1/1s,refill=often", "Expected refill to be 'continuous' or 'interval'"],
    ["token-bucket:1/1s,anchor=epoch", 'token-bucket takes burst=, refill=, name= and not "anchor=epoch"'],
    ["sliding-window:1/1s,burst=2", 'sliding-window takes name= and not "burst=2"'],
    ["fixed-window:1/1s,anchor=last", "Expected anchor to be 'first' or 'epoch'"],
    ["fixed-window:1/1s,", 'and not ""'],
    ["fixed-window:1/1s,name=", "to be 1 to 128 characters"],
    ["fixed-window:1/1s,name=käse", "of printable ASCII"],
  ])("explains what is wrong with %j, with an example", (text, why) => {
    const error = expect.objectContaining({
      message: expect.stringContaining(why) as string,
      status: exitStatus.usage,
    }) as Error;
    expect(() => parsePolicy(text)).toThrow(error);
    expect(() => parsePolicy(text)).toThrow(/; for example --policy \S+:\d+\/\S+$/);
  });

  it("wants policies that can be told apart", () => {
    const [one, other] = [
      parsePolicy("sliding-window:1/1s"),
      parsePolicy("fixed-window:1/1s,name=sliding-window:1/1s"),
    ];
    expect(() => checkDistinct([one, other])).toThrow('two policies are called "sliding-window:1/1s"');
    checkDistinct([one, parsePolicy("sliding-window:2/1s")]);
  });
});
