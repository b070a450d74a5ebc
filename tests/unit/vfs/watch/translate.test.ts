import { describe, expect, test } from "bun:test";
import {
  IN_ATTRIB,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_ISDIR,
  IN_MODIFY,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
} from "../../../../src/ffi/inotify.ts";
import type { WatchFilter } from "../../../../src/vfs/watch/file-change.ts";
import { mayBeUnnamed, translate, type WatchStep } from "../../../../src/vfs/watch/translate.ts";
import { WatchedDirectories } from "../../../../src/vfs/watch/watched-directories.ts";

const bytes = (text: string) => Buffer.from(text);
const RECURSIVE: WatchFilter = { isRecursive: true };
const FLAT: WatchFilter = { isRecursive: false };

/** The root under watch 1, `src` under 2, and `old`, detached, under 3. */
function exampleTree() {
  const tree = new WatchedDirectories(1);
  const src = tree.add(2, bytes("src"));
  tree.attach(src, { parent: tree.root, name: bytes("src") });
  tree.add(3, bytes("old"));
  return { tree, src };
}

/** A step as words. */
function words(tree: WatchedDirectories, step: WatchStep): string {
  switch (step.kind) {
    case "report": {
      const { event } = step;
      if (event.kind === "overflow") return "overflow";
      const from = event.from === undefined ? "" : `${event.from} > `;
      return `${event.kind} ${from}${event.path}${event.isDirectory ? "/" : ""}`;
    }
    case "arm":
      return `(arm ${tree.path(step.place)})`;
    case "move":
      return `(move ${tree.path(step.from)} > ${tree.path(step.to)})`;
    case "forget":
      return `(forget ${step.directory.watch})`;
    default:
      return `(${step.kind})`;
  }
}

/** Translates one event of a name in a watched directory. */
function single(
  mask: number,
  name?: string,
  { watch = 1, filter = RECURSIVE, tree = exampleTree().tree } = {},
): string[] {
  const event = { watch, mask, cookie: 0, name: name === undefined ? undefined : bytes(name) };
  return translate({ kind: "single", event }, tree, filter).map((step) => words(tree, step));
}

/** Translates a rename between two of the watched directories. */
function move(
  [fromWatch, from]: [number, string],
  [toWatch, to]: [number, string],
  { isDirectory = false, filter = RECURSIVE, tree = exampleTree().tree } = {},
): string[] {
  const mask = isDirectory ? IN_ISDIR : 0;
  const event = {
    kind: "move",
    from: { watch: fromWatch, mask: mask | IN_MOVED_FROM, cookie: 1, name: bytes(from) },
    to: { watch: toWatch, mask: mask | IN_MOVED_TO, cookie: 1, name: bytes(to) },
  } as const;
  return translate(event, tree, filter).map((step) => words(tree, step));
}

describe("events of an entry", () => {
  test.each([
    [IN_CREATE, "a", ["create a"]],
    [IN_MODIFY, "a", ["modify a"]],
    [IN_ATTRIB, "a", ["attributes a"]],
    [IN_ATTRIB | IN_ISDIR, "a", ["attributes a/"]],
    [IN_DELETE, "a", ["remove a"]],
    [IN_MOVED_FROM, "a", ["remove a"]],
    [IN_MOVED_TO, "a", ["create a"]],
    [IN_CREATE | IN_ISDIR, "d", ["create d/", "(arm d)"]],
    [IN_MOVED_TO | IN_ISDIR, "d", ["create d/", "(arm d)"]],
    [IN_DELETE | IN_ISDIR, "src", ["remove src/", "(forget 2)"]],
    [IN_MOVED_FROM | IN_ISDIR, "src", ["remove src/", "(forget 2)"]],
  ])("of mask %p for %s are %p", (mask, name, expected) => {
    expect(single(mask, name)).toEqual(expected);
  });

  test("have the path of their directory", () => {
    expect(single(IN_MODIFY, "a", { watch: 2 })).toEqual(["modify src/a"]);
  });

  test("arm nothing without recursion", () => {
    expect(single(IN_CREATE | IN_ISDIR, "d", { filter: FLAT })).toEqual(["create d/"]);
  });

  test("are not reported twice for what was found when the directory was read", () => {
    const { tree, src } = exampleTree();
    src.reported = new Set(["a", "b", "d"]);
    const of = (mask: number, name: string) => single(mask, name, { watch: 2, tree });
    expect(of(IN_CREATE, "a")).toEqual([]);
    expect(of(IN_CREATE, "a")).toEqual(["create src/a"]);
    expect(of(IN_MODIFY, "b")).toEqual(["modify src/b"]);
    expect(of(IN_DELETE, "b")).toEqual(["remove src/b"]);
    expect(of(IN_CREATE, "b")).toEqual(["create src/b"]);
    expect(of(IN_CREATE | IN_ISDIR, "d")).toEqual(["(arm src/d)"]);
  });

  test("of unknown or detached directories are ignored", () => {
    expect(single(IN_CREATE, "a", { watch: 9 })).toEqual([]);
    expect(single(IN_CREATE, "a", { watch: 3 })).toEqual([]);
  });
});

test("an event may be about a file without a name", () => {
  const isUnnamed = (mask: number, name: string) =>
    mayBeUnnamed({ watch: 1, mask, cookie: 0, name: bytes(name) });
  expect([IN_ATTRIB, IN_MODIFY].map((mask) => isUnnamed(mask, "#123"))).toEqual([true, true]);
  expect([IN_CREATE, IN_DELETE].map((mask) => isUnnamed(mask, "#123"))).toEqual([false, false]);
  expect(["#", "#12a", "a#1", "123"].some((name) => isUnnamed(IN_ATTRIB, name))).toBe(false);
});

describe("events of a directory itself", () => {
  test.each([
    [IN_DELETE_SELF, ["remove /", "(end)"]],
    [IN_MOVE_SELF, ["remove /", "(end)"]],
    [IN_UNMOUNT, ["remove /", "(end)"]],
    [IN_IGNORED, ["remove /", "(end)"]],
    [IN_ATTRIB | IN_ISDIR, ["attributes /"]],
    [IN_MODIFY, []],
  ])("of mask %p are %p for the root", (mask, expected) => {
    expect(single(mask)).toEqual(expected);
  });

  test.each([
    [IN_DELETE_SELF, []],
    [IN_MOVE_SELF, []],
    [IN_ATTRIB | IN_ISDIR, []],
    [IN_IGNORED, ["(forget 2)"]],
  ])("of mask %p are %p below it, since its parent reports it", (mask, expected) => {
    expect(single(mask, undefined, { watch: 2 })).toEqual(expected);
  });

  test("are not reported if one entry alone is watched", () => {
    const filter = { isRecursive: false, only: bytes("a") };
    expect(single(IN_ATTRIB, undefined, { filter })).toEqual([]);
    expect(single(IN_DELETE_SELF, undefined, { filter })).toEqual(["(end)"]);
  });
});

describe("a full queue", () => {
  test("is reported, and the tree is read again", () => {
    expect(single(IN_Q_OVERFLOW, undefined, { watch: -1 })).toEqual(["overflow", "(rescan)"]);
  });
});

describe("a rename", () => {
  test("is one event", () => {
    expect(move([1, "a"], [2, "b"])).toEqual(["rename a > src/b"]);
  });

  test("of a directory moves its watches", () => {
    const isDirectory = true;
    expect(move([1, "a"], [2, "b"], { isDirectory })).toEqual([
      "rename a > src/b/",
      "(move a > src/b)",
    ]);
    expect(move([1, "a"], [1, "b"], { isDirectory, filter: FLAT })).toEqual(["rename a > b/"]);
  });

  test("from or to a directory that is not watched any more is half of one", () => {
    expect(move([9, "a"], [1, "b"])).toEqual(["create b"]);
    expect(move([1, "a"], [3, "b"])).toEqual(["remove a"]);
    expect(move([9, "a"], [9, "b"])).toEqual([]);
  });

  test("makes the next creation of both names new", () => {
    const { tree, src } = exampleTree();
    src.reported = new Set(["a", "b"]);
    expect(move([2, "a"], [2, "b"], { tree })).toEqual(["rename src/a > src/b"]);
    expect(src.reported.size).toBe(0);
  });
});

describe("hidden paths", () => {
  const filter: WatchFilter = {
    isRecursive: true,
    isHidden: (path) => String(path).split("/").includes(".git"),
  };

  test("are not reported or armed", () => {
    expect(single(IN_CREATE | IN_ISDIR, ".git", { filter })).toEqual([]);
    expect(single(IN_CREATE, ".git", { watch: 2, filter })).toEqual([]);
    expect(single(IN_CREATE, "git", { filter })).toEqual(["create git"]);
  });

  test("are as good as outside of the tree in a rename", () => {
    expect(move([1, "a"], [1, ".git"], { filter })).toEqual(["remove a"]);
    expect(move([1, ".git"], [1, "a"], { filter, isDirectory: true })).toEqual([
      "create a/",
      "(arm a)",
    ]);
    expect(move([1, ".git"], [2, ".git"], { filter })).toEqual([]);
  });
});

describe("one entry alone", () => {
  const filter = { isRecursive: false, only: bytes("a") };

  test("is reported, and nothing else", () => {
    expect(single(IN_MODIFY, "a", { filter })).toEqual(["modify a"]);
    expect(single(IN_MODIFY, "ab", { filter })).toEqual([]);
    expect(move([1, "a.tmp"], [1, "a"], { filter })).toEqual(["create a"]);
    expect(move([1, "a"], [1, "a~"], { filter })).toEqual(["remove a"]);
  });
});
