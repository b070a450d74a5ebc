/** Words, files and kernel words: what the options and the kernel's command line are read to. */
import { describe, expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { isInit } from "../../../src/commands/aliases.ts";
import { parseAddedFile } from "../../../src/initramfs/added-file.ts";
import { splitLine } from "../../../src/initramfs/words.ts";
import {
  initArguments,
  kernelWords,
  moduleParameters,
} from "../../../src/process/init/kernel-command-line.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

describe("a line", () => {
  test.each<[string, string[]]>([
    ["", []],
    ["  \t ", []],
    ["agent", ["agent"]],
    ["guest-exec --retry  2:7777", ["guest-exec", "--retry", "2:7777"]],
    ["/bin/sh -c 'echo \"a b\"; exit 3'", ["/bin/sh", "-c", 'echo "a b"; exit 3']],
    ['a "b \\" c" d', ["a", 'b " c', "d"]],
    ["a\\ b ''", ["a b", ""]],
    ["x'y'\"z\"", ["xyz"]],
    ["'a\\b'", ["a\\b"]],
  ])("%j is split", (line, words) => {
    expect(splitLine(line, "command")).toEqual(words);
  });

  test("without the end of a quotation is refused", () => {
    expect(() => splitLine("sh -c 'echo", "command")).toThrow("is not closed");
  });
});

describe("--file", () => {
  test("uses the mode of the file, or an explicit one", () => {
    using scratch = new ScratchDirectory();
    const source = scratch.file("a:b");
    writeFileSync(source, "x", { mode: 0o750 });
    expect(parseAddedFile(`${source}:/etc/x`)).toEqual({ source, path: "/etc/x", mode: 0o750 });
    expect(parseAddedFile(`${source}:/etc//y/../x:0600`)).toEqual({
      source,
      path: "/etc/x",
      mode: 0o600,
    });
    symlinkSync(source, scratch.file("link"));
    expect(parseAddedFile(`${scratch.file("link")}:/x`)).toMatchObject({ mode: 0o750 });
  });

  test.each(["", "x", "x:", ":/x", "x:relative", "x:/dir/", "x:/a:9999", "x:/a:rwx"])(
    "%j is refused",
    (text) => {
      expect(() => parseAddedFile(text)).toThrow("expected SOURCE:DEST[:MODE]");
    },
  );

  test("names a source that is not a file", () => {
    expect(() => parseAddedFile("/nowhere/x:/x")).toThrow("ENOENT");
    expect(() => parseAddedFile("/tmp:/x")).toThrow("not a regular file");
  });
});

describe("the kernel's command line", () => {
  const words = kernelWords(
    'console=ttyS0 quiet virtio_mmio.device=4K@0xd0000000:5 virtio-mmio.device=4K@0xd0001000:6 dyndbg="file a.c +p" x.y="a b" -- --sandbox all vsock.debug=1\n',
  );

  test("has arguments of the init after --", () => {
    expect(initArguments(words)).toEqual(["--sandbox", "all", "vsock.debug=1"]);
    expect(initArguments(kernelWords("quiet splash\n"))).toEqual([]);
    expect(initArguments(kernelWords(""))).toEqual([]);
  });

  test("has parameters of modules before it", () => {
    expect(moduleParameters(words, "virtio_mmio")).toBe(
      "device=4K@0xd0000000:5 device=4K@0xd0001000:6",
    );
    expect(moduleParameters(words, "vsock")).toBe("");
    expect(moduleParameters(words, "mmio")).toBe("");
    expect(moduleParameters(words, "x")).toBe('y="a b"');
  });
});

test("process 1 is the init of an image under that name alone", () => {
  expect(isInit("/init", 1)).toBe(true);
  expect(isInit("/sbin/init", 1)).toBe(true);
  expect(isInit("/init", 2)).toBe(false);
  expect(isInit("/usr/bin/vsockbox", 1)).toBe(false);
});
