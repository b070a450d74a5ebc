/** What watchers report, and which of it. */
import type { BytesPath } from "../../files/bytes-path.ts";

/** One change of a file. */
export interface FileChange {
  kind: "create" | "modify" | "remove" | "rename" | "attributes";
  /** Relative to the watched directory, without a leading slash; empty for that directory itself. */
  path: BytesPath;
  /** The former path of a renamed file; undefined for all other kinds. */
  from: BytesPath | undefined;
  isDirectory: boolean;
}

/** Something that a watcher reports: a change, or that changes are lost since the kernel's queue was full. */
export type WatchEvent = FileChange | { kind: "overflow" };

/** Which files a watcher reports. */
export interface WatchFilter {
  /** Whether directories below the watched one are watched as well. */
  isRecursive: boolean;
  /** Reports this entry of the directory alone, and nothing about the directory itself. */
  only?: Uint8Array | undefined;
  /** Whether a path, as in {@link FileChange}, is not reported, nor anything below it. */
  isHidden?: ((path: BytesPath) => boolean) | undefined;
}
