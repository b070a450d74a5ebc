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
import { TemporaryFolder } from "../../support/folder.ts";

let folder: TemporaryFolder;
beforeEach(() => {
  folder = new TemporaryFolder();
  mkdirSync(folder.file("a/b"), { recursive: true });
  writeFileSync(folder.file("a/file"), "content");
});
afterEach(() => folder[Symbol.dispose]());

/** Directory, name and whether something has that name. */
function resolved(path: string, follow = true) {
  using found = resolvePath(Buffer.from(path), follow);
  const directory = readlinkSync(`/proc/self/fd/${found.directory.fd}`);
  const name = found.name === undefined ? undefined : Buffer.from(found.name).toString();
  return [directory, name, found.status !== undefined];
}

test("a path leads to a directory and a name in it, which need not exist", () => {
  expect(resolved(folder.file("a/file"))).toEqual([folder.file("a"), "file", true]);
  expect(resolved(`${folder.path}//a///none`)).toEqual([folder.file("a"), "none", false]);
  expect(resolved(folder.file("a/..x"))).toEqual([folder.file("a"), "..x", false]);
  expect(resolved(folder.file("a/x"))).toEqual([folder.file("a"), "x", false]);
  expect(resolved(folder.file("a/..."))).toEqual([folder.file("a"), "...", false]);
  expect(() => resolved(folder.file("none/x"))).toThrow("ENOENT");
  expect(() => resolved(folder.file("a/file/x"))).toThrow("ENOTDIR");
});

test("a path that ends in a slash or in dots is the directory itself", () => {
  for (const path of ["/a/b/..", "/a/.", "/a/", "/a/b/../"]) {
    expect(resolved(folder.path + path)).toEqual([folder.file("a"), undefined, true]);
  }
  expect(resolved("/")).toEqual(["/", undefined, true]);
  expect(resolved(".")).toEqual([process.cwd(), undefined, true]);
  expect(resolved("none.txt")).toEqual([process.cwd(), "none.txt", false]);
});

test("links are followed, the last one only if that is wanted or a slash follows it", () => {
  symlinkSync("a/b", folder.file("relative"));
  symlinkSync(folder.file("a"), folder.file("absolute"));
  symlinkSync("../file", folder.file("a/b/up"));
  expect(resolved(`${folder.path}/relative/../file`)).toEqual([folder.file("a"), "file", true]);
  expect(resolved(folder.file("absolute/b/up"))).toEqual([folder.file("a"), "file", true]);
  expect(resolved(folder.file("absolute"))).toEqual([folder.path, "a", true]);
  expect(resolved(folder.file("absolute"), false)).toEqual([folder.path, "absolute", true]);
  expect(resolved(folder.file("absolute/"), false)).toEqual([folder.file("a"), undefined, true]);
});

test("forty links are followed, one more is an error", () => {
  const chain = (length: number) => {
    for (let index = 0; index < length; index++) {
      symlinkSync(
        index + 1 === length ? "a" : `${length}-${index + 1}`,
        folder.file(`${length}-${index}`),
      );
    }
    return folder.file(`${length}-0`);
  };
  expect(resolved(chain(40))).toEqual([folder.path, "a", true]);
  expect(() => resolved(chain(41))).toThrow("ELOOP");
});

test("an open file is read by its link in /proc", () => {
  const fd = openResolved(Buffer.from(folder.file("a/file")), 0);
  const again = openResolved(Buffer.from(`/proc/self/fd/${fd}`), 0);
  expect(readFileSync(again, "utf8")).toBe("content");
  closeSync(again);
  closeSync(fd);
  const directory = openResolved(Buffer.from(`${folder.path}/a/.`), 0);
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
