import { describe, expect, test } from "bun:test";
import {
  encodeInvalidateNode,
  type FuseAttributes,
  FuseReply,
} from "../../../../src/protocols/fuse/reply.ts";
import { type FuseStruct, readStruct, sizeOf } from "../../../support/fuse-structs.ts";

const HEADER = sizeOf("fuse_out_header");

const ATTRIBUTES: FuseAttributes = {
  ino: 0xffff_ffff_0000_0001n,
  size: 2 ** 40 + 1,
  blocks: 2 ** 33 + 2,
  atime: { seconds: -1, nanoseconds: 3 },
  mtime: { seconds: 2 ** 33 + 4, nanoseconds: 5 },
  ctime: { seconds: 6, nanoseconds: 7 },
  mode: 0o100644,
  nlink: 8,
  uid: 9,
  gid: 10,
  rdev: 11,
};

const LAID_OUT = {
  ino: Number(0xffff_ffff_0000_0001n),
  size: 2 ** 40 + 1,
  blocks: 2 ** 33 + 2,
  atime: Number(0xffff_ffff_ffff_ffffn),
  mtime: 2 ** 33 + 4,
  ctime: 6,
  atimensec: 3,
  mtimensec: 5,
  ctimensec: 7,
  mode: 0o100644,
  nlink: 8,
  uid: 9,
  gid: 10,
  rdev: 11,
  blksize: 131_072,
  flags: 0,
};

/** A reply in whose buffer an earlier answer has left its bytes. */
function usedReply(): FuseReply {
  const reply = new FuseReply(4096);
  reply.bytes.fill(0xaa);
  return reply.begin();
}

/** The structures of a finished answer, in order; its length must be the sum of theirs. */
function structures(reply: FuseReply, ...names: FuseStruct[]) {
  let at = HEADER;
  const found = names.map((name) => {
    const values = readStruct(name, reply.bytes, at);
    at += sizeOf(name);
    return values;
  });
  expect(reply.length).toBe(at);
  return found;
}

describe("an answer", () => {
  test("is a header with the errno, negative", () => {
    const reply = usedReply();
    reply.finish(2 ** 32 + 5, 2);
    expect(readStruct("fuse_out_header", reply.bytes)).toEqual({
      len: 16,
      error: -2,
      unique: 2 ** 32 + 5,
    });
  });

  test("counts data that follows in another buffer", () => {
    const reply = usedReply();
    reply.finish(5, 0, 1000);
    expect(readStruct("fuse_out_header", reply.bytes)).toEqual({ len: 1016, error: 0, unique: 5 });
  });

  test("has an entry with its attributes and how long they are valid", () => {
    const reply = usedReply().entry(
      { node: 2 ** 32 + 1, generation: 2, attributes: ATTRIBUTES },
      { entryMs: 1500, attributesMs: 250 },
    );
    expect(structures(reply, "fuse_entry_out", "fuse_attr")).toEqual([
      {
        nodeid: 2 ** 32 + 1,
        generation: 2,
        entry_valid: 1,
        entry_valid_nsec: 500_000_000,
        attr_valid: 0,
        attr_valid_nsec: 250_000_000,
      },
      LAID_OUT,
    ]);
  });

  test("has an entry for a name that does not exist", () => {
    const none = { node: 0, generation: 0, attributes: undefined };
    const reply = usedReply().entry(none, { entryMs: 1000, attributesMs: 1000 });
    const [entry, attributes] = structures(reply, "fuse_entry_out", "fuse_attr");
    expect(entry).toMatchObject({ nodeid: 0, entry_valid: 1 });
    expect(attributes).toMatchObject({ ino: 0, mode: 0, size: 0 });
  });

  test("has attributes", () => {
    const reply = usedReply().attributes(ATTRIBUTES, 86_400_000);
    expect(structures(reply, "fuse_attr_out", "fuse_attr")).toEqual([
      { attr_valid: 86_400, attr_valid_nsec: 0, dummy: 0 },
      LAID_OUT,
    ]);
  });

  test("has a created file: its entry, then its handle", () => {
    const entry = { node: 3, generation: 0, attributes: ATTRIBUTES };
    const reply = usedReply()
      .entry(entry, { entryMs: 0, attributesMs: 0 })
      .opened(2 ** 32 + 9, 2);
    const found = structures(reply, "fuse_entry_out", "fuse_attr", "fuse_open_out");
    expect(found[2]).toEqual({ fh: 2 ** 32 + 9, open_flags: 2, padding: 0 });
  });

  test("has counts, offsets and bytes", () => {
    expect(structures(usedReply().size(7), "fuse_write_out")).toEqual([{ size: 7, padding: 0 }]);
    expect(structures(usedReply().offset(2 ** 33), "fuse_lseek_out")).toEqual([
      { offset: 2 ** 33 },
    ]);
    const reply = usedReply().data(Uint8Array.of(1, 2, 3));
    expect([...reply.bytes.subarray(HEADER, reply.length)]).toEqual([1, 2, 3]);
  });

  test("has the numbers of a file system", () => {
    const reply = usedReply().filesystem({
      blocks: 2 ** 33,
      bfree: 2,
      bavail: 3,
      files: 4,
      ffree: 5,
      bsize: 4096,
      frsize: 1024,
      namelen: 255,
    });
    expect(structures(reply, "fuse_kstatfs")).toEqual([
      {
        blocks: 2 ** 33,
        bfree: 2,
        bavail: 3,
        files: 4,
        ffree: 5,
        bsize: 4096,
        namelen: 255,
        frsize: 1024,
        padding: 0,
        spare: 0,
      },
    ]);
  });

  test("has the settings of the session", () => {
    const reply = usedReply().settings({
      minor: 38,
      maxReadAhead: 131_072,
      flags: 0x40_0001,
      upperFlags: 0x8000_0010,
      maxBackground: 64,
      congestionThreshold: 48,
      maxWrite: 1 << 20,
      maxPages: 256,
    });
    expect(structures(reply, "fuse_init_out")).toEqual([
      {
        major: 7,
        minor: 38,
        max_readahead: 131_072,
        flags: 0x40_0001,
        max_background: 64,
        congestion_threshold: 48,
        max_write: 1 << 20,
        time_gran: 1,
        max_pages: 256,
        map_alignment: 0,
        flags2: 0x8000_0010,
        unused: 0,
      },
    ]);
  });
});

describe("directory entries", () => {
  const name = new TextEncoder().encode("name-of-13-ch");

  test("are aligned, and end before the limit", () => {
    const reply = usedReply();
    const add = (limit: number) =>
      reply.directoryEntry({ name, ino: 5, type: 8, next: 6 }, undefined, limit);
    expect(add(39)).toBe(false);
    expect(reply.length).toBe(HEADER);
    expect(add(80)).toBe(true);
    expect(add(80)).toBe(true);
    expect(add(80)).toBe(false);
    expect(reply.length).toBe(HEADER + 80);
    for (const at of [HEADER, HEADER + 40]) {
      const entry = readStruct("fuse_dirent", reply.bytes, at);
      expect(entry).toEqual({ ino: 5, off: 6, namelen: 13, type: 8 });
      expect([...reply.bytes.subarray(at + 24, at + 40)]).toEqual([...name, 0, 0, 0]);
    }
  });

  test("have the file's entry before them with READDIRPLUS", () => {
    const reply = usedReply();
    const entry = { node: 3, generation: 1, attributes: ATTRIBUTES };
    const plus = { entry, validity: { entryMs: 1000, attributesMs: 2000 } };
    const length = 168;
    const line = { name, ino: 5n, type: 8, next: 6n };
    expect(reply.directoryEntry(line, plus, length - 1)).toBe(false);
    expect(reply.directoryEntry(line, plus, length)).toBe(true);
    expect(reply.length).toBe(HEADER + length);
    const found = readStruct("fuse_entry_out", reply.bytes, HEADER);
    expect(found).toMatchObject({ nodeid: 3, generation: 1, entry_valid: 1, attr_valid: 2 });
    expect(readStruct("fuse_attr", reply.bytes, HEADER + 40)).toEqual(LAID_OUT);
    const dirent = readStruct("fuse_dirent", reply.bytes, HEADER + 128);
    expect(dirent).toEqual({ ino: 5, off: 6, namelen: 13, type: 8 });
  });
});

describe("a notification", () => {
  test("is of a node's attributes", () => {
    const bytes = encodeInvalidateNode(2 ** 32 + 1);
    const header = readStruct("fuse_out_header", bytes);
    expect(header).toEqual({ len: bytes.length, error: 2, unique: 0 });
    const body = readStruct("fuse_notify_inval_inode_out", bytes, HEADER);
    expect(body).toEqual({ ino: 2 ** 32 + 1, off: -1, len: 0 });
    expect(bytes.length).toBe(40);
  });
});
