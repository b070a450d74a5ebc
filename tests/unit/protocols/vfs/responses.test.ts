import { describe, expect, test } from "bun:test";
import { encodeMap } from "../../../../src/protocols/vfs/cbor.ts";
import type { FileStat } from "../../../../src/file-stat.ts";
import {
  decodeServerFrame,
  encodeDataHead,
  encodeNote,
  encodeResponse,
  NOTE_KINDS,
  type NoteKind,
  type VfsResponse,
} from "../../../../src/protocols/vfs/responses.ts";

const time = { seconds: 1, nanoseconds: 2 };
const stat: FileStat = {
  ...{ ino: 5n, dev: 1n, birth: 0n, mode: 0o100_600, nlink: 1, uid: 1, gid: 2, rdev: 0 },
  ...{ size: 10, blocks: 8, atime: time, mtime: time, ctime: time, blksize: 4096 },
};
const fileSystem = {
  ...{ bsize: 1, frsize: 2, blocks: 2 ** 50, bfree: 4, bavail: 5, files: 6, ffree: 7, namelen: 8 },
};
const payloadOf = (frame: Uint8Array) => frame.subarray(4);
const bytes = (text: string) => new Uint8Array(Buffer.from(text));

describe("answers", () => {
  test.each<[string, VfsResponse]>([
    ["nothing", { errno: 0 }],
    ["an errno", { errno: 116 }],
    ["facts", { errno: 0, stat }],
    ["a handle and facts", { errno: 0, handle: 2 ** 32 - 1, stat }],
    ["data", { errno: 0, data: bytes("abc") }],
    ["numbers that are 0", { errno: 0, written: 0, offset: 0, handle: 0 }],
    ["an offset", { errno: 0, offset: 2 ** 53 - 1, written: 2 ** 32 - 1 }],
    ["facts of a file system", { errno: 0, fileSystem }],
  ])("with %s come back", (_, response) => {
    const absent = {
      ...{ stat: undefined, handle: undefined, data: undefined, written: undefined },
      ...{ offset: undefined, fileSystem: undefined },
    };
    expect(decodeServerFrame(payloadOf(encodeResponse(9, response)))).toEqual({
      id: 9,
      response: { ...absent, ...response },
    });
  });

  test("send their data from where they are", () => {
    const frame = Buffer.concat([encodeDataHead(4, 3), bytes("xyz")]);
    expect(decodeServerFrame(payloadOf(frame))).toMatchObject({
      id: 4,
      response: { errno: 0, data: Buffer.from("xyz") },
    });
  });

  test.each([
    ["no id", { err: 0 }],
    ["no err", { id: 1 }],
    ["a positive err", { id: 1, err: 2 }],
    ["an err that is no errno", { id: 1, err: -4096 }],
    ["short facts", { id: 1, err: 0, stat: new Uint8Array(103) }],
    ["few numbers of a file system", { id: 1, err: 0, fs: [1, 2, 3, 4, 5, 6, 7] }],
    ["text as data", { id: 1, err: 0, data: "a" }],
  ])("with %s are refused", (_, fields) => {
    expect(() => decodeServerFrame(encodeMap(fields))).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }),
    );
  });

  test("have errnos up to the kernel's last", () => {
    expect(decodeServerFrame(encodeMap({ id: 1, err: -4095 }))).toMatchObject({
      response: { errno: 4095 },
    });
  });
});

describe("notifications", () => {
  test.each(Object.keys(NOTE_KINDS) as NoteKind[])("of kind %s come back", (kind) => {
    for (const newPath of [undefined, bytes("d/e")]) {
      const note = { kind, path: bytes("a"), newPath };
      expect(decodeServerFrame(payloadOf(encodeNote(note)))).toEqual({ note });
    }
  });

  test("of a kind of later versions are an overflow", () => {
    expect(decodeServerFrame(encodeMap({ note: 99 }))).toEqual({
      note: { kind: "overflow", path: new Uint8Array(0), newPath: undefined },
    });
  });

  test("cannot name a path out of the root", () => {
    expect(() => decodeServerFrame(encodeMap({ note: 1, path: bytes("../x") }))).toThrow("`..`");
    expect(() =>
      decodeServerFrame(encodeMap({ note: 4, path: bytes("x"), new_path: bytes("/") })),
    ).toThrow("empty name");
  });
});
