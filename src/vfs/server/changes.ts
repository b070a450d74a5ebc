/** Changes of exported files, as connections are notified of them. */
import type { NoteKind } from "../../protocols/vfs/responses.ts";

/** A change below the root. */
export interface VfsChange {
  kind: NoteKind;
  /** Relative to the root; empty for an overflow. */
  path: Uint8Array;
  /** The new path of a rename. */
  newPath?: Uint8Array | undefined;
}
