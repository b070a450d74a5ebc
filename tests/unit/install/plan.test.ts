import { describe, expect, test } from "bun:test";
import type { Found, Item } from "../../../src/install/items.ts";
import type { Entry } from "../../../src/install/manifest.ts";
import { makePlan, sha256Of } from "../../../src/install/plan.ts";

const binary: Item = {
  kind: "binary",
  path: "/usr/bin/vsockbox",
  mode: 0o755,
  source: "/x",
  sha256: sha256Of("new"),
  bytes: 3,
};
const link: Item = { kind: "link", path: "/usr/bin/other", target: "vsockbox" };
const lines: Item = { kind: "lines", path: "/etc/inittab", lines: "new lines" };
const file = (text: string, mode = 0o755): Found => ({
  kind: "file",
  sha256: sha256Of(text),
  mode,
});
const ownFile = (path: string, text: string): Entry => ({
  kind: "file",
  path,
  sha256: sha256Of(text),
});

function plan(
  items: Item[],
  found: Record<string, Found>,
  entries: Entry[] = [],
  force = false,
): { changes: string[]; conflicts: string[]; kept: string[]; entries: Entry[] } {
  const made = makePlan({ items, entries, found: new Map(Object.entries(found)), force });
  return {
    ...made,
    changes: made.changes.map((change) => `${change.do} ${change.path}`),
    conflicts: made.conflicts.map(({ path }) => path),
    kept: made.kept.map(({ path }) => path),
  };
}

const none = { changes: [], conflicts: [], kept: [] };

describe("installing", () => {
  test("into nothing", () => {
    const made = plan([binary, link], {});
    expect(made).toMatchObject({
      ...none,
      changes: ["create /usr/bin/vsockbox", "create /usr/bin/other"],
    });
    expect(made.entries).toEqual([
      ownFile(binary.path, "new"),
      { kind: "link", path: link.path, target: "vsockbox" },
    ]);
  });

  test("again changes nothing, and adopts equal files", () => {
    const found = { [binary.path]: file("new"), [link.path]: { kind: "link", target: "vsockbox" } };
    const made = plan([binary, link], found as Record<string, Found>);
    expect(made).toMatchObject(none);
    expect(made.entries).toHaveLength(2);
  });

  test("another version replaces ours, but nothing else", () => {
    const found = { [binary.path]: file("old") };
    const replaced = ["replace /usr/bin/vsockbox"];
    expect(plan([binary], found, [ownFile(binary.path, "old")])).toMatchObject({
      ...none,
      changes: replaced,
    });
    const conflict = { ...none, conflicts: [binary.path] };
    expect(plan([binary], found)).toMatchObject(conflict);
    expect(plan([binary], found, [ownFile(binary.path, "older")])).toMatchObject(conflict);
    expect(plan([binary], found, [], true)).toMatchObject({ ...none, changes: replaced });
  });

  test("corrects a mode alone", () => {
    const found = { [binary.path]: file("new", 0o644) };
    expect(plan([binary], found).changes).toEqual(["replace /usr/bin/vsockbox"]);
  });

  test.each(["directory", "other"] as const)("never replaces a %s", (kind) => {
    for (const item of [binary, link, lines]) {
      const made = plan([item], { [item.path]: { kind } }, [], true);
      expect(made).toMatchObject({ ...none, conflicts: [item.path] });
    }
  });

  test("a link that the installation did not create stays", () => {
    const found: Record<string, Found> = { [link.path]: { kind: "link", target: "real" } };
    expect(plan([link], found).conflicts).toEqual([link.path]);
    expect(
      plan([link], found, [{ kind: "link", path: link.path, target: "real" }]).changes,
    ).toEqual(["replace /usr/bin/other"]);
  });

  test("lines go into a file that has none, and replace only ours", () => {
    const entry = (text: string): Entry => ({
      kind: "lines",
      path: lines.path,
      sha256: sha256Of(text, "latin1"),
    });
    const withLines = (text?: string): Record<string, Found> => ({
      [lines.path]: { kind: "file", sha256: "", mode: 0o644, lines: text },
    });
    const edit = { ...none, changes: ["replace /etc/inittab"] };
    expect(plan([lines], withLines())).toMatchObject(edit);
    expect(plan([lines], withLines("new lines"))).toMatchObject(none);
    expect(plan([lines], withLines("old"), [entry("old")])).toMatchObject(edit);
    expect(plan([lines], withLines("mine"), [entry("old")]).conflicts).toEqual([lines.path]);
    const removal = { ...none, changes: ["remove lines /etc/inittab"] };
    expect(plan([], withLines("old"), [entry("old")])).toMatchObject(removal);
    expect(plan([], withLines("mine"), [entry("old")], true)).toMatchObject(removal);
    expect(plan([], withLines("mine"), [entry("old")])).toMatchObject({
      ...none,
      kept: [lines.path],
    });
    // The file was made by us, and somebody has written into it since.
    const both = [ownFile(lines.path, "whole"), entry("old")];
    expect(plan([], withLines("old"), both)).toMatchObject(removal);
    expect(plan([], withLines(), both, true)).toMatchObject(none);
  });

  test("files that are not needed any more are removed, unless they were changed", () => {
    const entries = [ownFile("/a", "a"), ownFile("/b", "b"), ownFile("/c", "c")];
    const found = { "/a": file("a"), "/b": file("mine"), [binary.path]: file("new") };
    expect(plan([binary], found, entries)).toMatchObject({
      ...none,
      changes: ["remove /a"],
      kept: ["/b"],
    });
    expect(plan([binary], found, entries, true)).toMatchObject({
      ...none,
      changes: ["remove /a", "remove /b"],
    });
  });

  test("a configuration that is kept stays ours, whatever is in it now", () => {
    const entries = [ownFile("/etc/conf", "a")];
    const keep: Item = { kind: "keep", path: "/etc/conf" };
    expect(plan([keep], { "/etc/conf": file("mine") }, entries)).toMatchObject({
      ...none,
      entries,
    });
    expect(plan([keep], {}, entries)).toMatchObject({ ...none, entries: [] });
  });

  test("of a run that was killed, both the old and the new file are ours", () => {
    const entries = [ownFile(binary.path, "old"), ownFile(binary.path, "new")];
    for (const text of ["old", "new"]) {
      const found = { [binary.path]: file(text) };
      expect(plan([], found, entries).changes).toEqual(["remove /usr/bin/vsockbox"]);
      expect(plan([binary], found, entries).conflicts).toEqual([]);
    }
  });
});
