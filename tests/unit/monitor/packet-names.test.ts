import { describe, expect, test } from "bun:test";
import {
  flagNames,
  monitorOpName,
  OP_NAMES,
  opName,
  socketTypeName,
} from "../../../src/monitor/packet-names.ts";

describe("names", () => {
  test("of operations are those of virtio 1.2, section 5.10.6.1", () => {
    expect([0, 1, 2, 3, 4, 5, 6, 7, 8].map(opName)).toEqual([
      undefined,
      "request",
      "response",
      "rst",
      "shutdown",
      "rw",
      "credit-update",
      "credit-request",
      undefined,
    ]);
    expect(Object.keys(OP_NAMES)).toHaveLength(7);
  });

  test("of the kinds of vsockmon", () => {
    const names = [0, 1, 2, 3, 4, 5].map(monitorOpName);
    expect(names).toEqual(["unknown", "connect", "disconnect", "control", "payload", "unknown"]);
  });

  test("of types", () => {
    expect([0, 1, 2, 3].map(socketTypeName)).toEqual([undefined, "stream", "seqpacket", undefined]);
  });

  test.each([
    [4, 1, 0, []],
    [4, 1, 1, ["receive"]],
    [4, 1, 2, ["send"]],
    [4, 2, 3, ["receive", "send"]],
    [4, 1, 0x8000_0005, ["receive", "0x80000004"]],
    [5, 2, 1, ["eom"]],
    [5, 2, 3, ["eom", "eor"]],
    [5, 1, 1, ["0x1"]],
    [1, 2, 3, ["0x3"]],
  ])("of flags of op %d, type %d: %d", (op, type, flags, names) => {
    expect(flagNames(op, type, flags)).toEqual(names);
  });
});
