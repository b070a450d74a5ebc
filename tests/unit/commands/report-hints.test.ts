/** Every command that reports an error itself adds the hint that `main.ts` would add. */
import { expect, test } from "bun:test";
import { Glob } from "bun";
import { join } from "node:path";

const COMMANDS = join(import.meta.dir, "../../../src/commands");

test("commands report errors with the hint for the command line", async () => {
  let reports = 0;
  for await (const name of new Glob("**/*.ts").scan(COMMANDS)) {
    const source = await Bun.file(join(COMMANDS, name)).text();
    for (const [call] of source.matchAll(/\breportError\([^;]*;/g)) {
      reports++;
      expect([name, call]).toEqual([name, expect.stringContaining("commandHint(")]);
    }
  }
  expect(reports).toBeGreaterThan(0);
});
