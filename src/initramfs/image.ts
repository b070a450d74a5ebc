/** The entries of an image whose init is vsockbox, and of an overlay over another image. */
import type { AddedFile } from "./added-file.ts";
import type { CpioEntry } from "./cpio.ts";
import {
  archivePath,
  DEVICE_ENTRIES,
  earlyEntries,
  MOUNT_DIRECTORIES,
  sharedObjectEntries,
} from "./executable.ts";
import { withDirectories } from "./directories.ts";
import { encodeInitConfig, INIT_CONFIG_PATH, type InitConfig } from "./init-config.ts";
import { moduleEntries, type ModuleFile } from "./modules.ts";

/** The path of vsockbox in an image. */
export const IMAGE_EXECUTABLE = "/usr/bin/vsockbox";

/** Contents of an image. */
export interface ImageOptions {
  /** The local file that becomes {@link IMAGE_EXECUTABLE}. */
  executable: string;
  /** Whether it goes over another image, of which everything else stays. */
  overlay: boolean;
  /** Whether vsockbox is the image's init. */
  isInit: boolean;
  /** In load order. */
  modules: readonly ModuleFile[];
  config: InitConfig;
  /** They come before everything else of the same path. */
  files: readonly AddedFile[];
  busybox: readonly CpioEntry[];
  /** Further names of vsockbox, beside it. */
  names: readonly string[];
}

/** Enough for `exec --user root` and for programs that ask who they are. */
const ACCOUNTS: readonly CpioEntry[] = [
  textEntry("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
  textEntry("/etc/group", "root:x:0:\n"),
];

/** Returns all entries, directories included, in an order that depends on the options alone. */
export function imageEntries(options: ImageOptions): CpioEntry[] {
  const { executable, overlay, isInit, files } = options;
  const added = files.map(({ source, path, mode }): CpioEntry => ({
    kind: "copy",
    path: archivePath(path),
    mode,
    source,
  }));
  const entries: CpioEntry[] = [
    ...added,
    ...(isInit ? [link("/init", archivePath(IMAGE_EXECUTABLE)), ...DEVICE_ENTRIES] : []),
    ...(isInit ? earlyEntries(executable) : []),
    ...(overlay ? [] : ACCOUNTS),
    configEntry(options.config),
    ...options.busybox,
    ...moduleEntries(options.modules),
    ...sharedObjectEntries([executable, ...sourcesOf(options.busybox), ...sourcesOf(added)]),
    { kind: "copy", path: archivePath(IMAGE_EXECUTABLE), mode: 0o755, source: executable },
    ...options.names.map((name) => link(`/usr/bin/${name}`, "vsockbox")),
  ];
  return withDirectories(entries, {
    directories: overlay ? [] : MOUNT_DIRECTORIES,
    keepsLinks: overlay,
  });
}

function configEntry(config: InitConfig): CpioEntry {
  return {
    kind: "file",
    path: archivePath(INIT_CONFIG_PATH),
    mode: 0o644,
    data: encodeInitConfig(config),
  };
}

function sourcesOf(entries: readonly CpioEntry[]): string[] {
  return entries.flatMap((entry) => (entry.kind === "copy" ? [entry.source] : []));
}

function link(path: string, target: string): CpioEntry {
  return { kind: "symlink", path: archivePath(path), target };
}

function textEntry(path: string, text: string): CpioEntry {
  const data = new TextEncoder().encode(text);
  return { kind: "file", path: archivePath(path), mode: 0o644, data };
}
