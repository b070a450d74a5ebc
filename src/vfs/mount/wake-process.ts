/** The process that wakes the watches of a mount; see `wake-watches.ts`. */
import { constants, readFileSync } from "node:fs";
import { openBeneath } from "../../ffi/beneath.ts";
import { AT_FDCWD, O_PATH, openAt, setTimesAt, statAt } from "../../ffi/directory-calls.ts";
import { cloneMountWritable } from "../../ffi/mount-clone.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import { UTIME_NOW } from "../../protocols/vfs/fields.ts";
import { isDirectoryMode } from "../../protocols/vfs/file-numbers.ts";

/** In place of nanoseconds: no change; linux/stat.h. */
const UTIME_OMIT = 0x3fff_fffe;

const SLASH = 0x2f;
const SELF = Uint8Array.of(0x2e);

/**
 * Sets the times of the paths of standard input, each with a NUL; the first one is that of the mount, and
 * the others are below it. Returns the exit status.
 */
export function wakeWatches(): number {
  const [target, ...paths] = pathsOf(new Uint8Array(readFileSync(0)));
  if (target === undefined) return 0;
  const root = openRoot(target);
  for (const path of paths) wake(root, path);
  closeDescriptor(root);
  return 0;
}

function pathsOf(input: Uint8Array): Uint8Array[] {
  const paths: Uint8Array[] = [];
  for (let begin = 0; begin < input.length;) {
    const end = input.indexOf(0, begin);
    paths.push(input.subarray(begin, end));
    begin = end + 1;
  }
  return paths;
}

/**
 * Opens the root of the mount, of a writable mount of the same file system if this one is read-only: the
 * kernel refuses a change by the mount that it is made through, and reports it by the file.
 */
function openRoot(target: Uint8Array): number {
  const clone = cloneMountWritable(Buffer.from(target).toString());
  // Before Linux 5.12.
  return clone < 0 ? openAt(AT_FDCWD, target, O_PATH | constants.O_DIRECTORY) : clone;
}

/** The kernel reports a change of the modification time alone as IN_MODIFY, of both as IN_ATTRIB. */
function wake(root: number, path: Uint8Array): void {
  const slash = path.lastIndexOf(SLASH);
  const parent = path.subarray(0, Math.max(0, slash));
  // The host may have replaced a directory by a link that leads out of the mount.
  const flags = O_PATH | constants.O_DIRECTORY;
  const directory = openBeneath(root, parent, { flags, links: "none" });
  if (directory < 0) return;
  try {
    const name = path.length === 0 ? SELF : path.subarray(slash + 1);
    const status = statAt(directory, name);
    if (status === undefined) return;
    const accessed = isDirectoryMode(status.mode) ? UTIME_NOW : UTIME_OMIT;
    setTimesAt(
      { directory, name },
      {
        accessed: { seconds: 0, nanoseconds: accessed },
        modified: { seconds: 0, nanoseconds: UTIME_NOW },
      },
    );
  } catch {
    // Removed in the meantime, or the host is lost.
  } finally {
    closeDescriptor(directory);
  }
}
