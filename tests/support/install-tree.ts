/** Root file systems as trees in a directory, for tests of `vsockbox install`. */
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { readElfNeeds } from "../../src/elf/shared-objects.ts";
import { BINARY } from "./binary.ts";

/** A tree's files: a text, a link's target behind `->`, or a copy of this machine's file behind `=`. */
export type TreeFiles = Readonly<Record<string, string>>;

/** busybox init's configuration as Buildroot has it, in short. */
export const INITTAB =
  "::sysinit:/bin/mount -t proc proc /proc\n::respawn:/sbin/getty -L console 0 vt100\n";

/** Trees by the systems that they are like. */
export const SYSTEMS = {
  debian: {
    bin: "->usr/bin",
    sbin: "->usr/sbin",
    lib: "->usr/lib",
    "usr/bin/sh": "=/bin/true",
    "usr/sbin/init": "->/lib/systemd/systemd",
    "usr/lib/systemd/systemd": "=/bin/true",
    "etc/systemd/system/getty.target.wants/getty@tty1.service":
      "->/lib/systemd/system/getty@.service",
  },
  alpine: {
    "bin/busybox": "=/bin/true",
    "bin/sh": "->/bin/busybox",
    "sbin/init": "->/bin/busybox",
    "sbin/openrc-run": "",
    "etc/inittab": "::sysinit:/sbin/openrc sysinit\n",
    "etc/runlevels/default/crond": "->/etc/init.d/crond",
    "usr/bin/env": "->/bin/busybox",
  },
  buildroot: {
    "bin/busybox": "=/bin/true",
    "bin/sh": "->busybox",
    "sbin/init": "->../bin/busybox",
    linuxrc: "->bin/busybox",
    "etc/inittab": INITTAB,
    "usr/bin/env": "->../../bin/busybox",
  },
} as const satisfies Record<string, TreeFiles>;

/** Makes a tree, and in it a file where the executables of the tests have their loader, if they have one. */
export function makeTree(root: string, files: TreeFiles): string {
  const loaders = [BINARY, "/bin/true"].map((path) => readElfNeeds(path).interpreter);
  mkdirSync(root, { recursive: true });
  // Links first: they may be parents of others.
  const entries = Object.entries(files).sort(
    ([, a], [, b]) => Number(b.startsWith("->")) - Number(a.startsWith("->")),
  );
  for (const [path, content] of entries) {
    const place = join(root, path);
    mkdirSync(dirname(place), { recursive: true });
    if (content.startsWith("->")) symlinkSync(content.slice(2), place);
    else writeFileSync(place, content.startsWith("=") ? readFileSync(content.slice(1)) : content);
  }
  for (const loader of loaders) {
    if (loader === undefined) continue;
    mkdirSync(join(root, dirname(loader)), { recursive: true });
    writeFileSync(join(root, loader), "");
  }
  return root;
}

/**
 * A small program that passes for vsockbox, so that not every test copies 110 MB; another text makes
 * another version.
 */
export function writeSmallBinary(path: string, version: string): string {
  const mark = "vsockbox can install this executable";
  writeFileSync(path, Buffer.concat([readFileSync("/bin/true"), Buffer.from(mark + version)]));
  chmodSync(path, 0o755);
  return path;
}
