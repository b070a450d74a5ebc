/** An overlay against a tree that is changed in place: each operation must have the same effect on both. */
import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { DirectoryFiles } from "../../../../src/vfs/server/directory-files.ts";
import { MemoryFiles } from "../../../../src/vfs/server/memory-files.ts";
import { OverlayFiles, type WritableFiles } from "../../../../src/vfs/server/overlay-files.ts";
import { codeOf, contentOf, treeOf } from "../../../support/provided-tree.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const LOWER = { "a/b/f": "lower", "a/g": "other", "c/d/h": "deep", top: "first" };

function overlay() {
  const lower = new MemoryFiles(LOWER);
  const upper = new MemoryFiles();
  return { lower, upper, files: new OverlayFiles(lower, upper) };
}

describe("an overlay", () => {
  test("changes the upper tree alone", async () => {
    const { lower, upper, files } = overlay();
    const before = await treeOf(lower);
    await files.write("a/b/f", 5, bytes("!"));
    await files.setMode("top", 0o600);
    await files.remove("a/g");
    expect(await treeOf(files)).toEqual([
      ...["directory 755 a: ", "directory 755 a/b: ", "file 644 a/b/f: lower!"],
      ...[
        "directory 755 c: ",
        "directory 755 c/d: ",
        "file 644 c/d/h: deep",
        "file 600 top: first",
      ],
    ]);
    expect(await treeOf(lower)).toEqual(before);
    expect(await treeOf(upper)).toEqual([
      ...["directory 755 a: ", "file 600 a/.wh.g: ", "directory 755 a/b: "],
      ...["file 644 a/b/f: lower!", "file 600 top: first"],
    ]);
  });

  test("keeps mode and time of what it copies up", async () => {
    const { lower, files } = overlay();
    lower.setMode("a/b/f", 0o751);
    lower.setTime("a/b/f", 1000);
    await files.setMode("a/b/f", 0o750);
    expect(await files.stat("a/b/f")).toMatchObject({ mode: 0o750, mtimeMs: 1000 });
    await files.setTime("a/b/f", 2000);
    expect(await files.stat("a/b/f")).toMatchObject({ mtimeMs: 2000 });
  });

  test("shows nothing of a removed directory in a new one of its name", async () => {
    const { files } = overlay();
    await files.remove("c/d/h");
    await files.remove("c/d");
    expect(await files.stat("c/d/h")).toBeUndefined();
    await files.makeDirectory("c/d", 0o700);
    expect(await files.list("c/d")).toEqual([]);
    await files.create("c/d/new", 0o644);
    expect(await files.list("c/d")).toEqual(["new"]);
  });

  test("hides what is below a directory that has become a file", async () => {
    const { files } = overlay();
    await files.remove("c/d/h");
    await files.remove("c/d");
    await files.create("c/d", 0o644);
    expect(await files.stat("c/d")).toMatchObject({ type: "file" });
    expect(await files.stat("c/d/h")).toBeUndefined();
  });

  test("does not show names of whiteouts, and refuses to make them", async () => {
    const { files, lower } = overlay();
    lower.create("a/.wh.x", 0o644);
    expect(await files.stat("a/.wh.x")).toBeUndefined();
    expect(await files.list("a")).not.toContain(".wh.x");
    expect(await codeOf(() => files.create("a/.wh.g", 0o644))).toBe("EACCES");
    expect(await codeOf(() => files.rename("top", ".wh.a"))).toBe("EACCES");
    expect(await files.stat("a/g")).toBeDefined();
  });

  test("refuses to rename a directory of the lower tree", async () => {
    const { files } = overlay();
    expect(await codeOf(() => files.rename("a", "z"))).toBe("EXDEV");
    await files.makeDirectory("own", 0o755);
    await files.create("own/f", 0o644);
    await files.rename("own", "z");
    expect(await files.list("z")).toEqual(["f"]);
  });

  test("keeps its root", async () => {
    const { files } = overlay();
    expect(await codeOf(() => files.remove(""))).toBe("EBUSY");
    expect(await codeOf(() => files.rename("", "x"))).toBe("EBUSY");
    expect(await codeOf(() => files.rename("top", ""))).toBe("EBUSY");
  });

  test("copies a file up once, however many change it at once", async () => {
    const { files } = overlay();
    await Promise.all([0, 1, 2, 3, 4].map((at) => files.write("top", at, bytes(String(at)))));
    expect(await contentOf(files, "top")).toBe("01234");
  });

  test("leaves no part of a file that cannot be copied up", async () => {
    const lower = new MemoryFiles({ large: "x".repeat(100) });
    const files = new OverlayFiles(lower, new MemoryFiles({}, { maxBytes: 50 }));
    expect(await codeOf(() => files.write("large", 0, bytes("y")))).toBe("ENOSPC");
    expect(await contentOf(files, "large")).toBe("x".repeat(100));
    await files.truncate("large", 10);
    expect(await contentOf(files, "large")).toBe("x".repeat(10));
  });

  test("needs of the lower tree no more than facts", async () => {
    const lower = {
      stat: (path: string) => ({ type: path === "" ? "directory" : "file" }) as const,
    };
    const files = new OverlayFiles(lower, new MemoryFiles({ own: "1" }));
    expect(await files.list("")).toEqual(["own"]);
    expect(await codeOf(() => files.read("f", 0, 1))).toBe("ENOSYS");
  });

  test("closes both trees", () => {
    const closed: string[] = [];
    const lower = Object.assign(new MemoryFiles(), { close: () => void closed.push("lower") });
    const upper = Object.assign(new MemoryFiles(), { close: () => void closed.push("upper") });
    new OverlayFiles(lower, upper).close();
    expect(closed).toEqual(["lower", "upper"]);
  });
});

/** Numbers that look random, the same for each seed. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >>> 8) % below;
  };
}

const NAMES = ["a", "a/b", "a/b/f", "a/g", "c", "c/d", "c/d/h", "top", "new", "a/new", "c/d/new"];

type Change = (files: Pick<WritableFiles, keyof WritableFiles>) => unknown;

/** A change with arguments that often exist. */
function changeOf(roll: (below: number) => number): [string, Change] {
  const [path, other] = [NAMES[roll(NAMES.length)] ?? "", NAMES[roll(NAMES.length)] ?? ""];
  switch (roll(7)) {
    case 0:
      return [`create ${path}`, (files) => files.create(path, 0o640)];
    case 1:
      return [`mkdir ${path}`, (files) => files.makeDirectory(path, 0o750)];
    case 2:
      return [`write ${path}`, (files) => files.write(path, 2, bytes("xyz"))];
    case 3:
      return [`truncate ${path}`, (files) => files.truncate(path, 3)];
    case 4:
      return [`chmod ${path}`, (files) => files.setMode(path, 0o700)];
    case 5:
      return [`rename ${path} ${other}`, (files) => files.rename(path, other)];
    default:
      return [`remove ${path}`, (files) => files.remove(path)];
  }
}

async function compare(seed: number, upper: WritableFiles, steps: number): Promise<void> {
  const roll = dice(seed);
  const lower = new MemoryFiles(LOWER);
  const files = new OverlayFiles(lower, upper);
  const model = new MemoryFiles(LOWER);
  const before = await treeOf(lower);
  const done: string[] = [];
  for (let step = 0; step < steps; step++) {
    const [name, change] = changeOf(roll);
    const code = await codeOf(() => change(files));
    done.push(`${name}: ${code ?? "ok"}`);
    // A directory of the lower tree stays where it is.
    if (code === "EXDEV") continue;
    const expected = await codeOf(() => change(model));
    expect([done, code === undefined]).toEqual([done, expected === undefined]);
    expect([done, await treeOf(files)]).toEqual([done, await treeOf(model)]);
  }
  expect(await treeOf(lower)).toEqual(before);
}

test.each([1, 2, 3, 4, 5, 6, 7, 8])("random changes %p are those of one tree", async (seed) => {
  await compare(seed, new MemoryFiles(), 80);
});

test.each([11, 12])("random changes %p are those of one tree, in a directory", async (seed) => {
  using scratch = new ScratchDirectory();
  mkdirSync(scratch.file("upper"));
  const upper = new DirectoryFiles(scratch.file("upper"));
  await compare(seed, upper, 20);
  upper.close();
});
