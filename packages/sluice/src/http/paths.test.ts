import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { excludedPaths, normalPath } from "./paths.js";

describe("normalPath", () => {
  it.each([
    ["/", "/"],
    ["/a/b", "/a/b"],
    ["/a/b/", "/a/b/"],
    ["/a?b=/../c", "/a"],
    ["/a#b", "/a"],
    ["/%61/%7Eb", "/a/~b"],
    ["/a%2fb", "/a%2Fb"],
    ["/a%20b", "/a%20b"],
    ["/a/./b", "/a/b"],
    ["/a/../b", "/b"],
    ["/a/%2E%2e/b", "/b"],
    ["/a/..", "/"],
    ["/a/b/..", "/a/"],
    ["/../../a", "/a"],
    ["/a;x=1", "/a;x=1"],
    ["http://host:80/a?b", "/a"],
    ["https://[::1]:8080/a/../b", "/b"],
  ])("%s is %s", (target, path) => {
    expect(normalPath(target)).toBe(path);
  });

  it.each([
    "",
    "*",
    "a/b",
    "host:443",
    "http:///a",
    "HTTP://host/a",
    "javascript://host/a",
    "http://user@host/a",
    "http://host\\@other/a",
    "http://host%2F/a",
    "//a",
    "/a//b",
    "/a/%",
    "/a/%zz",
    "/a/\\..\\b",
    "/a/..%2fb",
    "/a/..%5Cb",
    "/a/..;/b",
    "/a/..%3bx/b",
    "/a/\u0000",
  ])("%s is nothing that everybody reads alike", (target) => {
    expect(normalPath(target)).toBeUndefined();
  });

  it("is its own normal form, and never climbs", () => {
    const piece = fc.constantFrom("a", "B", "..", ".", "%2e", "%2F", ";", "%61", "", "%", "\\", "x;y");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const path = normalPath(`/${pieces.join("/")}`);
        if (path === undefined) return;
        expect(normalPath(path)).toBe(path);
        expect(path.split("/")).not.toContain("..");
      }),
    );
  });
});

describe("excludedPaths", () => {
  const excluded = excludedPaths(["/health", "/assets/*", "/%61bout"]);

  it("takes exact paths and prefixes", () => {
    for (const path of ["/health", "/health?deep=1", "/assets/", "/assets/a/b.js", "/about"]) {
      expect(excluded?.(path), path).toBe(true);
    }
    for (const path of ["/healthy", "/Health", "/health/", "/health/x", "/assets", "/assetsx/a", "/x/assets/a", "*"]) {
      expect(excluded?.(path), path).toBe(false);
    }
  });

  it("excludes everything by /*, but what nobody can read", () => {
    expect(excludedPaths(["/*"])?.("/any/path")).toBe(true);
    expect(excludedPaths(["/*"])?.("//any/path")).toBe(false);
  });

  it("is nothing where nothing is excluded", () => {
    expect(excludedPaths(undefined)).toBeUndefined();
    expect(excludedPaths([])).toBeUndefined();
  });

  it.each([
    "/api/../health",
    "/api/%2e%2e/health",
    "/./health",
    "/%68ealth",
    "/health#x",
    "/api/../assets/a",
    "/assets/x/../a",
    "/assets/%61",
    "/assets/a%2f",
    "http://host/api/../health",
  ])("takes %s for what it is, resolved", (target) => {
    expect(excluded?.(target)).toBe(true);
  });

  it("does not take for it what leads out of it", () => {
    for (const target of ["/assets/../hello", "/health/%2e%2e/hello", "/assets/a/../../health/.."]) {
      expect(excluded?.(target), target).toBe(false);
    }
  });

  it("takes the absolute form of HTTP, and of nothing else", () => {
    expect(excluded?.("http://host:80/health?x")).toBe(true);
    expect(excluded?.("javascript://host/health")).toBe(false);
    expect(excluded?.("http://host\\@other/health")).toBe(false);
  });

  it("excludes nothing that URLs resolve to another path", () => {
    const piece = fc.constantFrom("health", "assets", "..", ".", "%2e%2e", "%2F", ";", "%68", "", "a");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const target = `/${pieces.join("/")}`;
        if (excluded?.(target) !== true) return;
        expect(new URL(target, "http://host").pathname).toMatch(/^\/(?:health|about|assets\/.*)$/);
      }),
    );
  });

  it.each(["/a", [""], ["health"], ["/a*"], ["/a/*/b"], ["/a?b"], ["/a#b"], ["//a"], [/a/], [undefined], ["*"]])(
    "refuses %o",
    (exclude) => {
      expect(() => excludedPaths(exclude)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
    },
  );
});
