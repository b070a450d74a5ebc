import { expect, test } from "bun:test";
import { changeOf } from "../../../../src/vfs/server/change-feed.ts";

const path = Buffer.from("b");
const isDirectory = false;

test("events of the watcher are notifications", () => {
  const kinds = (["create", "modify", "remove", "attributes"] as const).map(
    (kind) => changeOf({ kind, path, from: undefined, isDirectory }).kind,
  );
  expect(kinds).toEqual(["created", "modified", "removed", "attributes"]);
  expect(changeOf({ kind: "overflow" })).toEqual({ kind: "overflow", path: new Uint8Array(0) });
});

test("a rename has its old path first", () => {
  const from = Buffer.from("a");
  expect(changeOf({ kind: "rename", path, from, isDirectory })).toEqual({
    ...{ kind: "renamed", path: from, newPath: path },
  });
  expect(changeOf({ kind: "rename", path, from: undefined, isDirectory })).toEqual({
    kind: "created",
    path,
  });
});

test("a path that no request may have is reported as lost changes", () => {
  const long = Buffer.alloc(65_537, "a");
  const overflow = { kind: "overflow" };
  expect(changeOf({ kind: "modify", path: long, from: undefined, isDirectory })).toMatchObject(
    overflow,
  );
  expect(changeOf({ kind: "rename", path, from: long, isDirectory })).toMatchObject(overflow);
  const longest = long.subarray(1);
  expect(changeOf({ kind: "modify", path: longest, from: undefined, isDirectory })).toEqual({
    kind: "modified",
    path: longest,
  });
});
