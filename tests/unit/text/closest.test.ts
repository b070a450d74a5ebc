import { describe, expect, test } from "bun:test";
import { closest } from "../../../src/text/closest.ts";

describe("the closest word", () => {
  test.each([
    ["exce", ["exec", "wait"], "exec"],
    ["conn", ["connect", "cid"], "connect"],
    ["co", ["connect", "cid"], "connect"],
    ["lss", ["ls"], "ls"],
    ["sl", ["ls"], "ls"],
    ["frwrd", ["forward"], "forward"],
    ["ofrwardx", ["forward"], "forward"],
    ["shlel", ["ls", "shell"], "shell"],
    ["statt", ["start", "stat"], "start"],
    ["abcde", ["abxde", "abxyz"], "abxde"],
  ])("%s of %j is %s", (word, candidates, near) => {
    expect(closest(word, candidates)).toBe(near);
  });

  test.each([
    ["zzz", ["exec", "cid"]],
    ["halt", ["cat"]],
    ["del", ["demo"]],
    ["list", ["cid"]],
    ["catxy", ["cat"]],
    ["caxyt", ["cats"]],
    ["fxrxaxd", ["forward"]],
    ["abcdef", ["badcfe"]],
    ["a", ["b", "ab", "abc"]],
    ["", ["a", "cid"]],
    ["exec", []],
  ])("%s is not close to any of %j", (word, candidates) => {
    expect(closest(word, candidates)).toBeUndefined();
  });
});
