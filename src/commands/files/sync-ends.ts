/** The two directions of a mirror: which side is read, and which one is changed. */
import type { TransferSummary } from "../../agent/transfer/transfer.ts";
import type { WatchEvent } from "../../vfs/watch/file-change.ts";
import type { SyncTree } from "./sync-plan.ts";
import type { SyncScope } from "./sync-trees.ts";

/** Changes of a source, until the watch is closed. */
export interface SourceWatch {
  /** Number of watched directories, at the beginning. */
  readonly directories: number;
  /** Number of directories that may not be read. */
  readonly unreadable: number;
  /** Returns the changes, with paths relative to the source. */
  events(): AsyncGenerator<WatchEvent, void, undefined>;
  close(): void;
}

/** The source and the destination of a mirror. */
export interface SyncEnds {
  readSource(scope: SyncScope): Promise<SyncTree>;
  readDestination(scope: SyncScope): Promise<SyncTree>;
  /**
   * Removes paths of the destination with what is below them, through no link. Failures are noted.
   *
   * @returns the number of removed files and directories.
   */
  remove(paths: readonly string[], summary: TransferSummary): Promise<number>;
  /**
   * Copies paths of the source, directories before what is in them.
   *
   * @throws {VsockboxError} what ends the whole transfer; failures of single files are noted.
   */
  copy(paths: readonly string[], source: SyncTree, summary: TransferSummary): Promise<void>;
  /** Watches the source; resolves when the watch is armed. */
  watchSource(): Promise<SourceWatch>;
}

/** What both directions need. */
export interface SyncEndsOptions {
  /** Removes what the source does not have. */
  deletes: boolean;
  /** Compares the content of files before they are copied. */
  checksum: boolean;
  /** Patterns of names that are left out. */
  exclude: readonly string[];
  /** Fires to end the transfer. */
  signal: AbortSignal;
}
