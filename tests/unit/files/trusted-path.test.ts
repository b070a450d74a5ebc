import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  closeSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import {
  isShared,
  isOwnerTrusted,
  openTrustedForAppending,
  resolveTrusted,
} from "../../../src/files/trusted-path.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const ME = { uid: 1000, gid: 100 };

test.each([
  [0, true],
  [1000, true],
  [1001, false],
])("the owner %d is trusted: %p", (uid, expected) => {
  expect(isOwnerTrusted(uid, ME)).toBe(expected);
});

test.each([
  [{ uid: 0, gid: 0, mode: 0o755 }, false],
  [{ uid: 1000, gid: 100, mode: 0o700 }, false],
  [{ uid: 0, gid: 0, mode: 0o1777 }, true],
  [{ uid: 0, gid: 0, mode: 0o777 }, true],
  [{ uid: 1001, gid: 100, mode: 0o700 }, true],
  [{ uid: 0, gid: 0, mode: 0o775 }, false],
  [{ uid: 0, gid: 100, mode: 0o775 }, false],
  [{ uid: 0, gid: 101, mode: 0o775 }, true],
  [{ uid: 0, gid: 101, mode: 0o755 }, false],
])("others may write to %j: %p", (directory, expected) => {
  expect(isShared(directory, ME)).toBe(expected);
});

let scratch: ScratchDirectory;
let own = "";
beforeEach(() => {
  scratch = new ScratchDirectory();
  own = scratch.file("own");
  mkdirSync(own, 0o755);
});
afterEach(() => scratch[Symbol.dispose]());

const OPEN = { operation: "open log file" } as const;
const resolved = (path: string) => resolveTrusted(path, OPEN);

describe("resolveTrusted", () => {
  test("follows own links anywhere, relative, absolute and in the middle of a path", () => {
    symlinkSync("own", scratch.file("relative"));
    symlinkSync(own, scratch.file("absolute"));
    symlinkSync("../absolute/./target", scratch.file("own/chain"));
    expect(resolved(`${scratch.path}/relative/./x//y`)).toBe(`${own}/x/y`);
    expect(resolved(scratch.file("absolute"))).toBe(own);
    expect(resolved(scratch.file("relative/chain"))).toBe(`${own}/target`);
  });

  test("leads from a link to the parent of its target", () => {
    mkdirSync(scratch.file("own/deep"));
    symlinkSync("own/deep", scratch.file("link"));
    expect(resolved(`${scratch.path}/link/../x`)).toBe(`${own}/x`);
  });

  test("keeps links of /proc, and ends a loop", () => {
    expect(resolved("/proc/self/fd/0")).toBe(`/proc/${process.pid}/fd/0`);
    symlinkSync("loop", scratch.file("loop"));
    expect(() => resolved(scratch.file("loop"))).toThrow("too many symbolic links");
  });

  test("follows as many links as the kernel does", () => {
    const chain = (length: number) => {
      const name = (index: number) => scratch.file(`${length}-${index}`);
      writeFileSync(name(length), "");
      for (let index = 0; index < length; index++) symlinkSync(name(index + 1), name(index));
      return name(0);
    };
    expect(resolved(chain(40))).toBe(scratch.file("40-40"));
    expect(readFileSync(scratch.file("40-0"), "utf8")).toBe("");
    const tooLong = chain(41);
    expect(() => resolved(tooLong)).toThrow("too many symbolic links");
    expect(() => readFileSync(tooLong)).toThrow("ELOOP");
  });

  test("is relative to the working directory", () => {
    expect(resolved("x/../y")).toEndWith("/y");
    expect(resolved(".")).toBe(resolved(process.cwd()));
  });
});

describe.skipIf(process.getuid?.() !== 0)("in a directory that others may write to", () => {
  let shared = "";
  let victim = "";
  beforeEach(() => {
    shared = scratch.file("shared");
    mkdirSync(shared);
    chmodSync(shared, 0o1777);
    victim = `${own}/victim`;
    writeFileSync(victim, "precious\n");
  });
  const OTHER = 4242;
  const append = (path: string) => {
    const fd = openTrustedForAppending(path, 0o640, OPEN);
    writeSync(fd, "line\n");
    closeSync(fd);
  };

  test("a link of another user is refused, at the end and before it", () => {
    symlinkSync(victim, `${shared}/log`);
    symlinkSync(own, `${shared}/directory`);
    for (const name of ["log", "directory"]) lchownSync(`${shared}/${name}`, OTHER, OTHER);
    expect(() => append(`${shared}/log`)).toThrow(
      `open log file ${shared}/log: it is a symbolic link of user ${OTHER}, in a directory that others may write to`,
    );
    expect(() => append(`${shared}/directory/victim`)).toThrow(`${shared}/directory is a symbolic`);
    expect(readFileSync(victim, "utf8")).toBe("precious\n");
  });

  test("is also checked through a link, and in a directory of another user", () => {
    symlinkSync(victim, `${shared}/log`);
    lchownSync(`${shared}/log`, OTHER, OTHER);
    symlinkSync(`${shared}/log`, `${own}/mine`);
    expect(() => append(`${own}/mine`)).toThrow(`${shared}/log is a symbolic link`);
    chmodSync(shared, 0o755);
    expect(() => append(`${own}/victim`)).not.toThrow();
    chownSync(shared, OTHER, OTHER);
    expect(() => append(`${shared}/log`)).toThrow("symbolic link");
  });

  test("own links and files are used, new ones are made", () => {
    symlinkSync(victim, `${shared}/log`);
    append(`${shared}/log`);
    append(`${shared}/new`);
    append(`${shared}/new`);
    expect(readFileSync(victim, "utf8")).toBe("precious\nline\n");
    expect(readFileSync(`${shared}/new`, "utf8")).toBe("line\nline\n");
  });

  test("in a directory that only this user may write to, every file is used", () => {
    linkSync(victim, `${own}/hard`);
    append(`${own}/hard`);
    writeFileSync(`${own}/foreign`, "");
    chownSync(`${own}/foreign`, OTHER, OTHER);
    append(`${own}/foreign`);
    expect(readFileSync(victim, "utf8")).toBe("precious\nline\n");
    expect(readFileSync(`${own}/foreign`, "utf8")).toBe("line\n");
  });

  test("an open file of one's own is appended to by its link in /proc", () => {
    const path = `${shared}/foreign`;
    writeFileSync(path, "");
    chownSync(path, OTHER, OTHER);
    const held = openSync(path, "r");
    append(`/proc/self/fd/${held}`);
    closeSync(held);
    expect(readFileSync(path, "utf8")).toBe("line\n");
  });

  test("files of others, hard links and FIFOs are refused", () => {
    writeFileSync(`${shared}/foreign`, "");
    chownSync(`${shared}/foreign`, OTHER, OTHER);
    linkSync(victim, `${shared}/hard`);
    expect(Bun.spawnSync(["mkfifo", `${shared}/fifo`]).exitCode).toBe(0);
    expect(() => append(`${shared}/foreign`)).toThrow(`it belongs to user ${OTHER}`);
    expect(() => append(`${shared}/hard`)).toThrow("another hard link");
    expect(() => append(`${shared}/fifo`)).toThrow(/open log file/);
    expect(readFileSync(victim, "utf8")).toBe("precious\n");
  });
});

test("a path that cannot be opened is an error with the path as written", () => {
  expect(() => openTrustedForAppending(scratch.file("none/log"), 0o640, OPEN)).toThrow(
    `open log file ${scratch.file("none/log")}: no such file or directory`,
  );
});
