import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { forgetChild, isOwnChild, registerChild } from "../../../../src/process/own-children.ts";
import { Environment } from "../../../../src/process/environment.ts";
import { shellCommand, spawnCommand } from "../../../../src/process/spawn.ts";
import { describeUnshared } from "../../../support/namespaces.ts";

const FIXTURE = join(import.meta.dir, "../../../fixtures/subreaper.ts");
const EVERYTHING_RIGHT = { wrongCodes: [], wrongLeavers: 0, reaped: 200, distinct: 200, left: [] };

async function run(command: readonly string[]): Promise<unknown> {
  const child = Bun.spawn([...command, process.execPath, FIXTURE], { stderr: "inherit" });
  return JSON.parse(await new Response(child.stdout).text());
}

describe("own children", () => {
  test("are known from their start until they are collected", async () => {
    registerChild(4_711_000);
    expect(isOwnChild(4_711_000)).toBe(true);
    forgetChild(4_711_000);
    expect(isOwnChild(4_711_000)).toBe(false);

    const child = spawnCommand({ argv: shellCommand("exit 3"), env: Environment.of([]) });
    expect(isOwnChild(child.pid)).toBe(true);
    expect((await child.exited).code).toBe(3);
    expect(isOwnChild(child.pid)).toBe(false);
    await child.closePipes();
  });
});

describe("the reaper", () => {
  test("collects 200 orphans and none of 120 own children, as a subreaper", async () => {
    expect(await run([])).toEqual(EVERYTHING_RIGHT);
  });
});

describeUnshared(["-m", "-p", "-f", "--mount-proc"], "the reaper as PID 1", (unshare) => {
  test("collects 200 orphans and none of 120 own children", async () => {
    expect(await run(unshare)).toEqual(EVERYTHING_RIGHT);
  });
});
