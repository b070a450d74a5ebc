import { describe, expect, test } from "bun:test";
import {
  copiedBelow,
  copiedJson,
  copiedLine,
  type CopiedFile,
  CopyListing,
} from "../../../../src/commands/files/copy-listing.ts";
import type { TreeRecord } from "../../../../src/protocols/agent/tree-records.ts";

const ends = { source: Buffer.from("src"), destination: Buffer.from("3:/srv/app") };
const status = { mode: 0o644, seconds: 0, nanoseconds: 0, uid: 0, gid: 0 };
const named = (kind: "directory" | "file" | "link", name: string) =>
  ({ kind, name: Buffer.from(name), size: 1, target: Buffer.from("t"), ...status }) as TreeRecord;
const end = (error?: string): TreeRecord => ({ kind: "end", sha256: undefined, error });
const leave: TreeRecord = { kind: "leave" };

function linesOf(...records: TreeRecord[]): string[] {
  const files: CopiedFile[] = [];
  const listing = new CopyListing(ends, (file) => files.push(file));
  for (const record of records) listing.push(record);
  return files.map(copiedLine);
}

describe("the files of a transfer", () => {
  test("of one file have the names of both ends", () => {
    expect(linesOf(named("file", "app"), end())).toEqual(["src -> 3:/srv/app"]);
  });

  test("of a tree have their paths below it, and directories are not files", () => {
    const records = [
      named("directory", "app"),
      named("file", "a"),
      end(),
      named("directory", "d"),
      named("directory", "e"),
      named("link", "l"),
      leave,
      named("file", "b"),
      end(),
      leave,
      named("file", "c"),
      end(),
      leave,
    ];
    expect(linesOf(...records)).toEqual([
      "src/a -> 3:/srv/app/a",
      "src/d/e/l -> 3:/srv/app/d/e/l",
      "src/d/b -> 3:/srv/app/d/b",
      "src/c -> 3:/srv/app/c",
    ]);
  });

  test("are those that are complete", () => {
    const records = [
      named("directory", "app"),
      named("file", "same"),
      named("file", "failed"),
      end("it changed"),
      end(),
      { kind: "skipped", name: Buffer.from("x"), error: "no" } as const,
      named("file", "good"),
      { kind: "from", offset: 0 } as const,
      { kind: "hole", bytes: 1 } as const,
      end(),
      leave,
    ];
    expect(linesOf(...records)).toEqual(["src/good -> 3:/srv/app/good"]);
  });
});

test("a line shows escapes for what a terminal obeys, and JSON has all bytes", () => {
  const file = copiedBelow(ends, Buffer.of(0x61, 0xff, 0x1b));
  expect(copiedLine(file)).not.toContain("\u001B");
  expect(copiedJson(file)).toEqual({
    source: {
      base64: Buffer.concat([Buffer.from("src/"), Buffer.of(0x61, 0xff, 0x1b)]).toString("base64"),
    },
    destination: expect.objectContaining({ base64: expect.any(String) }),
  });
  expect(copiedJson(copiedBelow(ends, Buffer.alloc(0)))).toEqual({
    source: "src",
    destination: "3:/srv/app",
  });
});
