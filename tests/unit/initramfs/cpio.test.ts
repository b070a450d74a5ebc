/** Archives, read by the cpio program. */
import { describe, expect, test } from "bun:test";
import { truncateSync, writeFileSync } from "node:fs";
import { archiveBytes, type CpioEntry, padding } from "../../../src/initramfs/cpio.ts";
import { withDirectories } from "../../../src/initramfs/directories.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";
import { describeWith } from "../../support/tools.ts";

const text = (content: string) => new TextEncoder().encode(content);

const ENTRIES: CpioEntry[] = [
  { kind: "directory", path: "dev", mode: 0o755 },
  { kind: "character device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
  { kind: "file", path: "note", mode: 0o640, data: text("hello") },
  { kind: "file", path: "empty", mode: 0o644, data: new Uint8Array(0) },
  { kind: "symlink", path: "init", target: "usr/bin/vsockbox" },
];

const bytesOf = (entries: readonly CpioEntry[]) => Buffer.concat([...archiveBytes(entries)]);

function cpio(archive: Uint8Array, ...options: string[]): string {
  const { exitCode, stdout } = Bun.spawnSync(["cpio", "--quiet", ...options], {
    stdin: archive,
    env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
  });
  expect(exitCode).toBe(0);
  return stdout.toString();
}

describeWith(["cpio"], "an archive, as cpio reads it", () => {
  test("has kinds, modes, owners, times and contents", () => {
    const lines = cpio(bytesOf(ENTRIES), "-itvn").trimEnd().split("\n");
    expect(lines.map((line) => line.replaceAll(/\s+/g, " "))).toEqual([
      "drwxr-xr-x 2 0 0 0 Jan 1 1970 dev",
      "crw------- 1 0 0 5, 1 Jan 1 1970 dev/console",
      "-rw-r----- 1 0 0 5 Jan 1 1970 note",
      "-rw-r--r-- 1 0 0 0 Jan 1 1970 empty",
      "lrwxrwxrwx 1 0 0 16 Jan 1 1970 init -> usr/bin/vsockbox",
    ]);
    expect(cpio(bytesOf(ENTRIES), "-i", "--to-stdout", "note")).toBe("hello");
  });

  test("copies files of any size in pieces", () => {
    using scratch = new ScratchDirectory();
    const data = crypto.getRandomValues(new Uint8Array(60_001));
    const large = Buffer.concat(Array.from({ length: 40 }, () => data));
    writeFileSync(scratch.file("large"), large);
    const pieces = [
      ...archiveBytes([
        { kind: "copy", path: "large", mode: 0o755, source: scratch.file("large") },
      ]),
    ];
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(1024 * 1024);
    const archive = Buffer.concat(pieces);
    expect(archive.length % 4).toBe(0);
    const { stdout } = Bun.spawnSync(["cpio", "--quiet", "-i", "--to-stdout", "large"], {
      stdin: archive,
    });
    expect(stdout.equals(large)).toBe(true);
  });
});

describe("an archive", () => {
  test("of the same entries is the same bytes, and ends at the alignment of the next one", () => {
    expect(bytesOf(ENTRIES).equals(bytesOf(ENTRIES))).toBe(true);
    expect(bytesOf(ENTRIES).length % 4).toBe(0);
    expect([0, 1, 2, 3, 4].map((offset) => padding(offset).length)).toEqual([0, 3, 2, 1, 0]);
  });

  test("of a file that becomes shorter on the way is an error", () => {
    using scratch = new ScratchDirectory();
    const source = scratch.file("shrinks");
    writeFileSync(source, new Uint8Array(3 * 1024 * 1024));
    const pieces = archiveBytes([{ kind: "copy", path: "x", mode: 0o644, source }]);
    pieces.next();
    truncateSync(source, 10);
    expect(() => [...pieces]).toThrow("it became shorter");
  });
});

describe("directories", () => {
  const file = (path: string, content = ""): CpioEntry => ({
    kind: "file",
    path,
    mode: 0o644,
    data: text(content),
  });
  const paths = (entries: readonly CpioEntry[]) => entries.map(({ path }) => path);

  test("come before their entries, once", () => {
    const entries = withDirectories([file("a/b/c"), file("a/d"), file("tmp/x")], {
      directories: ["proc"],
    });
    expect(paths(entries)).toEqual(["proc", "a", "a/b", "a/b/c", "a/d", "tmp", "tmp/x"]);
    expect(entries.find(({ path }) => path === "tmp")).toMatchObject({ mode: 0o1777 });
  });

  test("of an overlay end with a slash, which keeps links to directories", () => {
    expect(paths(withDirectories([file("lib/x")], { keepsLinks: true }))).toEqual([
      "lib/",
      "lib/x",
    ]);
  });

  test("the first of two entries with one path counts", () => {
    const [only, ...others] = withDirectories([file("x", "first"), file("x", "second")]);
    expect(only).toEqual(file("x", "first"));
    expect(others).toEqual([]);
  });

  test("that are files as well are an error", () => {
    expect(() => withDirectories([file("usr"), file("usr/bin")])).toThrow(
      "a directory of the image",
    );
  });
});
