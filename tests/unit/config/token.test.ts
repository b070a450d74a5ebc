import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { readToken, tokenFileProblem } from "../../../src/config/token.ts";
import { VsockboxError } from "../../../src/errors.ts";
import { TemporaryFolder } from "../../support/folder.ts";

const TOKEN = "a-secret-of-sufficient-length";

function thrownBy(path: string): VsockboxError {
  try {
    readToken(path);
  } catch (thrown) {
    if (thrown instanceof VsockboxError) return thrown;
  }
  throw new Error("no VsockboxError was thrown");
}

function withMode(folder: TemporaryFolder, mode: number): string {
  const path = folder.file(`token-${mode.toString(8)}`);
  writeFileSync(path, `${TOKEN}\n`);
  chmodSync(path, mode);
  return path;
}

describe("permissions of a token file", () => {
  test("a private file is read", () => {
    using folder = new TemporaryFolder();
    for (const mode of [0o600, 0o400, 0o700]) {
      expect(readToken(withMode(folder, mode))).toBe(TOKEN);
    }
  });

  test("every permission bit of the group and of others is refused, with chmod 600 as hint", () => {
    using folder = new TemporaryFolder();
    for (const bit of [0o040, 0o020, 0o010, 0o004, 0o002, 0o001]) {
      const path = withMode(folder, 0o600 | bit);
      const error = thrownBy(path);
      expect(error.code).toBe("CONFIG");
      expect(error.message).toContain(`permissions 0${(0o600 | bit).toString(8)} are too open`);
      expect(error.hint).toContain(`chmod 600 ${path}`);
      expect(`${error.message} ${error.hint}`).not.toContain(TOKEN);
    }
  });

  test("a symbolic link is judged by the file it leads to", () => {
    using folder = new TemporaryFolder();
    symlinkSync(withMode(folder, 0o600), folder.file("good"));
    symlinkSync(withMode(folder, 0o666), folder.file("bad"));
    expect(readToken(folder.file("good"))).toBe(TOKEN);
    expect(thrownBy(folder.file("bad")).message).toContain("0666 are too open");
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
  const content = (folder: TemporaryFolder, text: string) => {
    const path = folder.file(`content-${text.length}`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };

  test("is one word of 8 to 4096 characters", () => {
    using folder = new TemporaryFolder();
    expect(readToken(content(folder, " 12345678\n\n"))).toBe("12345678");
    expect(readToken(content(folder, "x".repeat(4096)))).toHaveLength(4096);
    expect(thrownBy(content(folder, "1234567\n")).message).toContain("at least 8");
    expect(thrownBy(content(folder, "x".repeat(4097))).message).toContain("more than one word");
    expect(thrownBy(content(folder, "one two three")).message).toContain("more than one word");
    expect(thrownBy(content(folder, "y".repeat(1_000_000))).code).toBe("CONFIG");
  });

  test("a file that cannot be read is named with its reason", () => {
    using folder = new TemporaryFolder();
    expect(thrownBy("/nowhere/token")).toMatchObject({ errno: "ENOENT", code: "CONFIG" });
    const directory = folder.file("directory");
    mkdirSync(directory, { mode: 0o700 });
    expect(thrownBy(directory)).toMatchObject({ errno: "EISDIR", code: "CONFIG" });
  });
});
