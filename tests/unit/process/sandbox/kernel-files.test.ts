import { describe, expect, test } from "bun:test";
import {
  MASKED_SYS,
  parseMounts,
  protectionsOf,
} from "../../../../src/process/sandbox/kernel-files.ts";

const line = (path: string, type: string, options = "rw", more = "") =>
  `22 28 0:21 / ${path} ${options} ${more}- ${type} source rw`;
const of = (...lines: string[]) => protectionsOf(parseMounts(lines.join("\n")));
const shown = (...lines: string[]) =>
  of(...lines)
    .slice(0, -MASKED_SYS.length)
    .map(({ path, how }) => `${how} ${path}`);

describe("parseMounts", () => {
  test("reads path, type and the flags that a mount keeps", () => {
    expect(parseMounts(line("/a", "ext4", "ro,nosuid,noexec,relatime", "shared:7 "))).toEqual([
      { path: "/a", type: "ext4", flags: 2 | 8 },
    ]);
    expect(parseMounts(line("/a", "ext4", "rw,nodev"))).toMatchObject([{ flags: 4 }]);
  });

  test("reads spaces and backslashes in paths", () => {
    const text = String.raw`1 2 0:1 / /a\040b\134040 rw - tmpfs x rw`;
    expect(parseMounts(text)).toEqual([{ path: String.raw`/a b\040`, type: "tmpfs", flags: 0 }]);
  });

  test("omits lines that are not mounts", () => {
    expect(parseMounts("\n1 2 3\n1 2 0:1 / /a rw\n - tmpfs x rw\n")).toEqual([]);
  });
});

describe("protectionsOf", () => {
  test("leaves ordinary file systems, /proc and /dev", () => {
    const others = [
      line("/", "ext4"),
      line("/proc", "proc"),
      line("/proc/sys/fs/binfmt_misc", "binfmt_misc"),
      line("/dev", "devtmpfs"),
      line("/dev/pts", "devpts"),
      line("/system", "ext4"),
    ];
    expect(shown(...others)).toEqual([]);
  });

  test("makes /sys and control groups read-only, wherever they are", () => {
    expect(
      shown(
        line("/sys", "sysfs", "rw,nosuid"),
        line("/sys/fs/cgroup", "cgroup2"),
        line("/cgroup", "cgroup"),
        line("/sys/fs/selinux", "selinuxfs"),
      ),
    ).toEqual([
      "read-only /sys",
      "read-only /sys/fs/cgroup",
      "read-only /cgroup",
      "read-only /sys/fs/selinux",
    ]);
    expect(of(line("/sys", "sysfs", "rw,nosuid"))[0]?.flags).toBe(2);
  });

  test("masks what shows the kernel, also in other places", () => {
    expect(
      shown(
        line("/sys/kernel/debug", "debugfs"),
        line("/srv/root/proc", "proc"),
        line("/srv/root/sys", "sysfs"),
        line("/srv/root/dev", "devtmpfs"),
        line("/procs", "proc"),
      ),
    ).toEqual([
      "masked /sys/kernel/debug",
      "masked /srv/root/proc",
      "masked /srv/root/sys",
      "masked /srv/root/dev",
      "masked /procs",
    ]);
  });

  test("masks files of /sys at the end", () => {
    expect(of().map(({ path, how }) => [how, path])).toEqual(
      MASKED_SYS.map((name) => ["masked", `/sys/${name}`]),
    );
  });
});
