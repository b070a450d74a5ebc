import { describe, expect, test } from "bun:test";
import {
  outermost,
  planSync,
  type SyncEntry,
  type SyncRules,
  type SyncTree,
  withAncestors,
} from "../../../../src/commands/files/sync-plan.ts";

const MTIME_MS = 1_700_000_000_123.456;
const RULES: SyncRules = { deletes: false, checksum: false };
const DELETES: SyncRules = { deletes: true, checksum: false };

function file(changes: Partial<SyncEntry> = {}): SyncEntry {
  const entry = { size: 3, mode: 0o644, mtimeMs: MTIME_MS, target: undefined };
  return { type: "file", ...entry, ...changes };
}

const directory = (mode = 0o755) => file({ type: "directory", mode, size: 4096 });
const link = (target: string) => file({ type: "link", target, mode: 0o777 });

const tree = (entries: Readonly<Record<string, SyncEntry>>): SyncTree =>
  new Map(Object.entries(entries));

const plan = (
  source: Readonly<Record<string, SyncEntry>>,
  destination: Readonly<Record<string, SyncEntry>>,
  rules = RULES,
) => planSync(tree(source), tree(destination), rules);

const NOTHING = { removals: [], copies: [], conflicts: [], unsupported: [] };

describe("the plan of a mirror", () => {
  test("copies nothing that is the same", () => {
    const same = { a: file(), d: directory(), "d/b": file(), l: link("a") };
    expect(plan(same, same, DELETES)).toEqual(NOTHING);
  });

  test.each([
    ["size", { size: 4 }],
    ["mode", { mode: 0o755 }],
    ["a later time", { mtimeMs: MTIME_MS + 1 }],
    ["an earlier time", { mtimeMs: MTIME_MS - 1 }],
    ["a size that is no number", { size: Number.NaN }],
  ])("copies a file with another %s", (_, changes) => {
    expect(plan({ a: file() }, { a: file(changes) })).toEqual({ ...NOTHING, copies: ["a"] });
  });

  test("ignores set-ID bits, sizes of directories, and fractions that a file system does not keep", () => {
    const destination = {
      a: file({ mtimeMs: 1_700_000_000_000, mode: 0o644 }),
      b: file({ mtimeMs: MTIME_MS + 0.5 }),
      d: { ...directory(), size: 7, mtimeMs: 0 },
    };
    const source = { a: file({ mode: 0o4644 }), b: file(), d: directory() };
    expect(plan(source, destination)).toEqual(NOTHING);
    const older = { a: file({ mtimeMs: 1_699_999_999_000 }) };
    expect(plan({ a: file() }, older).copies).toEqual(["a"]);
  });

  test("copies what is missing, with its directories, in their order", () => {
    const source = { "d/b": file(), d: directory(), "d/a": file(), l: link("d") };
    expect(plan(source, {}).copies).toEqual(["d", "d/a", "d/b", "l"]);
  });

  test("copies modes of directories and targets of links", () => {
    const { copies } = plan(
      { d: directory(0o700), l: link("a"), m: link("b") },
      { d: directory(), l: link("b"), m: link("b") },
    );
    expect(copies).toEqual(["d", "l"]);
  });

  test("replaces a file by a link, and the reverse", () => {
    expect(plan({ a: link("b"), b: file() }, { a: file(), b: link("a") }).copies).toEqual([
      "a",
      "b",
    ]);
  });

  test("compares the content of all files, but of nothing else, with checksum", () => {
    const same = { a: file(), d: directory(), l: link("a") };
    expect(plan(same, same, { deletes: false, checksum: true }).copies).toEqual(["a"]);
  });

  test("removes only with deletes, a directory once", () => {
    const destination = { a: file(), "d/x": file(), d: directory(), "d/y/z": file(), "d!": file() };
    expect(plan({ a: file() }, destination)).toEqual(NOTHING);
    expect(plan({ a: file() }, destination, DELETES).removals).toEqual(["d", "d!"]);
  });

  test("replaces a directory by a file, or the reverse, only with deletes", () => {
    const source = { a: directory(), "a/x": file(), b: file() };
    const destination = { a: file(), b: directory(), "b/y": file() };
    expect(plan(source, destination)).toEqual({ ...NOTHING, conflicts: ["a", "b"] });
    expect(plan(source, destination, DELETES)).toEqual({
      ...NOTHING,
      removals: ["a", "b"],
      copies: ["a", "a/x", "b"],
    });
  });

  test("leaves devices, FIFOs and sockets out", () => {
    const source = { f: file({ type: "fifo" }), s: file({ type: "socket" }) };
    expect(plan(source, {})).toEqual({ ...NOTHING, unsupported: ["f", "s"] });
    expect(plan(source, { f: file() }, DELETES)).toMatchObject({ removals: [], copies: [] });
  });
});

test("paths have all directories above them", () => {
  expect([...withAncestors(["a/b/c", "a/b/d", "e"])].toSorted()).toEqual(
    ["a", "a/b", "a/b/c", "a/b/d", "e"].toSorted(),
  );
});

test("paths below others are left out", () => {
  expect(outermost(new Set(["a/b/c", "a", "ab", "b/c", "b/c/d/e"]))).toEqual(["a", "ab", "b/c"]);
});
