/** Files that a transfer has not completed. */
import { readdirSync, readlinkSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { formatPartName, parsePartName, PART_MODE, partHash } from "../../src/files/part-name.ts";

/** The unfinished file of a transfer with `--resume` to this path; undefined if there is none. */
export function partOf(path: string): string | undefined {
  const hash = partHash(Buffer.from(path.slice(dirname(path).length + 1)));
  const name = readdirSync(dirname(path)).find(
    (entry) => parsePartName(Buffer.from(entry))?.hash === hash,
  );
  return name === undefined ? undefined : join(dirname(path), name);
}

/** Leaves an unfinished file as a broken transfer does. */
export function leavePart(path: string, content: Uint8Array): string {
  const temporary = `${path}.new`;
  writeFileSync(temporary, content, { mode: PART_MODE });
  const { ino } = statSync(temporary, { bigint: true });
  const hash = partHash(Buffer.from(path.slice(dirname(path).length + 1)));
  const part = join(dirname(path), Buffer.from(formatPartName({ hash, inode: ino })).toString());
  renameSync(temporary, part);
  return part;
}

/** The size of the unfinished file to this path, 0 if there is none. */
export function partSize(path: string): number {
  const part = partOf(path);
  return part === undefined ? 0 : (statSync(part, { throwIfNoEntry: false })?.size ?? 0);
}

/** How many bytes a process has written so far to files in a directory that have no name yet. */
export function unnamedBytes(pid: number, directory: string): number {
  let bytes = 0;
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      const isUnfinished = target.includes(" (deleted)") || target.includes("/.vsockbox-");
      if (!target.startsWith(`${directory}/`) || !isUnfinished) continue;
      bytes += statSync(`/proc/${pid}/fd/${fd}`).size;
    } catch {
      // It was closed meanwhile.
    }
  }
  return bytes;
}
