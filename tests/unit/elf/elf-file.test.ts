/** What programs say of themselves, and files that say anything. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readFileSync, writeFileSync } from "node:fs";
import { ElfFile } from "../../../src/elf/elf-file.ts";
import { VsockboxError } from "../../../src/errors.ts";
import { findRuntime } from "../../../packaging/self-contained/libraries.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const architecture = process.arch === "arm64" ? "arm64" : "x64";
const bun = { name: "bun", bytes: new Uint8Array(readFileSync(process.execPath)) };
const { loader } = findRuntime(architecture);

/** Everything that can be asked of it. */
const askAll = (file: ElfFile) => ({
  headers: file.headers,
  interpreter: file.interpreter,
  needed: file.needed,
  soname: file.soname,
  slot: file.callSlot("malloc"),
});

describe("ElfFile", () => {
  test("reads what a program asks for", () => {
    const image = ElfFile.inMemory(bun.bytes, "bun");
    expect(image.interpreter).toMatch(/^\/lib(64)?\/ld-linux-/);
    expect(image.needed).toContain("libc.so.6");
    expect(image.soname).toBeUndefined();
    expect(ElfFile.inMemory(loader.bytes, "ld.so").soname).toMatch(/^ld-linux-/);
  });

  test("finds the slot of an imported function in a segment that is written", () => {
    const image = ElfFile.inMemory(bun.bytes, "bun");
    const slot = image.callSlot("pthread_getattr_np") ?? 0;
    const home = image.loaded.find(
      ({ address, memoryBytes }) => slot >= address && slot + 8 <= address + memoryBytes,
    );
    expect(home?.flags).toBe(6);
    expect(image.callSlot("no_such_function")).toBeUndefined();
  });

  test.each([
    ["text", "hello"],
    ["nothing", ""],
    ["a 32-bit file", `\u007FELF\u0001\u0001${"\0".repeat(80)}`],
    ["a file of the other byte order", `\u007FELF\u0002\u0002${"\0".repeat(80)}`],
  ])("refuses %s", (_, text) => {
    expect(() => ElfFile.inMemory(new TextEncoder().encode(text), "x")).toThrow(
      /^cannot read ELF file x: /,
    );
  });

  test("refuses program headers after the end", () => {
    const cut = bun.bytes.slice(0, 100);
    expect(() => ElfFile.inMemory(cut, "cut")).toThrow("program headers are not valid");
  });

  test("returns the same for a file on the disk", () => {
    expect(ElfFile.read(process.execPath, askAll)).toEqual(
      askAll(ElfFile.inMemory(bun.bytes, "bun")),
    );
  });

  test("any bytes at the beginning are read or refused, in memory and on the disk", () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("damaged");
    const outcome = (ask: () => unknown) => {
      try {
        return ask();
      } catch (thrown) {
        if (thrown instanceof VsockboxError) return thrown.code;
        throw thrown;
      }
    };
    const change = fc.record({ at: fc.nat(1500), bytes: fc.uint8Array({ maxLength: 16 }) });
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.nat(9000),
        (changes, cut) => {
          const bytes = loader.bytes.slice(0, 1000 + cut);
          for (const { at, bytes: wrong } of changes) {
            bytes.set(
              wrong.subarray(0, Math.max(0, bytes.length - at)),
              Math.min(at, bytes.length),
            );
          }
          writeFileSync(path, bytes);
          const inMemory = outcome(() => askAll(ElfFile.inMemory(bytes, "x")));
          expect(outcome(() => ElfFile.read(path, askAll))).toEqual(inMemory);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
