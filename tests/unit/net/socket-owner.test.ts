import { describe, expect, test } from "bun:test";
import { isTrustedOwner } from "../../../src/net/socket-owner.ts";

describe("whose sockets are connected to", () => {
  test.each([
    ["root's, by a user", 0, 1000, [], true],
    ["one's own", 1000, 1000, [], true],
    ["root's own", 0, 0, [], true],
    ["a user's, by root", 1000, 0, [], false],
    ["another user's", 1001, 1000, [], false],
    ["that of a user who is allowed", 1001, 1000, [999, 1001], true],
    ["that of one who is not", 1002, 1000, [999, 1001], false],
    ["anybody's, where any is allowed", 65_534, 0, "any", true],
  ] as const)("%s", (_what, uid, own, allowed, expected) => {
    expect(isTrustedOwner(uid, own, allowed)).toBe(expected);
  });
});
