import { describe, expect, test } from "bun:test";
import type { ChannelItem } from "../../../../src/agent/channel/channel.ts";
import { IncomingStream } from "../../../../src/agent/transfer/incoming-stream.ts";
import { reasonNotToMove } from "../../../../src/agent/server/move-file.ts";
import { ReceivedBytes } from "../../../../src/agent/transfer/receive-limit.ts";
import type { InodeStatus } from "../../../../src/ffi/directory-calls.ts";
import type { JsonObject } from "../../../../src/protocols/agent/json-fields.ts";

describe("ReceivedBytes", () => {
  test("counts to its limit exactly", () => {
    const limit = new ReceivedBytes(10);
    limit.expect(10);
    limit.add(4);
    limit.add(6);
    expect(() => limit.add(1)).toThrow("EFBIG");
    expect(() => limit.expect(1)).toThrow("EFBIG");
    limit.add(0);
  });

  test("without a limit anything passes", () => {
    new ReceivedBytes(undefined).add(Number.MAX_SAFE_INTEGER);
  });
});

describe("IncomingStream", () => {
  const record = (value: JsonObject): ChannelItem => ({ kind: "record", value });
  const file = (size?: number) =>
    record({ kind: "file", name: "f", ...(size === undefined ? {} : { size }) });
  const data = (text: string): ChannelItem => ({
    kind: "data",
    stream: 1,
    bytes: Buffer.from(text),
  });
  const hole = (bytes: number) => record({ kind: "hole", bytes });
  const end = record({ kind: "end" });

  function read(items: ChannelItem[], maxBytes?: number, checksum = false): Buffer {
    const stream = new IncomingStream(maxBytes, checksum);
    const pieces = items.flatMap((item) => [...stream.accept(item)]);
    stream.assertEnded();
    return Buffer.concat(pieces);
  }

  test("bytes and holes, in order", () => {
    const bytes = read([file(600_003), data("a"), hole(600_000), data("bc"), end]);
    expect(
      bytes.equals(Buffer.concat([Buffer.from("a"), Buffer.alloc(600_000), Buffer.from("bc")])),
    ).toBe(true);
    expect(read([file(), data("any"), data("thing"), end]).toString()).toBe("anything");
  });

  test.each([
    ["a hole without a size", [file(), hole(1)], "unknown size"],
    ["a hole beyond the size", [file(2), data("a"), hole(2)], "more than its 2 bytes"],
    ["bytes beyond the size", [file(2), data("abc")], "more than its 2 bytes"],
    ["too few bytes", [file(2), data("a"), end], "only 1 of 2 bytes were received"],
    ["no end", [file(2), data("ab")], "ended too early"],
    ["nothing", [], "ended too early"],
    ["bytes before the file", [data("a")], "outside of the file"],
    ["bytes after the file", [file(), end, data("a")], "outside of the file"],
    ["a second file", [file(), end, file()], "unexpected second file"],
    ["a directory", [record({ kind: "directory", name: "d" })], "unexpected directory record"],
    ["an error", [file(), record({ kind: "end", error: "it is broken" })], "it is broken"],
    ["what cannot be read", [record({ kind: "skipped", name: "f", error: "no" })], "no"],
  ] as const)("%s is refused", (_, items, message) => {
    expect(() => read([...items])).toThrow(message);
  });

  test("a limit holds for an announced size, for bytes and for holes", () => {
    expect(() => read([file(11)], 10)).toThrow("EFBIG");
    expect(() => read([file(), data("12345678901")], 10)).toThrow("EFBIG");
    expect(read([file(10), hole(10), end], 10)).toHaveLength(10);
  });

  test("a sha256 is compared", () => {
    const sha256 = new Bun.CryptoHasher("sha256").update("a\0\0").digest("hex");
    const items = [file(3), data("a"), hole(2)];
    expect(read([...items, record({ kind: "end", sha256 })], undefined, true)).toHaveLength(3);
    const wrong = record({ kind: "end", sha256: sha256.replaceAll(/./g, "0") });
    expect(() => read([...items, wrong], undefined, true)).toThrow("sha256");
    expect(() => read([...items, end], undefined, true)).toThrow("sha256");
  });
});

describe("reasonNotToMove", () => {
  const inode: InodeStatus = {
    ...{ mode: 0o100644, size: 0, blocks: 0, links: 1, uid: 0, gid: 0, inode: 10n, device: 1 },
    ...{ node: { major: 0, minor: 0 }, isMountPoint: false },
    ...{ accessed: { seconds: 0, nanoseconds: 0 }, modified: { seconds: 0, nanoseconds: 0 } },
  };
  const directory = { ...inode, mode: 0o040755 };

  test.each([
    ["a file to a new name", inode, undefined, true, undefined],
    ["a file over a file", inode, inode, true, undefined],
    ["a directory over a directory", directory, directory, true, undefined],
    ["a file over a file that stays", inode, inode, false, "EEXIST"],
    ["a file over a directory", inode, directory, true, "EISDIR"],
    ["a directory over a file", directory, inode, true, "ENOTDIR"],
    ["a mount point", { ...directory, isMountPoint: true }, undefined, true, "EBUSY"],
  ] as const)("%s", (_, source, existing, replace, expected) => {
    expect(reasonNotToMove(source, directory, existing, replace)).toBe(expected);
  });
});
