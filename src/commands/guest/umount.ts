/** `vsockbox umount`: ends a mount of `vsockbox mount`. */
import { readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { ERRNO, systemError } from "../../ffi/errno.ts";
import { unmount } from "../../ffi/fuse.ts";
import { parseMountInfo } from "../../protocols/procfs/mount-info.ts";
import { flag, operands } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { DIRECTORY } from "../../ui/value-kind.ts";

const MOUNTS = "/proc/self/mountinfo";

export const command = defineCommand({
  name: "umount",
  group: "Guest services",
  summary: "Unmount what `vsockbox mount` has mounted",
  args: {
    directory: operands(DIRECTORY, { valueName: "DIR", summary: "The directory" }),
    lazy: flag({ summary: "Detach it also while files are in use" }),
  },
  examples: [
    { command: "vsockbox umount /work", explanation: "Fails while a program uses it" },
    { command: "vsockbox umount --lazy /work", explanation: "In any case" },
  ],
  async run({ directory: directories, lazy }) {
    for (const directory of directories) end(directory, lazy);
    return 0;
  },
});

/** Returns the path of a mount point without asking its file system, whose host may be lost. */
function pathOf(directory: string): string {
  const trimmed = directory.replace(/\/+$/, "");
  try {
    const parent = realpathSync(dirname(trimmed));
    return join(parent, basename(trimmed));
  } catch (thrown) {
    throw toVsockboxError(thrown, "unmount");
  }
}

/** Returns the type of what is mounted at a path, the last mount of several; undefined without /proc. */
function typeAt(path: string): string | undefined {
  try {
    const mounts = parseMountInfo(readFileSync(MOUNTS, "utf8"));
    return mounts.findLast((mount) => mount.path === path)?.type ?? "";
  } catch {
    return undefined;
  }
}

function end(directory: string, isLazy: boolean): void {
  const path = pathOf(directory);
  const type = typeAt(path);
  if (type !== undefined && !type.startsWith("fuse.")) {
    throw new VsockboxError({
      ...{ code: "IO", operation: "unmount", address: directory },
      message: type === "" ? "it is not mounted" : `it is a mount of ${type}, not of vsockbox`,
    });
  }
  const errno = unmount(path, false);
  const result = errno === ERRNO.EBUSY && isLazy ? unmount(path, true) : errno;
  if (result === 0) return;
  throw systemError(result, {
    ...{ operation: "unmount", address: directory, code: "IO" },
    hint: result === ERRNO.EBUSY ? "a program uses it; --lazy detaches it all the same" : undefined,
  });
}
