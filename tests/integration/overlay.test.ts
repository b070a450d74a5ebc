/** Files of a program as a guest uses them: a mount, with the kernel's FUSE, of an overlay and of memory. */
import { describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { exportFiles, memoryFiles, overlayFiles, serveFiles } from "../../src/index.ts";
import { MountedExport } from "../support/mounted-export.ts";
import { NO_MOUNTS } from "../support/mount-namespace.ts";
import { ScratchDirectory } from "../support/scratch-directory.ts";

/** What a guest does to a tree, as lines of bash. */
const WORK = `set -e
echo more >> a/kept
mv a/kept a/moved
rm a/removed
rm -r b && mkdir b && echo new > b/f
mv c c2
ln -s a/moved link && test "$(cat link)" = "$(cat a/moved)"
truncate -s 3 large && stat -c %s large
chmod 600 a/moved && stat -c %a a/moved
head -c 300000 /dev/zero > zeros && cksum < zeros
find . -type f | sort`;

describe.skipIf(NO_MOUNTS !== undefined)("a mounted overlay", () => {
  test.each(["memory", "a directory"])("keeps the changes of a guest in %s", async (kind) => {
    using scratch = new ScratchDirectory();
    const [lower, upper, plain] = ["lower", "upper", "plain"].map((name) => scratch.file(name));
    for (const path of [lower ?? "", plain ?? ""]) {
      for (const name of ["a", "b/d", "c"]) fs.mkdirSync(`${path}/${name}`, { recursive: true });
      for (const name of ["a/kept", "a/removed", "b/d/f", "c/f", "large"]) {
        fs.writeFileSync(`${path}/${name}`, `content of ${name}\n`.repeat(10_000));
      }
    }
    fs.mkdirSync(upper ?? "");
    const before = Bun.spawnSync(["tar", "-c", "--sort=name", "."], { cwd: lower ?? "" }).stdout;
    await using mounted = await MountedExport.exportOnly();
    const files = overlayFiles({
      lower: lower ?? "",
      upper: kind === "memory" ? memoryFiles() : (upper ?? ""),
    });
    const address = `unix:${scratch.file("overlay.sock")}`;
    await using _server = serveFiles({ address, exports: { overlay: exportFiles(files) } });
    await mounted.startMount([], address);
    const seen = await mounted.output(WORK);
    expect(seen).toBe(await mounted.output(WORK, plain));
    expect(seen).toContain("./c2/f\n");
    const after = Bun.spawnSync(["tar", "-c", "--sort=name", "."], { cwd: lower ?? "" }).stdout;
    expect(after.equals(before)).toBe(true);
    expect(fs.readdirSync(upper ?? "").includes(".wh.c")).toBe(kind !== "memory");
  });
});
