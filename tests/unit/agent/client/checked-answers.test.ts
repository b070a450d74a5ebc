import { describe, expect, test } from "bun:test";
import {
  CheckedEntries,
  CheckedMatches,
  MAX_MATCHES,
} from "../../../../src/agent/client/checked-answers.ts";
import { RequestedRoot } from "../../../../src/agent/transfer/requested-root.ts";
import type { TreeRecord } from "../../../../src/protocols/agent/tree-records.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");

describe("CheckedMatches", () => {
  test("returns each match once", () => {
    const matches = new CheckedMatches(bytes("/var/log/*.log"));
    const read = (path: string) => matches.read({ path });
    expect([read("/var/log/a.log"), read("/var/log/b.log"), read("/var/log/a.log")]).toEqual([
      new Uint8Array(bytes("/var/log/a.log")),
      new Uint8Array(bytes("/var/log/b.log")),
      undefined,
    ]);
  });

  test("refuses paths that the pattern does not match, and values that are not paths", () => {
    for (const path of ["/home/.bashrc", "/var/log/.log", "/var/log/x/../a.log", "", "a\0", 7]) {
      const matches = new CheckedMatches(bytes("/var/log/*.log"));
      expect(() => matches.read({ path })).toThrow(expect.objectContaining({ code: "BAD_DATA" }));
    }
  });

  test("is bounded in number and in bytes", () => {
    const short = new CheckedMatches(bytes("*"));
    for (let index = 0; index < MAX_MATCHES; index++) short.read({ path: `${index}` });
    expect(() => short.read({ path: "x" })).toThrow("more matches than it may");
    const directory = `/${"d".repeat(200)}`.repeat(19);
    const long = new CheckedMatches(bytes(`${directory}/*`));
    const fill = () => {
      for (let index = 0; index < 10_000; index++) long.read({ path: `${directory}/${index}` });
    };
    expect(fill).toThrow("more matches than it may");
  });
});

describe("CheckedEntries", () => {
  test("an entry is one name", () => {
    const entries = new CheckedEntries(bytes("/srv"));
    expect(entries.read({ name: "a b" })).toEqual(new Uint8Array(bytes("a b")));
    expect(entries.read({ name: { base64: "/w==" } })).toEqual(Uint8Array.of(0xff));
    for (const name of ["/etc/passwd", "..", ".", "a/b", "", "a\0b", "n".repeat(256), "/srv"]) {
      expect(() => entries.read({ name })).toThrow(expect.objectContaining({ code: "BAD_DATA" }));
    }
  });

  test("the requested path is the only entry of a file", () => {
    const entries = new CheckedEntries(bytes("/etc/hosts"));
    expect(entries.read({ name: "/etc/hosts" })).toHaveLength(10);
    expect(() => entries.read({ name: "a" })).toThrow("more entries than it may");
    for (const asked of ["..", "/srv/..", ".", "/"]) {
      const of = new CheckedEntries(bytes(asked));
      expect(() => of.read({ name: asked })).toThrow("a directory cannot have");
    }
    // A name alone is also what a directory of that name may have in it.
    const same = new CheckedEntries(bytes("x"));
    expect([same.read({ name: "x" }), same.read({ name: "y" })]).toHaveLength(2);
  });

  test("is bounded", () => {
    const entries = new CheckedEntries(bytes("/"), 2);
    entries.read({ name: "a" });
    entries.read({ name: "b" });
    expect(() => entries.read({ name: "c" })).toThrow("more entries than it may");
  });
});

describe("RequestedRoot", () => {
  const status = { mode: 0o644, seconds: 0, nanoseconds: 0, uid: 0, gid: 0 };
  const file = (name: string): TreeRecord => ({
    kind: "file",
    name: bytes(name),
    size: 0,
    ...status,
  });
  const directory = (name: string): TreeRecord => ({
    kind: "directory",
    name: bytes(name),
    ...status,
  });
  const link = (name: string): TreeRecord => ({
    kind: "link",
    name: bytes(name),
    target: bytes("t"),
    ...status,
  });
  const skipped = (name: string): TreeRecord => ({
    kind: "skipped",
    name: bytes(name),
    error: "e",
  });
  const end: TreeRecord = { kind: "end", sha256: undefined, error: undefined };
  const leave: TreeRecord = { kind: "leave" };
  const hole: TreeRecord = { kind: "hole", bytes: 1 };

  const check = (records: readonly TreeRecord[], recursive = true) => {
    const root = new RequestedRoot({ name: bytes("app"), recursive });
    for (const record of records) root.check(record);
    return root;
  };

  test.each<[string, TreeRecord[]]>([
    ["one file", [file("app"), { kind: "from", offset: 0 }, hole, end]],
    ["a file that could not be read", [skipped("app")]],
    [
      "a tree with any names in it",
      [
        directory("app"),
        file(".bashrc"),
        end,
        link("x"),
        directory("app"),
        file("app"),
        end,
        leave,
        skipped("y"),
        leave,
      ],
    ],
  ])("lets pass %s", (_, records) => {
    expect(() => check(records)).not.toThrow();
  });

  test.each<[string, TreeRecord[], boolean?]>([
    ["another file", [file(".bashrc")]],
    ["another directory", [directory(".ssh")]],
    ["another skipped name", [skipped("x")]],
    ["a link", [link("app")]],
    ["a directory without recursive", [directory("app")], false],
    ["a second file", [file("app"), end, file("app")]],
    ["a second directory", [directory("app"), leave, directory("app")]],
    ["a file after a skipped entry", [skipped("app"), file("app")]],
    ["an entry after the tree", [directory("app"), leave, file("x")]],
    ["more leaves than directories", [directory("app"), leave, leave]],
    ["a file in a file", [file("app"), file("app")]],
    ["an end outside of a file", [end]],
    ["a hole outside of a file", [directory("app"), hole]],
    ["a hole after a file", [file("app"), end, hole]],
  ])("refuses %s", (_, records, recursive = true) => {
    expect(() => check(records, recursive)).toThrow(expect.objectContaining({ code: "BAD_DATA" }));
  });

  test("bytes belong to a file, and a file that the receiver has already has none", () => {
    expect(check([]).acceptsData).toBe(false);
    expect(check([file("app")]).acceptsData).toBe(true);
    expect(check([file("app"), end]).acceptsData).toBe(false);
    const root = check([directory("app"), file("a")]);
    root.skipFile();
    expect(root.acceptsData).toBe(false);
    expect(() => root.check(file("b"))).not.toThrow();
  });
});
