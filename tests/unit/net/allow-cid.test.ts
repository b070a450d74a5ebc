import { describe, expect, test } from "bun:test";
import { HOST_ONLY, isAllowed, readAllowedCids, withLocal } from "../../../src/net/allow-cid.ts";

describe("allow list", () => {
  test("by default lets in the host alone", () => {
    expect([0, 1, 2, 3].map((cid) => isAllowed(HOST_ONLY, cid))).toEqual([
      false,
      false,
      true,
      false,
    ]);
  });

  test("reads numbers and names", () => {
    const allowed = readAllowedCids("2, local,16") ?? "any";
    expect([1, 2, 3, 16].map((cid) => isAllowed(allowed, cid))).toEqual([true, true, false, true]);
  });

  test("any allows all peers", () => {
    expect(isAllowed(readAllowedCids("any") ?? HOST_ONLY, 4711)).toBe(true);
    expect(withLocal("any")).toBe("any");
  });

  test("--allow-local adds CID 1", () => {
    expect(isAllowed(withLocal(HOST_ONLY), 1)).toBe(true);
    expect(isAllowed(HOST_ONLY, 1)).toBe(false);
  });

  test("leaves Unix peers to the file mode", () => {
    expect(isAllowed(HOST_ONLY, undefined)).toBe(true);
  });

  test.each(["", "2,", "x", "2;3", "-2"])("refuses %j", (list) => {
    expect(readAllowedCids(list)).toBeUndefined();
  });
});
