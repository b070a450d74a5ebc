import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Environment, splitAtNul, splitSetting } from "../../../src/process/environment.ts";
import { findDirectory, findProgram } from "../../../src/process/program.ts";

const bytes = (text: string) => Uint8Array.from(Buffer.from(text, "latin1"));
const texts = (all: Iterable<Uint8Array>) =>
  Array.from(all, (one) => Buffer.from(one).toString("latin1"));

describe("Environment", () => {
  test("keeps every byte, and the last setting of a name", () => {
    const own = Environment.of(["A=1", "B=\xff", "\xfe=x", "A=2=3"].map(bytes));
    expect(texts(own.toSettings())).toEqual(["A=2=3", "B=\xff", "\xfe=x"]);
    expect(own.get("A")).toEqual(bytes("2=3"));
    expect(own.get("C")).toBeUndefined();
    expect(own.toRecord()).toBeUndefined();
  });

  test("adds text and bytes without a change of its own", () => {
    const own = Environment.fromRecord({ A: "1", __proto__x: "é" });
    const more = own.with({ A: "2" }).with([bytes("a.b=c")]);
    expect(more.toRecord()).toEqual({ A: "2", __proto__x: "é", "a.b": "c" });
    expect(own.toRecord()).toEqual({ A: "1", __proto__x: "é" });
  });

  test("splits at the first equals sign, and text at NUL", () => {
    expect(texts(Object.values(splitSetting(bytes("A=b=c"))))).toEqual(["A", "b=c"]);
    expect(texts(Object.values(splitSetting(bytes("A"))))).toEqual(["A", ""]);
    expect(texts(splitAtNul(bytes("a\0\0b\0rest")))).toEqual(["a", "", "b"]);
  });
});

describe("finding a program", () => {
  const scratch = mkdtempSync(join(tmpdir(), "vsockbox-program-"));
  mkdirSync(join(scratch, "one"));
  mkdirSync(join(scratch, "two"));
  mkdirSync(join(scratch, "one/dir"));
  writeFileSync(join(scratch, "one/plain"), "", { mode: 0o644 });
  writeFileSync(join(scratch, "two/tool"), "", { mode: 0o755 });
  writeFileSync(join(scratch, "two/plain"), "", { mode: 0o755 });
  const path = bytes("one:two");
  const find = (name: string, where = path) =>
    Buffer.from(findProgram(bytes(name), where, bytes(scratch))).toString();
  const failure = (name: string) => {
    try {
      return find(name);
    } catch (thrown) {
      return thrown;
    }
  };

  test("searches PATH in order, relative to the directory, and skips files that are not executable", () => {
    expect(find("tool")).toBe(join(scratch, "two/tool"));
    expect(find("plain")).toBe(join(scratch, "two/plain"));
    expect(find("tool", bytes("/nowhere::two"))).toBe(join(scratch, "two/tool"));
    expect(find("two/tool")).toBe(join(scratch, "two/tool"));
    expect(find("/bin/sh")).toBe("/bin/sh");
  });

  test("distinguishes a missing one from one that is not executable", () => {
    expect(failure("none")).toMatchObject({ kind: "not_found", errno: "ENOENT", exitStatus: 127 });
    expect(failure("")).toMatchObject({ kind: "not_found" });
    expect(failure("dir")).toMatchObject({ kind: "permission_denied", exitStatus: 126 });
    expect(failure("one/plain")).toMatchObject({ kind: "permission_denied", errno: "EACCES" });
    expect(failure("one/none")).toMatchObject({ kind: "not_found" });
  });

  test("a directory is absolute; a relative one is refused", () => {
    expect(findDirectory(bytes("/"))).toEqual(bytes("/"));
    expect(Buffer.from(findDirectory(undefined)).toString()).toBe(process.cwd());
    expect(() => findDirectory(bytes(join(scratch, "two/tool")))).toThrow("not a directory");
    expect(() => findDirectory(bytes("/nope"))).toThrow("no such directory");
    rmSync(scratch, { recursive: true });
  });
});
