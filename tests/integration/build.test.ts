/** The build: reproducible, and free of the machine that made it. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ScratchDirectory } from "../support/binary.ts";
import { copySources, runBuild } from "../support/source-tree.ts";

const ROOT = join(import.meta.dir, "../..");

function buildIn(scratch: string) {
  const { status, stdout, stderr } = runBuild(scratch, "--json");
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return JSON.parse(stdout) as { sha256: string; cached: boolean };
}

function buildFresh(scratch: string) {
  copySources(scratch);
  return buildIn(scratch);
}

test("two builds of one commit in two directories are byte-identical", () => {
  using first = new ScratchDirectory();
  using second = new ScratchDirectory();
  const sums = [buildFresh(first.path), buildFresh(second.path)];
  expect(sums[0]).toMatchObject({ cached: false });
  expect(sums[1]?.sha256).toBe(sums[0]?.sha256 ?? "");
  const bytes = readFileSync(join(first.path, "dist/vsockbox"));
  expect(bytes.includes(first.path)).toBe(false);
  expect(bytes.includes(ROOT + "/src")).toBe(false);
});

test("a second build does nothing, a changed source is built again", async () => {
  using scratch = new ScratchDirectory();
  expect(buildFresh(scratch.path).cached).toBe(false);
  const change = async (path: string) => {
    const file = join(scratch.path, path);
    await Bun.write(file, `${readFileSync(file, "utf8")}\n// changed\n`);
    return buildIn(scratch.path).cached;
  };
  expect(buildIn(scratch.path).cached).toBe(true);
  expect(await change("src/ui/report.ts")).toBe(false);
  expect(await change("packaging/build/compile.ts")).toBe(false);
  // What goes with an executable is no part of it.
  expect(await change("packaging/release/licences.ts")).toBe(true);
});
