/** What packing refuses; that what it makes runs is for tests/integration/self-contained.test.ts. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ElfFile, PT } from "../../../../src/elf/elf-file.ts";
import { findRuntime } from "../../../../packaging/self-contained/libraries.ts";
import {
  packedArchitecture,
  packSelfContained,
  type Parts,
} from "../../../../packaging/self-contained/pack.ts";
import { readStub } from "../../../../packaging/self-contained/stub-image.ts";
import { encodeStubTable, TABLE_BYTES } from "../../../../packaging/self-contained/stub-table.ts";

const architecture = process.arch === "arm64" ? "arm64" : "x64";
const bun = { name: "bun", bytes: new Uint8Array(readFileSync(process.execPath)) };

function parts(): Parts {
  const { loader, libraries } = findRuntime(architecture);
  return { program: bun, loader, libraries, stub: readStub(architecture).image };
}

describe("packSelfContained", () => {
  test("recognises the architecture of the executable, and refuses others", () => {
    expect(packedArchitecture(bun)).toBe(architecture);
    const bytes = bun.bytes.slice();
    new DataView(bytes.buffer).setUint16(18, 243, true);
    expect(() => packedArchitecture({ name: "x", bytes })).toThrow(
      "pack x: its machine is riscv, not x86-64 or arm64",
    );
  });

  test("keeps the program's segments, and adds two", () => {
    const before = ElfFile.inMemory(bun.bytes, "bun");
    const after = ElfFile.inMemory(packSelfContained(parts()), "packed");
    expect(after.interpreter).toBeUndefined();
    expect(after.only(PT.NOTE)).toBeUndefined();
    expect(after.loaded.slice(0, -2)).toEqual(before.loaded);
    expect(after.entry).toBe((after.loaded.at(-2)?.address ?? 0) + TABLE_BYTES);
    expect(after.headers.length).toBe(before.headers.length);
  });

  test("packs the same bytes again", () => {
    expect(Bun.hash(packSelfContained(parts()))).toBe(Bun.hash(packSelfContained(parts())));
  });

  test("refuses a program that needs more than is packed", () => {
    const whole = parts();
    const libraries = whole.libraries.filter(({ name }) => name !== "libm.so.6");
    expect(() => packSelfContained({ ...whole, libraries })).toThrow("it needs libm.so.6");
  });

  test("refuses parts for different architectures", () => {
    const whole = parts();
    const bytes = new Uint8Array(whole.loader.bytes);
    new DataView(bytes.buffer).setUint16(18, architecture === "x64" ? 183 : 62, true);
    const loader = { name: "ld.so", bytes };
    expect(() => packSelfContained({ ...whole, loader })).toThrow("the program for");
  });

  test("refuses what has been packed already", () => {
    const program = { name: "packed", bytes: packSelfContained(parts()) };
    expect(() => packSelfContained({ ...parts(), program })).toThrow("PT_INTERP");
  });
});

describe("encodeStubTable", () => {
  const empty = {
    ...{ programEntry: 1, programHeaders: 2, programHeaderCount: 3, data: 4, dataBytes: 5 },
    ...{ loaderEntry: 6, loaderBytes: 7, attributesSlot: 8, segments: [], libraries: [] },
  };

  test("has the layout of the C structure", () => {
    const segments = [{ address: 10, offset: 11, fileBytes: 12, memoryBytes: 13, protection: 5 }];
    const libraries = [{ offset: 20, bytes: 21, name: "libc.so.6" }];
    const table = encodeStubTable({ ...empty, segments, libraries });
    const words = Array.from(new BigUint64Array(table.buffer), Number);
    expect(table.length).toBe(TABLE_BYTES);
    expect(words.slice(0, 14)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 1, 10, 11, 12, 13, 5]);
    // Six segments of five words, however many there are.
    expect(words.slice(9 + 30, 9 + 33)).toEqual([1, 20, 21]);
    expect(new TextDecoder().decode(table.subarray(336, 346))).toBe("libc.so.6\0");
  });

  test("refuses more than fits", () => {
    const library = { offset: 0, bytes: 0, name: "x" };
    const nine = Array.from({ length: 9 }, () => library);
    expect(() => encodeStubTable({ ...empty, libraries: nine })).toThrow();
    const long = [{ ...library, name: "x".repeat(32) }];
    expect(() => encodeStubTable({ ...empty, libraries: long })).toThrow("too long");
  });
});

describe("findRuntime", () => {
  test("returns glibc's version", () => {
    expect(findRuntime(architecture).glibc).toMatch(/GLIBC|2\.\d+/i);
  });

  test("names the packages to install if they are missing", () => {
    expect(() => findRuntime("arm64", "/nonexistent")).toThrow(
      expect.objectContaining({ hint: expect.stringContaining("libc6-arm64-cross") }),
    );
  });
});
