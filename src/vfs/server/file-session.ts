/**
 * What a connection of an export asks for its files: one request in, one answer out. An exported directory
 * is one implementation, files of a program are another.
 */
import type { VfsChange } from "./changes.ts";
import type { VfsRequest } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";

/** Answers of one connection. Handles belong to it and are closed with it. */
export interface FileSession {
  /** Number of open files. */
  readonly openFiles: number;
  /** Returns the answer; it throws for defects alone. Byte strings of the request are valid until then. */
  handle(request: VfsRequest): VfsResponse | Promise<VfsResponse>;
  /**
   * Reads straight into the connection's output; undefined: {@link handle} reads. Returns the number of
   * bytes, or the errno as a negative number.
   */
  readInto?(request: VfsRequest & { op: "read" }, address: number, bytes: number): number;
  /** Whether a change is one that this session has made: it is not notified of it. */
  isOwn?(change: VfsChange): boolean;
  /** Closes all handles. */
  close(): void;
}

/** Files that several connections use. */
export interface ExportedFiles {
  readonly isReadOnly: boolean;
  /** Features beyond version 1 that it has. */
  readonly features: readonly string[];
  /**
   * Begins a connection.
   *
   * @param followsLinks whether symbolic links within the root are followed, for guests of the Go dialect.
   */
  open(followsLinks: boolean): FileSession;
  /**
   * Calls `notify` for each change after it has resolved, until disposed; undefined if changes are not known.
   *
   * @throws {VsockboxError} if they cannot be watched.
   */
  subscribe?(notify: (change: VfsChange) => void): Promise<Disposable>;
  /** Releases what the export holds, after its connections have ended. */
  close(): void;
}
