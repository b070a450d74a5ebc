import { describe, expect, test } from "bun:test";
import { decodeMap, encodeMap } from "../../../../src/protocols/vfs/cbor.ts";
import {
  decodeGoResponse,
  encodeGoRequest,
  encodeGoResponse,
  type GoRequest,
  type GoResponse,
  readGoRequest,
} from "../../../../src/protocols/vfs/go-messages.ts";
import { GO_OPERATIONS, type GoOperation } from "../../../../src/protocols/vfs/operations.ts";

const mapOf = (frame: Uint8Array) => decodeMap(frame.subarray(4));
const NONE: Omit<GoRequest, "op"> = {
  ...{
    path: "",
    newPath: "",
    handle: 0,
    offset: 0,
    size: 0,
    data: new Uint8Array(0),
    flags: 0,
    mode: 0,
  },
};

describe("requests of the Go dialect", () => {
  test("have their numbers", () => {
    expect(Object.values(GO_OPERATIONS)).toEqual(Array.from({ length: 19 }, (_, i) => i) as never);
  });

  test.each(Object.keys(GO_OPERATIONS) as GoOperation[])("come back: %s", (op) => {
    const request: GoRequest = {
      ...{
        op,
        path: "/workspace/ä",
        newPath: "/workspace/b",
        handle: 2 ** 40,
        offset: 2 ** 41,
        size: 4,
      },
      ...{ data: Uint8Array.of(5), flags: 34_817, mode: 33_188 },
    };
    expect(readGoRequest(mapOf(encodeGoRequest(request)))).toEqual({ request });
  });

  test("omit fields that are zero, which are read as zero", () => {
    const frame = encodeGoRequest({
      op: "getattr",
      path: "/w",
      ...{ handle: 0, offset: 0, size: 0, flags: 0, mode: 0 },
    });
    expect([...mapOf(frame).keys()].sort()).toEqual(["op", "path"]);
    expect(readGoRequest(mapOf(frame))).toEqual({
      request: { op: "getattr", ...NONE, path: "/w" },
    });
    expect([
      ...mapOf(encodeGoRequest({ op: "write", data: new Uint8Array(0), newPath: "" })).keys(),
    ]).toEqual(["op"]);
  });

  test.each([
    ["an unknown operation", { op: 19 }, 38],
    ["an operation above a byte", { op: 300 }, 38],
    ["no operation", { path: "/a" }, 22],
    ["bytes as path", { op: 1, path: new Uint8Array(1) }, 22],
    ["a handle below 0", { op: 3, fh: -1 }, 22],
    ["an offset below 0", { op: 3, fh: 1, off: -1 }, 22],
  ])("with %s are answered", (_, fields, errno) => {
    expect(readGoRequest(decodeMap(encodeMap(fields)))).toEqual({ errno });
  });

  test("with a name that is not UTF-8 are answered", () => {
    const bytes = Buffer.from("a2626f70016470617468622fff", "hex");
    expect(readGoRequest(decodeMap(bytes))).toEqual({ errno: 84 });
  });
});

describe("answers of the Go dialect", () => {
  const stat = { size: 5, mode: 420, mtime: -3, isDirectory: true, ino: 2n ** 64n - 1n };
  const none = { data: new Uint8Array(0), written: 0, handle: 0, entries: [], stat: undefined };

  test.each<[string, GoResponse]>([
    ["nothing", { errno: 0 }],
    ["an errno", { errno: 2 }],
    ["facts", { errno: 0, stat }],
    ["data", { errno: 0, data: Uint8Array.of(1) }],
    ["a count", { errno: 0, written: 7 }],
    ["a handle", { errno: 0, handle: 1 }],
    [
      "entries",
      { errno: 0, entries: [{ name: "a", isDirectory: true, mode: 2 ** 31, size: 1, ino: 9n }] },
    ],
  ])("come back with %s", (_, response) => {
    expect(decodeGoResponse(encodeGoResponse(response).subarray(4))).toEqual({
      ...none,
      ...response,
    });
  });

  test("omit all zeros but err and the first facts", () => {
    const zero = { errno: 0, written: 0, handle: 0, data: new Uint8Array(0), entries: [] };
    expect(Buffer.from(encodeGoResponse(zero)).toString("hex")).toBe("00000006a16365727200");
    const facts = { size: 0, mode: 0, mtime: 0, isDirectory: false, ino: 0n };
    expect(mapOf(encodeGoResponse({ errno: 0, stat: facts })).get("stat")).toEqual(
      new Map<string, number | boolean>([
        ["mode", 0],
        ["size", 0],
        ["mtime", 0],
        ["is_dir", false],
      ]),
    );
    const entry = { name: "a", isDirectory: false, mode: 0, size: 0, ino: 0n };
    expect(mapOf(encodeGoResponse({ errno: 0, entries: [entry] })).get("entries")).toEqual([
      new Map<string, string | number | boolean>([
        ["name", "a"],
        ["is_dir", false],
        ["mode", 0],
        ["size", 0],
      ]),
    ]);
  });

  test("have the bytes of the Go server", () => {
    const hex = (response: GoResponse) =>
      Buffer.from(encodeGoResponse(response).subarray(4)).toString("hex");
    const facts = {
      ...{ size: 4096, mode: 2 ** 31 + 0o755, mtime: 0x6b0a_ffef, isDirectory: true },
      ino: 0x0a78_a08d_a0cf_1145n,
    };
    expect(hex({ errno: 0, stat: facts })).toBe(
      "a263657272006473746174a56473697a65191000646d6f64651a800001ed656d74696d651a6b0affef6669735f646972f563696e6f1b0a78a08da0cf1145",
    );
    const entry = { name: "f", isDirectory: false, mode: 0, size: 5, ino: 0n };
    expect(hex({ errno: 0, entries: [entry] })).toBe(
      "a2636572720067656e747269657381a4646e616d6561666669735f646972f4646d6f6465006473697a6505",
    );
    expect(hex({ errno: 2 })).toBe("a16365727221");
  });

  test("lack the entries whose names are not UTF-8", () => {
    const bytes = Buffer.from(
      "a2636572720067656e747269657382a1646e616d656162a1646e616d6562c328",
      "hex",
    );
    expect(decodeGoResponse(bytes).entries?.map(({ name }) => name)).toEqual(["b"]);
  });

  test("have a large directory in one frame", () => {
    const entries = Array.from({ length: 5000 }, (_, i) => ({
      ...{ name: `f${i}`, isDirectory: false, mode: 0, size: i, ino: BigInt(i) },
    }));
    expect(decodeGoResponse(encodeGoResponse({ errno: 0, entries }).subarray(4)).entries).toEqual(
      entries,
    );
  });

  test.each([
    ["a positive err", { err: 1 }],
    ["facts that are a number", { err: 0, stat: 1 }],
    ["entries that are a map", { err: 0, entries: { name: "a" } }],
    ["an entry that is text", { err: 0, entries: ["a"] }],
    ["an entry without a name", { err: 0, entries: [{ size: 1 }] }],
  ])("are refused with %s", (_, fields) => {
    expect(() => decodeGoResponse(encodeMap(fields))).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }),
    );
  });
});
