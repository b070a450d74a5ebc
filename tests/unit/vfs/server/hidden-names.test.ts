import { expect, test } from "bun:test";
import { HiddenNames } from "../../../../src/vfs/server/hidden-names.ts";
import { pathBytes } from "../../../support/vfs-export.ts";

test("names are hidden by patterns, at every depth", () => {
  const hidden = new HiddenNames([".ssh", "*.pem", "[ab]?"]);
  const path = (text: string) => hidden.hidesPath(pathBytes(text));
  expect([".ssh", "a/.ssh", ".ssh/id", "x.pem", ".pem", "d/y.pem/z", "a1"].map(path)).toEqual(
    Array.from({ length: 7 }, () => true),
  );
  expect(["", "ssh", ".ssh2", "a/.ss/h", "pem", "x.pem2", "a", "a12", "c1"].map(path)).toEqual(
    Array.from({ length: 9 }, () => false),
  );
  expect([hidden.hides(pathBytes("x.pem")), hidden.hides(pathBytes("x"))]).toEqual([true, false]);
  expect(hidden.isEmpty).toBe(false);
});

test("a name of any bytes can be hidden", () => {
  expect(new HiddenNames(["ü*"]).hides(new Uint8Array(Buffer.from("über")))).toBe(true);
  expect(new HiddenNames(["*"]).hides(pathBytes("\xff\n"))).toBe(true);
});

test("nothing is hidden without a pattern", () => {
  const hidden = new HiddenNames([]);
  expect([
    hidden.isEmpty,
    hidden.hides(pathBytes("a")),
    hidden.hidesPath(pathBytes("a/b")),
  ]).toEqual([...[true, false, false]]);
});
