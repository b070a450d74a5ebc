/** /proc/PID/mountinfo: the mounts of a mount namespace, in the order of their making. */

/** One mount. */
export interface MountInfo {
  /** Major and minor number of its file system, such as `254:0`: bind mounts share it. */
  deviceNumber: string;
  path: string;
  /** Options of the mount, such as `rw` and `nosuid`. */
  options: readonly string[];
  /** Type of the file system, such as `ext4`. */
  type: string;
  /** Source, such as `/dev/vda`: a name that the file system chooses. */
  source: string;
}

/** Reads mountinfo, proc_pid_mountinfo(5). A line that does not have its form is ignored. */
export function parseMountInfo(text: string): MountInfo[] {
  return text.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , deviceNumber, , path, options] = before.split(" ");
    const [type, source = ""] = after.split(" ");
    if (deviceNumber === undefined || path === undefined || options === undefined || !type) {
      return [];
    }
    return [
      {
        deviceNumber,
        path: unescapePath(path),
        options: options.split(","),
        type,
        source: unescapePath(source),
      },
    ];
  });
}

/**
 * Returns the mount whose root a path is; undefined if it is a file or directory within one. Of several
 * mounts at a path, and of one that a later mount above it hides, the visible one counts.
 *
 * @param mounts in the order of their making.
 * @param path absolute, without symbolic links.
 */
export function mountAt(mounts: readonly MountInfo[], path: string): MountInfo | undefined {
  const visible = mounts.findLast((mount) => contains(mount.path, path));
  return visible?.path === path ? visible : undefined;
}

function contains(directory: string, path: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}

/** Spaces, tabs, line feeds and backslashes are octal there. */
function unescapePath(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
