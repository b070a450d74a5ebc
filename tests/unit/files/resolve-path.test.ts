import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  closeSync,
  fstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { isLinkMode, openResolved, resolvePath } from "../../../src/files/resolve-path.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
  mkdirSync(scratch.file("a/b"), { recursive: true });
  writeFileSync(scratch.file("a/file"), "content");
});
afterEach(() => scratch[Symbol.dispose]());

/** Directory, name and whether something has that name. */
function resolved(path: string, follow = true) {
  using found = resolvePath(Buffer.from(path), follow);
  const directory = readlinkSync(`/proc/self/fd/${found.directory.fd}`);
  const name = found.name === undefined ? undefined : Buffer.from(found.name).toString();
  return [directory, name, found.status !== undefined];
}

test("a path leads to a directory and a name in it, which need not exist", () => {
  expect(resolved(scratch.file("a/file"))).toEqual([scratch.file("a"), "file", true]);
  expect(resolved(`${scratch.path}//a///none`)).toEqual([scratch.file("a"), "none", false]);
  expect(resolved(scratch.file("a/..x"))).toEqual([scratch.file("a"), "..x", false]);
  expect(resolved(scratch.file("a/x"))).toEqual([scratch.file("a"), "x", false]);
  expect(resolved(scratch.file("a/..."))).toEqual([scratch.file("a"), "...", false]);
  expect(() => resolved(scratch.file("none/x"))).toThrow("ENOENT");
  expect(() => resolved(scratch.file("a/file/x"))).toThrow("ENOTDIR");
});

test("a path that ends in a slash or in dots is the directory itself", () => {
  for (const path of ["/a/b/..", "/a/.", "/a/", "/a/b/../"]) {
    expect(resolved(scratch.path + path)).toEqual([scratch.file("a"), undefined, true]);
  }
  expect(resolved("/")).toEqual(["/", undefined, true]);
  expect(resolved(".")).toEqual([process.cwd(), undefined, true]);
  expect(resolved("none.txt")).toEqual([process.cwd(), "none.txt", false]);
});

test("links are followed, the last one only if that is wanted or a slash follows it", () => {
  symlinkSync("a/b", scratch.file("relative"));
  symlinkSync(scratch.file("a"), scratch.file("absolute"));
  symlinkSync("../file", scratch.file("a/b/up"));
  expect(resolved(`${scratch.path}/relative/../file`)).toEqual([scratch.file("a"), "file", true]);
  expect(resolved(scratch.file("absolute/b/up"))).toEqual([scratch.file("a"), "file", true]);
  expect(resolved(scratch.file("absolute"))).toEqual([scratch.path, "a", true]);
  expect(resolved(scratch.file("absolute"), false)).toEqual([scratch.path, "absolute", true]);
  expect(resolved(scratch.file("absolute/"), false)).toEqual([scratch.file("a"), undefined, true]);
});

test("forty links are followed, one more is an error", () => {
  const chain = (length: number) => {
    for (let index = 0; index < length; index++) {
      symlinkSync(
        index + 1 === length ? "a" : `${length}-${index + 1}`,
        scratch.file(`${length}-${index}`),
      );
    }
    return scratch.file(`${length}-0`);
  };
  expect(resolved(chain(40))).toEqual([scratch.path, "a", true]);
  expect(() => resolved(chain(41))).toThrow("ELOOP");
});

test("an open file is read by its link in /proc", () => {
  const fd = openResolved(Buffer.from(scratch.file("a/file")), 0);
  const again = openResolved(Buffer.from(`/proc/self/fd/${fd}`), 0);
  expect(readFileSync(again, "utf8")).toBe("content");
  closeSync(again);
  closeSync(fd);
  const directory = openResolved(Buffer.from(`${scratch.path}/a/.`), 0);
  expect(fstatSync(directory).isDirectory()).toBe(true);
  closeSync(directory);
});

test("a mode is that of a link by its type alone", () => {
  expect([isLinkMode(0o120_777), isLinkMode(0o100_777), isLinkMode(0o140_777)]).toEqual([
    true,
    false,
    false,
  ]);
});
