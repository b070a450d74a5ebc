/** The process that wakes the watches of a mount; see `wake-watches.ts`. */
import { readFileSync } from "node:fs";
import { AT_FDCWD, setTimesAt, statAt } from "../../ffi/directory-calls.ts";
import { UTIME_NOW } from "../../protocols/vfs/fields.ts";
import { isDirectoryMode } from "../../protocols/vfs/file-numbers.ts";

/** In place of nanoseconds: no change; linux/stat.h. */
const UTIME_OMIT = 0x3fff_fffe;

/** Sets the times of the paths of standard input, each with a NUL. Returns the exit status. */
export function wakeWatches(): number {
  const input = new Uint8Array(readFileSync(0));
  for (let begin = 0; begin < input.length;) {
    const end = input.indexOf(0, begin);
    wake(input.subarray(begin, end));
    begin = end + 1;
  }
  return 0;
}

/** The kernel reports a change of the modification time alone as IN_MODIFY, of both as IN_ATTRIB. */
function wake(path: Uint8Array): void {
  try {
    const status = statAt(AT_FDCWD, path);
    if (status === undefined) return;
    const isDirectory = isDirectoryMode(status.mode);
    setTimesAt(
      { directory: AT_FDCWD, name: path },
      {
        accessed: { seconds: 0, nanoseconds: isDirectory ? UTIME_NOW : UTIME_OMIT },
        modified: { seconds: 0, nanoseconds: UTIME_NOW },
      },
    );
  } catch {
    // Removed in the meantime, or the host is lost.
  }
}
