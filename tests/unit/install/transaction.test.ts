import { expect, test } from "bun:test";
import { linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { removeLeftovers, Transaction } from "../../../src/install/transaction.ts";
import { Tree } from "../../../src/install/tree.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";
import { listing } from "../../support/listing.ts";

const ID = "0123456789ab";

function setUp() {
  const scratch = new ScratchDirectory();
  writeFileSync(scratch.file("old"), "old");
  writeFileSync(scratch.file("gone"), "gone");
  symlinkSync("old", scratch.file("link"));
  const transaction = new Transaction(new Tree(scratch.path), ID);
  return {
    scratch,
    transaction,
    path: scratch.path,
    async change() {
      transaction.makeDirectory("/new");
      const pieces = [Buffer.from("a"), Buffer.from("b")];
      await transaction.stage({ path: "/old", mode: 0o600, pieces });
      await transaction.stage({ path: "/new/file", mode: 0o755, pieces });
      transaction.stageLink("/link", "new");
      for (const staged of ["/old", "/new/file", "/link"]) transaction.commit(staged);
      transaction.remove("/gone");
    },
    [Symbol.dispose]() {
      transaction[Symbol.dispose]();
      scratch[Symbol.dispose]();
    },
  };
}

test("all of it happens", async () => {
  using it = setUp();
  await it.change();
  it.transaction.finish();
  expect(listing(it.path).map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
    "/link 120777",
    "/new 40755",
    "/new/file 100755",
    "/old 100600",
  ]);
  expect(readFileSync(it.scratch.file("old"), "utf8")).toBe("ab");
});

test("or none, whenever it fails", async () => {
  using it = setUp();
  const before = listing(it.path);
  await it.change();
  await it.transaction.stage({ path: "/last", mode: 0o644, pieces: [Buffer.from("x")] });
  mkdirSync(it.scratch.file("last"));
  expect(() => it.transaction.commit("/last")).toThrow(
    expect.objectContaining({ code: "CANNOT_CREATE", errno: "EISDIR" }),
  );
  expect(it.transaction.undo()).toEqual([]);
  expect(listing(it.path).filter((line) => !line.startsWith("/last"))).toEqual(before);
});

test("twice at one place: undone to the first", async () => {
  using it = setUp();
  const before = listing(it.path);
  for (const text of ["one", "two"]) {
    await it.transaction.stage({ path: "/old", mode: 0o644, pieces: [Buffer.from(text)] });
    it.transaction.commit("/old");
  }
  expect(readFileSync(it.scratch.file("old"), "utf8")).toBe("two");
  it.transaction.undo();
  expect(listing(it.path)).toEqual(before);
});

test("nothing stands under a final name before it is committed", async () => {
  using it = setUp();
  let during: string[] = [];
  function* pieces() {
    yield Buffer.from("a");
    during = listing(it.path).map((line) => line.split(" ")[0] ?? "");
    yield Buffer.from("b");
  }
  await it.transaction.stage({ path: "/file", mode: 0o644, pieces: pieces() });
  expect(during).toContain(`/.file.${ID}.tmp`);
  expect(during).not.toContain("/file");
  it.transaction.undo();
});

test("an interrupted one ends with ABORTED", async () => {
  using it = setUp();
  const transaction = new Transaction(new Tree(it.path), ID, AbortSignal.abort());
  const staged = transaction.stage({ path: "/x", mode: 0o644, pieces: [Buffer.from("a")] });
  expect(await staged.catch((thrown: unknown) => thrown)).toMatchObject({ code: "ABORTED" });
  transaction.undo();
  transaction[Symbol.dispose]();
});

test("what a killed run has left goes, and nothing else", () => {
  using it = setUp();
  const before = listing(it.path);
  writeFileSync(it.scratch.file(`.old.${ID}.tmp`), "partial");
  linkSync(it.scratch.file("old"), it.scratch.file(`.old.${ID}.old`));
  removeLeftovers(new Tree(it.path), "/old", ID);
  removeLeftovers(new Tree(it.path), "/not/there", ID);
  expect(listing(it.path)).toEqual(before);
});
