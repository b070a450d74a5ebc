import { describe, expect, test } from "bun:test";
import {
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import type { WatchEvent } from "../../../../src/vfs/watch/file-change.ts";
import { PathWatch } from "../../../../src/vfs/watch/path-watch.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const open = (path: string, isRecursive = false) =>
  PathWatch.open(Buffer.from(path), { isRecursive });

async function take(watch: PathWatch, count: number): Promise<string[]> {
  const words: string[] = [];
  for await (const event of watch.events()) {
    words.push(wordOf(event));
    if (words.length === count) break;
  }
  return words;
}

function wordOf(event: WatchEvent): string {
  return event.kind === "overflow" ? event.kind : `${event.kind} '${event.path}'`;
}

describe("a watched path", () => {
  test("of a file is that file alone, also after it was replaced", async () => {
    using scratch = new ScratchDirectory();
    writeFileSync(scratch.file("a"), "1");
    using watch = await open(scratch.file("a"), true);
    writeFileSync(scratch.file("other"), "");
    writeFileSync(scratch.file("a.tmp"), "2");
    renameSync(scratch.file("a.tmp"), scratch.file("a"));
    unlinkSync(scratch.file("a"));
    closeSync(openSync(scratch.file("a"), "w"));
    expect(await take(watch, 3)).toEqual(["create ''", "remove ''", "create ''"]);
  });

  test("is the target of links", async () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("real/deep"), { recursive: true });
    writeFileSync(scratch.file("real/file"), "");
    symlinkSync("real", scratch.file("link"));
    symlinkSync("link/file", scratch.file("to-file"));
    using directory = await open(scratch.file("link"), true);
    using file = await open(scratch.file("to-file"));
    expect([directory.directories, directory.unreadable]).toEqual([2, 0]);
    const handle = openSync(scratch.file("real/file"), "a");
    writeFileSync(handle, "x");
    closeSync(handle);
    closeSync(openSync(scratch.file("real/deep/x"), "w"));
    expect(await take(directory, 2)).toEqual(["modify 'file'", "create 'deep/x'"]);
    expect(await take(file, 1)).toEqual(["modify ''"]);
  });

  test("that does not exist is an error with its name", async () => {
    using scratch = new ScratchDirectory();
    const error = await open(scratch.file("none")).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "IO",
      errno: "ENOENT",
      message: `cannot watch ${scratch.file("none")}: no such file or directory (ENOENT)`,
    });
  });
});
