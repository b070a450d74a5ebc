import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { readToken, tokenFileProblem } from "../../../src/config/token.ts";
import { VsockboxError } from "../../../src/errors.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const TOKEN = "a-secret-of-sufficient-length";

function thrownBy(path: string): VsockboxError {
  try {
    readToken(path);
  } catch (thrown) {
    if (thrown instanceof VsockboxError) return thrown;
  }
  throw new Error("no VsockboxError was thrown");
}

function withMode(scratch: ScratchDirectory, mode: number): string {
  const path = scratch.file(`token-${mode.toString(8)}`);
  writeFileSync(path, `${TOKEN}\n`);
  chmodSync(path, mode);
  return path;
}

describe("permissions of a token file", () => {
  test("a private file is read", () => {
    using scratch = new ScratchDirectory();
    for (const mode of [0o600, 0o400, 0o700]) {
      expect(readToken(withMode(scratch, mode))).toBe(TOKEN);
    }
  });

  test("every permission bit of the group and of others is refused, with chmod 600 as hint", () => {
    using scratch = new ScratchDirectory();
    for (const bit of [0o040, 0o020, 0o010, 0o004, 0o002, 0o001]) {
      const path = withMode(scratch, 0o600 | bit);
      const error = thrownBy(path);
      expect(error.code).toBe("CONFIG");
      expect(error.message).toContain(`permissions 0${(0o600 | bit).toString(8)} are too open`);
      expect(error.hint).toContain(`chmod 600 ${path}`);
      expect(`${error.message} ${error.hint}`).not.toContain(TOKEN);
    }
  });

  test("a symbolic link is judged by the file it leads to", () => {
    using scratch = new ScratchDirectory();
    symlinkSync(withMode(scratch, 0o600), scratch.file("good"));
    symlinkSync(withMode(scratch, 0o666), scratch.file("bad"));
    expect(readToken(scratch.file("good"))).toBe(TOKEN);
    expect(thrownBy(scratch.file("bad")).message).toContain("0666 are too open");
  });

  test("the owner is the user or root", () => {
    const problem = (status: { uid: number; mode: number }, uid: number) =>
      tokenFileProblem("/t", status, uid);
    expect(problem({ uid: 1000, mode: 0o100600 }, 1000)).toBeUndefined();
    expect(problem({ uid: 0, mode: 0o100600 }, 1000)).toBeUndefined();
    expect(problem({ uid: 1001, mode: 0o100600 }, 1000)?.message).toContain("user 1001");
    expect(problem({ uid: 1001, mode: 0o100600 }, 0)?.hint).toContain("chown 0 /t");
  });

  test("a file of root may be readable by the group of another user who reads it", () => {
    const problem = (mode: number, uid: number) => tokenFileProblem("/t", { uid: 0, mode }, uid);
    expect(problem(0o100640, 1000)).toBeUndefined();
    expect(problem(0o100640, 0)?.hint).toContain("chmod 600 /t");
    expect(problem(0o100660, 1000)?.hint).toContain("chmod 640 /t");
    expect(problem(0o100650, 1000)).toBeDefined();
    for (const bit of [1, 2, 4]) expect(problem(0o100600 | bit, 1000)).toBeDefined();
  });
});

describe("content of a token file", () => {
  const content = (scratch: ScratchDirectory, text: string) => {
    const path = scratch.file(`content-${text.length}`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };

  test("is one word of 8 to 4096 characters", () => {
    using scratch = new ScratchDirectory();
    expect(readToken(content(scratch, " 12345678\n\n"))).toBe("12345678");
    expect(readToken(content(scratch, "x".repeat(4096)))).toHaveLength(4096);
    expect(thrownBy(content(scratch, "1234567\n")).message).toContain("at least 8");
    expect(thrownBy(content(scratch, "x".repeat(4097))).message).toContain("more than one word");
    expect(thrownBy(content(scratch, "one two three")).message).toContain("more than one word");
    expect(thrownBy(content(scratch, "y".repeat(1_000_000))).code).toBe("CONFIG");
  });

  test("a file that cannot be read is named with its reason", () => {
    using scratch = new ScratchDirectory();
    expect(thrownBy("/nowhere/token")).toMatchObject({ errno: "ENOENT", code: "CONFIG" });
    const directory = scratch.file("directory");
    mkdirSync(directory, { mode: 0o700 });
    expect(thrownBy(directory)).toMatchObject({ errno: "EISDIR", code: "CONFIG" });
  });
});
