import { expect, test } from "bun:test";
import { join } from "node:path";
import { describeUnshared } from "../../support/namespaces.ts";

const FIXTURE = join(import.meta.dir, "../../fixtures/loopback.ts");

describeUnshared(["-n"], "loopback in a new network namespace", (unshare) => {
  test("is switched on", () => {
    const { stdout, stderr } = Bun.spawnSync([...unshare, process.execPath, FIXTURE]);
    expect(stderr.toString()).toBe("");
    expect(stdout.toString()).toBe("carried\n");
  });
});
