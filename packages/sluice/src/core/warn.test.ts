import { afterEach, describe, expect, it, vi } from "vitest";
import { warn, warnOnce } from "./warn.js";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe("a warning", () => {
  it("is a SluiceWarning of the process", () => {
    const emitted = vi.spyOn(process, "emitWarning").mockReturnValue();
    warn("Mind the gap.");
    expect(emitted.mock.calls).toEqual([["Mind the gap.", "SluiceWarning"]]);
  });

  it("is said once for each thing that it is about", () => {
    const emitted = vi.spyOn(process, "emitWarning").mockReturnValue();
    warnOnce("a gap", "Mind the gap.");
    warnOnce("a gap", "Mind the gap again.");
    warnOnce("another gap", "Mind that too.");
    expect(emitted.mock.calls.map(([message]) => message)).toEqual(["Mind the gap.", "Mind that too."]);
  });

  it.each([undefined, {}])("goes to the console where the process has no warnings: %o", (stub) => {
    const said = vi.spyOn(console, "warn").mockReturnValue();
    vi.stubGlobal("process", stub);
    warn("Mind the gap.");
    vi.unstubAllGlobals();
    expect(said.mock.calls).toEqual([["SluiceWarning: Mind the gap."]]);
  });
});
