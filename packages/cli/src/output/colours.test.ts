import { describe, expect, it } from "vitest";
import { coloursFor } from "./colours.js";

const terminal = { isTTY: true };
const pipe = {};

describe("coloursFor", () => {
  it.each([
    ["a terminal", terminal, {}, true],
    ["a pipe", pipe, {}, false],
    ["a pipe on a build machine", pipe, { CI: "true" }, false],
    ["a terminal that cannot", terminal, { TERM: "dumb" }, false],
    ["a terminal with NO_COLOR", terminal, { NO_COLOR: "1" }, false],
    ["a terminal with an empty NO_COLOR", terminal, { NO_COLOR: "" }, true],
    ["a pipe with FORCE_COLOR", pipe, { FORCE_COLOR: "1" }, true],
    ["a pipe with FORCE_COLOR=0", pipe, { FORCE_COLOR: "0" }, false],
    ["FORCE_COLOR and NO_COLOR", pipe, { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
  ])("on %s", (_what, stream, environment, coloured) => {
    expect(coloursFor(stream, environment).red("x") !== "x").toBe(coloured);
  });
});
