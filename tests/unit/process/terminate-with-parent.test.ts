import { afterEach, expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { endingWithUs } from "../../../src/process/terminate-with-parent.ts";
import { TemporaryFolder } from "../../support/folder.ts";

const path = process.env["PATH"];
afterEach(() => {
  process.env["PATH"] = path;
});

test("setpriv is asked, but not busybox's", () => {
  using folder = new TemporaryFolder();
  process.env["PATH"] = folder.path;
  expect(endingWithUs(["qemu", "-M"])).toEqual(["qemu", "-M"]);
  writeFileSync(folder.file("busybox"), "", { mode: 0o755 });
  symlinkSync(folder.file("busybox"), folder.file("setpriv"));
  expect(endingWithUs(["qemu"])).toEqual(["qemu"]);
});

test("where there is one, it is used", () => {
  using folder = new TemporaryFolder();
  process.env["PATH"] = folder.path;
  writeFileSync(folder.file("setpriv"), "", { mode: 0o755 });
  expect(endingWithUs(["qemu", "-M"])).toEqual([
    folder.file("setpriv"),
    ...["--pdeathsig", "KILL", "--", "qemu", "-M"],
  ]);
});
