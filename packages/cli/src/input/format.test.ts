import { describe, expect, it } from "vitest";
import { detectFormat } from "./format.js";

const common = '1.2.3.4 - - [01/Aug/1995:00:00:01 -0400] "GET / HTTP/1.0" 200 2326';

describe("detectFormat", () => {
  it.each([
    ["common", common],
    ["common", `${common}\r\n`],
    ["combined", `${common} "-" "Mozilla/5.0, like Gecko"`],
    ["common", `yline6.internorth.com\nwww-b2.pr\n${common}\n, HTTP/1.0" 200\n${common}`],
    ["common", '1.2.3.4 - - [2023-11-16T18:17:03+00:00] "GET / HTTP/1.0" 200 1'],
    ["jsonl", `{"time":"[01/Aug/1995:00:00:01 -0400]","a":"b, c"}`],
    ["tsv", "host\ttime\turl\na\t1\t/x,y"],
    ["csv", "host,time,url\na,1,/x"],
    ["csv", "host,time,url\na,1,/x\tb"],
    ["csv", 'host,time\n"a, b",[01/Aug/1995:00:00:01 -0400]'],
  ])("tells %s", (format, sample) => {
    expect(detectFormat(sample.split(/\r?\n/))).toBe(format);
  });

  it("does not guess", () => {
    expect(detectFormat([])).toBeUndefined();
    expect(detectFormat(["#!/bin/sh", "set -e"])).toBeUndefined();
  });
});
