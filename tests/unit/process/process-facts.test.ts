import { expect, test } from "bun:test";
import { copyFileSync, readFileSync } from "node:fs";
import { ancestorCommands, processFacts } from "../../../src/process/process-facts.ts";
import { eventually } from "../../support/eventually.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

test("reads a process whose name looks like the fields after it", async () => {
  using scratch = new ScratchDirectory();
  const name = ") S 1 2 (";
  copyFileSync("/bin/sleep", scratch.file(name));
  const child = Bun.spawn([scratch.file(name), "60"], { detached: true });
  try {
    // The child may not have become the program yet.
    const isThere = () => readFileSync(`/proc/${child.pid}/comm`, "utf8").trim() === name;
    await eventually("it has its name", isThere);
    expect(processFacts(child.pid)).toMatchObject({
      parent: process.pid,
      group: child.pid,
      session: child.pid,
    });
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
  expect(processFacts(child.pid)).toBeUndefined();
});

test("returns the words of the processes that have started this one, up to process 1", () => {
  const script = `console.log(JSON.stringify((await import(${JSON.stringify(
    require.resolve("../../../src/process/process-facts.ts"),
  )})).ancestorCommands()))`;
  const words = ["sh", "-c", '"$@"; exit 0', "outer name", process.execPath, "-e", script];
  const { stdout } = Bun.spawnSync(words);
  const found = JSON.parse(stdout.toString()) as string[][];
  expect(found[0]).toEqual(words);
  expect(found.slice(2)).toEqual(ancestorCommands());
});
