/** The items of an installation, independent of the state of the tree. */

/** Something that is to be in the tree. Paths are absolute, with the tree as the root. */
export type Item =
  /** A copy of the executable. */
  | { kind: "binary"; path: string; mode: number; source: string; sha256: string; bytes: number }
  /** UTF-8. `lines` are the part that is removed alone if the rest was edited by hand. */
  | { kind: "text"; path: string; mode: number; text: string; lines?: string }
  | { kind: "link"; path: string; target: string }
  /** Marked lines in a file of another owner. Latin-1. */
  | { kind: "lines"; path: string; lines: string }
  /** An existing file stays, and keeps its owner. */
  | { kind: "keep"; path: string };

/** What stands at a path of the tree. */
export type Found =
  | { kind: "nothing" }
  /** `lines` are ours, with their marks, if the file has any. */
  | { kind: "file"; sha256: string; mode: number; lines?: string | undefined }
  | { kind: "link"; target: string }
  | { kind: "directory" }
  /** A device, a FIFO, a socket. */
  | { kind: "other" };
