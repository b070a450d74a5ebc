import { afterEach, expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { endingWithUs } from "../../../src/process/terminate-with-parent.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const path = process.env["PATH"];
afterEach(() => {
  process.env["PATH"] = path;
});

test("setpriv is asked, but not busybox's", () => {
  using scratch = new ScratchDirectory();
  process.env["PATH"] = scratch.path;
  expect(endingWithUs(["qemu", "-M"])).toEqual(["qemu", "-M"]);
  writeFileSync(scratch.file("busybox"), "", { mode: 0o755 });
  symlinkSync(scratch.file("busybox"), scratch.file("setpriv"));
  expect(endingWithUs(["qemu"])).toEqual(["qemu"]);
});

test("is used if there is one", () => {
  using scratch = new ScratchDirectory();
  process.env["PATH"] = scratch.path;
  writeFileSync(scratch.file("setpriv"), "", { mode: 0o755 });
  expect(endingWithUs(["qemu", "-M"])).toEqual([
    scratch.file("setpriv"),
    ...["--pdeathsig", "KILL", "--", "qemu", "-M"],
  ]);
});
