/** `vsockbox umount`: ends a mount of `vsockbox mount`. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { ERRNO, systemError } from "../../ffi/errno.ts";
import { unmount } from "../../ffi/fuse.ts";
import { fuseMountAt, mountPointPath, readMounts } from "../../process/fuse-mounts.ts";
import { mountAt } from "../../protocols/procfs/mount-info.ts";
import { flag, operands } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { printJson } from "../../ui/report.ts";
import { DIRECTORY } from "../../ui/value-kind.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { forEachOperand } from "../shared/operands.ts";

export const command = defineCommand({
  name: "umount",
  group: "Guest services",
  summary: "Unmount what `vsockbox mount` has mounted",
  args: {
    directory: operands(DIRECTORY, { valueName: "DIR", summary: "The directory" }),
    lazy: flag({ summary: "Detach it also while files are in use" }),
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox umount /work", explanation: "Fails while a program uses it" },
    { command: "vsockbox umount --lazy /work", explanation: "In any case" },
  ],
  run: ({ directory: directories, lazy, json }) =>
    forEachOperand(
      directories,
      async (directory) => {
        const detached = end(directory, lazy);
        if (json) printJson({ unmounted: directory, detached });
      },
      { json },
    ),
});

function pathOf(directory: string): string {
  try {
    return mountPointPath(directory);
  } catch (thrown) {
    throw toVsockboxError(thrown, "unmount");
  }
}

/** Returns whether it was detached while a program uses it. */
function end(directory: string, isLazy: boolean): boolean {
  const path = pathOf(directory);
  const mounts = readMounts();
  if (mounts !== undefined && fuseMountAt(mounts, path) === undefined) {
    const type = mountAt(mounts, path)?.type;
    throw new VsockboxError({
      ...{ code: "IO", operation: "unmount", address: directory },
      message:
        type === undefined ? "it is not mounted" : `it is a mount of ${type}, not of vsockbox`,
    });
  }
  const errno = unmount(path, false);
  const isDetached = errno === ERRNO.EBUSY && isLazy;
  const result = isDetached ? unmount(path, true) : errno;
  if (result === 0) return isDetached;
  throw systemError(result, {
    ...{ operation: "unmount", address: directory, code: "IO" },
    hint: result === ERRNO.EBUSY ? "a program uses it; --lazy detaches it all the same" : undefined,
  });
}
