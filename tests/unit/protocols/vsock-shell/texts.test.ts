import { describe, expect, test } from "bun:test";
import {
  decodeTerminalExtension,
  decodeTransferExtension,
  encodeTransferExtension,
} from "../../../../src/protocols/vsock-shell/extension.ts";
import {
  decodeStatus,
  decodeWindowSize,
  encodeStatus,
  encodeWindowSize,
} from "../../../../src/protocols/vsock-shell/payloads.ts";
import {
  decodeAnswer,
  decodePair,
  decodeText,
  encodeGrant,
  encodePair,
  encodeRefusal,
  encodeText,
} from "../../../../src/protocols/vsock-shell/texts.ts";

const bytes = (text: string) => Buffer.from(text);
const shown = (data: Uint8Array) => Buffer.from(data).toString("latin1");

describe("texts", () => {
  test("an object after the NUL is invisible to a reader that stops there", () => {
    const data = encodeText("ls -l", { v: 1 });
    expect(shown(data)).toBe('ls -l\0{"v":1}');
    expect(shown(decodeText(data).text)).toBe("ls -l");
    expect(decodeText(data).extension).toEqual({ v: 1 });
  });

  test("without a NUL, and with nothing after it, there is only the text", () => {
    expect(decodeText(bytes("ls"))).toEqual({ text: bytes("ls"), extension: undefined });
    expect(decodeText(bytes("ls\0")).extension).toBeUndefined();
    expect(decodeText(bytes("")).extension).toBeUndefined();
  });

  test("anything but an object after the NUL is refused", () => {
    for (const rest of ["x", "[]", "1", '"a"', "\0", "{"]) {
      expect(() => decodeText(bytes(`ls\0${rest}`))).toThrow();
    }
  });

  test("more than a message holds is the caller's mistake", () => {
    expect(encodeText("x".repeat(4095))).toHaveLength(4096);
    expect(() => encodeText("x".repeat(4096))).toThrow(/4097 bytes/);
  });
});

describe("source and destination", () => {
  test("have exactly one blank between them", () => {
    const { source, destination } = decodePair(bytes("/a /b"));
    expect([shown(source), shown(destination)]).toEqual(["/a", "/b"]);
    for (const wrong of ["", "/a", "/a ", " /b", "/a /b c", "/a  /b"]) {
      expect(() => decodePair(bytes(wrong))).toThrow();
    }
  });

  test("with a blank of their own are something that a C server refuses", () => {
    expect(shown(encodePair(bytes("/a b"), bytes("/c")))).toBe("/-vsockbox-/- /-vsockbox-/-");
    expect(shown(encodePair(bytes("/\xff"), bytes("/c")))).toContain(" /c");
  });
});

describe("answers", () => {
  test("are never longer than a C client's buffer", () => {
    const grant = encodeGrant(bytes(`/${"s".repeat(400)} /${"d".repeat(400)}`));
    expect(grant).toHaveLength(299);
    expect(grant.at(-1)).toBe(0);
    expect(encodeRefusal("x".repeat(1000))).toHaveLength(299);
    expect(encodeRefusal("short")).toEqual(new Uint8Array(bytes("KO short\0")));
  });

  test("grant if they begin with OK, as for the C client", () => {
    expect(decodeAnswer(encodeGrant(bytes("/a /b"), { v: 1 }))).toEqual({
      granted: true,
      extension: { v: 1 },
    });
    expect(decodeAnswer(encodeRefusal("no"))).toEqual({ granted: false, reason: "no" });
    expect(() => decodeAnswer(bytes("maybe\0"))).toThrow(/neither OK nor KO/);
  });
});

describe("numbers", () => {
  test("struct winsize is rows, columns and pixels, little-endian", () => {
    const data = encodeWindowSize({ rows: 24, cols: 300 });
    expect(Buffer.from(data).toString("hex")).toBe("18002c0100000000");
    expect(decodeWindowSize(data)).toEqual({ rows: 24, cols: 300 });
    expect(() => decodeWindowSize(data.subarray(1))).toThrow(/7 bytes/);
  });

  test("the status is an i32, and missing from a C server", () => {
    expect(Buffer.from(encodeStatus(137)).toString("hex")).toBe("89000000");
    expect(decodeStatus(encodeStatus(-1))).toBe(-1);
    expect(decodeStatus(new Uint8Array(0))).toBeUndefined();
    expect(() => decodeStatus(new Uint8Array(3))).toThrow(/3 bytes/);
  });
});

describe("extensions", () => {
  const transfer = {
    features: ["tree"],
    path: new Uint8Array(bytes("/srv/a b\xff")),
    name: new Uint8Array(bytes("a b")),
    window: 1_000_000,
    overwrite: true,
    recursive: false,
    resume: true,
    checksum: false,
    preserve: false,
  };

  test("a transfer comes back as it was", () => {
    const value: unknown = JSON.parse(JSON.stringify(encodeTransferExtension(transfer)));
    const read = decodeTransferExtension(value as Record<string, unknown>);
    expect({ ...read, path: shown(read.path), name: shown(read.name) }).toEqual({
      ...transfer,
      path: shown(transfer.path),
      name: "a b",
    });
  });

  test.each([
    [{ v: 0 }],
    [{ v: 1, path: "" }],
    [{ name: "../x" }],
    [{ name: "a/b" }],
    [{ path: "a\0b" }],
    [{ overwrite: "yes" }],
    [{ features: "tree" }],
    [{ window: 1000 }],
    [{ window: 2 ** 40 }],
  ])("%j is refused", (change) => {
    const value = { ...encodeTransferExtension(transfer), ...change };
    expect(() => decodeTransferExtension(value)).toThrow();
  });

  test("a later version may send more", () => {
    expect(decodeTerminalExtension({ v: 7, term: "vt100", max_data: 1e9, more: [] })).toEqual({
      term: "vt100",
      maxData: 65_536,
    });
    expect(() => decodeTerminalExtension({ v: 1, max_data: 100 })).toThrow(/below 4096/);
  });
});
