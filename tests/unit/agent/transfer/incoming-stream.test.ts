import { describe, expect, test } from "bun:test";
import { IncomingStream } from "../../../../src/agent/transfer/incoming-stream.ts";
import { FILE_STREAM } from "../../../../src/agent/transfer/transfer.ts";
import { Stream } from "../../../../src/protocols/agent/channel-frames.ts";
import { encodeTreeRecord, type TreeRecord } from "../../../../src/protocols/agent/tree-records.ts";

const status = { mode: 0o644, seconds: 0, nanoseconds: 0, uid: 0, gid: 0 };
const name = Buffer.from("file");
const file = (size: number | undefined): TreeRecord => ({ kind: "file", name, size, ...status });

const recordItem = (record: TreeRecord) =>
  ({ kind: "record", value: encodeTreeRecord(record) }) as const;
const dataItem = (text: string, stream: Stream = FILE_STREAM) =>
  ({ kind: "data", stream, bytes: Buffer.from(text) }) as const;

/** The text of a file that comes as these items. */
function read(...items: Parameters<IncomingStream["accept"]>[0][]): string {
  const stream = new IncomingStream(undefined, false);
  const pieces = items.flatMap((item) => Array.from(stream.accept(item)));
  stream.assertEnded();
  return Buffer.concat(pieces).toString();
}

const END: TreeRecord = { kind: "end", sha256: undefined, error: undefined };
const refused = expect.objectContaining({ code: "BAD_DATA" });

test("one file is read", () => {
  expect(read(recordItem(file(2)), dataItem("hi"), recordItem(END))).toBe("hi");
});

describe("is refused:", () => {
  test.each<TreeRecord>([
    { kind: "directory", name, ...status },
    { kind: "leave" },
    { kind: "link", name, target: Buffer.from("/etc"), ...status },
    { kind: "from", offset: 1 },
    file(2),
    { kind: "hole", bytes: 3 },
  ])("%j in a file", (record) => {
    expect(() => read(recordItem(file(2)), recordItem(record))).toThrow(refused);
  });

  test.each<Stream>([Stream.Input, Stream.Errors])("data on stream %d", (stream) => {
    expect(() => read(recordItem(file(2)), dataItem("hi", stream), recordItem(END))).toThrow(
      refused,
    );
  });

  test("a record of no known kind", () => {
    const value = { kind: "result" };
    expect(() => read(recordItem(file(2)), { kind: "record", value })).toThrow(refused);
  });
});
