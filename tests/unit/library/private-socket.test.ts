/** Paths for private sockets: the mode of their directory, its removal, and its length. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PrivateSocketPath } from "../../../src/library/private-socket.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const SOURCE = join(import.meta.dir, "../../../src/library/private-socket.ts");

describe("a private socket", () => {
  test("is in a directory of mode 0700, which is removed with its contents", () => {
    const socket = new PrivateSocketPath();
    const directory = dirname(socket.path);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(existsSync(socket.path)).toBe(false);
    writeFileSync(socket.path, "");
    socket[Symbol.dispose]();
    expect(existsSync(directory)).toBe(false);
    socket[Symbol.dispose]();
  });

  test("watches for the exit of the process only while there is one", () => {
    const before = process.listenerCount("exit");
    const one = new PrivateSocketPath();
    const other = new PrivateSocketPath();
    expect(process.listenerCount("exit")).toBe(before + 1);
    one[Symbol.dispose]();
    expect(process.listenerCount("exit")).toBe(before + 1);
    other[Symbol.dispose]();
    expect(process.listenerCount("exit")).toBe(before);
  });

  test("two have different directories", () => {
    using one = new PrivateSocketPath();
    using other = new PrivateSocketPath();
    expect(dirname(one.path)).not.toBe(dirname(other.path));
  });

  /** Makes one in a process that has this TMPDIR and ends without its removal. */
  function pathIn(directory: string): string {
    const script = `import { PrivateSocketPath } from ${JSON.stringify(SOURCE)}; console.log(new PrivateSocketPath().path);`;
    const run = Bun.spawnSync([process.execPath, "-e", script], {
      env: { ...process.env, TMPDIR: directory },
    });
    expect(run.stderr.toString()).toBe("");
    return run.stdout.toString().trim();
  }

  test("is in TMPDIR, and is removed when the process exits", () => {
    using scratch = new ScratchDirectory();
    expect(pathIn(scratch.path)).toStartWith(`${scratch.path}/vsockbox-`);
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  test("is in /tmp if TMPDIR is too long for a socket's address", () => {
    using scratch = new ScratchDirectory();
    const ofLength = (characters: number) => {
      const directory = scratch.file("d".repeat(characters - scratch.path.length - 1));
      mkdirSync(directory);
      return directory;
    };
    const longest = ofLength(80);
    expect(pathIn(longest)).toStartWith(`${longest}/`);
    const path = pathIn(ofLength(81));
    expect(dirname(dirname(path))).toBe("/tmp");
    expect(existsSync(dirname(path))).toBe(false);
  });
});
