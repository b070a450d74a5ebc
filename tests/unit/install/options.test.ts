import { expect, test } from "bun:test";
import { parseAgentArgs, parseLinks, parsePrefix } from "../../../src/install/options.ts";

const USAGE = expect.objectContaining({ code: "USAGE" });

test("a prefix is a plain absolute path", () => {
  expect(["/usr", "/usr/", "/", "/opt/x-1.0"].map(parsePrefix)).toEqual([
    "/usr",
    "/usr",
    "",
    "/opt/x-1.0",
  ]);
  for (const bad of ["usr", "", "/a b", "/a/../b", "/a/.", "/a//b", "/$HOME", "/a\nb", "/%i"]) {
    expect(() => parsePrefix(bad)).toThrow(USAGE);
  }
});

test("arguments have nothing that a shell or a service manager would read as more", () => {
  expect(parseAgentArgs("  --allow-cid 2,16   -q ")).toBe("--allow-cid 2,16 -q");
  expect(parseAgentArgs("")).toBe("");
  for (const bad of ["a;b", "$(x)", "a'b", 'a"b', "a\nb", "a\\b", "~", "a|b", "*", "#", "`x`"]) {
    expect(() => parseAgentArgs(bad)).toThrow(USAGE);
  }
});

test("links accept none, all, or known names", () => {
  expect(parseLinks("none", ["a", "b"])).toEqual([]);
  expect(parseLinks("all", ["a", "b"])).toEqual(["a", "b"]);
  expect(parseLinks("b,b", ["a", "b"])).toEqual(["b"]);
  for (const bad of ["", "c", "a,", "../a"]) {
    expect(() => parseLinks(bad, ["a", "b"])).toThrow(USAGE);
  }
});
