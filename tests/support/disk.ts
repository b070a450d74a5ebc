/** Disks for guests, made without root. */
import { rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { findTool } from "./tools.ts";

/** Room beside the files, for the file system's own tables. */
const SPARE_BYTES = 24 * 1024 * 1024;

/** Makes the file system `disk`, ext4, of an uncompressed cpio archive. Device nodes need root. */
export function makeDisk(archive: string, disk: string): void {
  const tree = join(dirname(disk), "tree");
  run(["sh", "-c", `mkdir "$1" && cd "$1" && cpio -idm --quiet < "$2"`, "sh", tree, archive]);
  const megabytes = Math.ceil((statSync(archive).size + SPARE_BYTES) / 1024 ** 2);
  const options = ["-q", "-t", "ext4", "-O", "^has_journal", "-d", tree];
  run([findTool("mke2fs") ?? "mke2fs", ...options, disk, `${megabytes}M`]);
  rmSync(tree, { recursive: true, force: true });
}

function run(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
}
