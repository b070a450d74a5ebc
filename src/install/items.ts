/** What an installation consists of, before it is known what is in the tree. */

/** Something that is to be in the tree. Paths are absolute, with the tree as the root. */
export type Item =
  /** A copy of the executable. */
  | { kind: "binary"; path: string; mode: number; source: string; sha256: string; bytes: number }
  /** UTF-8. `lines` are a part of it that goes away alone where the rest was changed by hand. */
  | { kind: "text"; path: string; mode: number; text: string; lines?: string }
  | { kind: "link"; path: string; target: string }
  /** Lines with marks of their own in a file that is somebody else's. Latin-1. */
  | { kind: "lines"; path: string; lines: string }
  /** Whatever is there stays; where it is ours it stays ours. */
  | { kind: "keep"; path: string };

/** What stands at a path of the tree. */
export type Found =
  | { kind: "nothing" }
  /** `lines` are ours, with their marks, where the file has any. */
  | { kind: "file"; sha256: string; mode: number; lines?: string | undefined }
  | { kind: "link"; target: string }
  | { kind: "directory" }
  /** A device, a FIFO, a socket. */
  | { kind: "other" };
