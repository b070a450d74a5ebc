import { describe, expect, test } from "bun:test";
import { addReceiverSummary, transferFlags } from "../../../../src/agent/client/file-transfer.ts";
import { TransferSummary } from "../../../../src/agent/transfer/transfer.ts";

describe("the summary of an upload", () => {
  test("has the receiver's counts of complete files", () => {
    const summary = new TransferSummary();
    Object.assign(summary, { files: 3, bytes: 30, reused: 3, directories: 2 });
    addReceiverSummary(summary, { files: 2, bytes: 20, reused: 1, directories: 9 });
    expect(summary).toMatchObject({ files: 2, bytes: 20, reused: 1, directories: 2 });
  });

  test("keeps the sender's counts if the receiver has sent none", () => {
    const summary = new TransferSummary();
    Object.assign(summary, { files: 3, bytes: 30, reused: 3 });
    addReceiverSummary(summary, {});
    expect(summary).toMatchObject({ files: 3, bytes: 30, reused: 3 });
  });

  test("refuses counts that are not whole numbers", () => {
    expect(() => addReceiverSummary(new TransferSummary(), { files: -1 })).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }),
    );
  });

  test("lists and counts once a failure that both ends have noted", () => {
    const summary = new TransferSummary();
    summary.noteReported("read /a: no");
    addReceiverSummary(summary, { errorCount: 2, errors: ["read /a: no", "write /b: no"] });
    expect(summary.toWire()).toEqual({ errorCount: 2, errors: ["read /a: no", "write /b: no"] });
  });
});

test("the flags of a transfer are off by default", () => {
  const off = { preserve: false, resume: false, checksum: false, keep: false };
  expect(transferFlags({})).toEqual(off);
  const on = { preserve: true, resume: true, checksum: true, keep: true };
  expect(transferFlags({ ...on, recursive: true })).toEqual(on);
});
