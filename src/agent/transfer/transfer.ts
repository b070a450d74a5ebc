/** Parts of a transfer that both ends share: the summary, progress, and errors of files. */
import { type Operation } from "../../operations.ts";
import { reasonOf, VsockboxError } from "../../errors.ts";
import { type BytesPath, showPath } from "../../files/bytes-path.ts";
import type { DirectoryHandle } from "../../files/directory-handle.ts";
import { openResolvedDirectory } from "../../files/resolve-path.ts";
import { Stream } from "../../protocols/agent/channel-frames.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { FileFailures } from "./file-failures.ts";

/** The stream that a file's bytes travel on. */
export const FILE_STREAM = Stream.Output;

/** Errors that would repeat for every following file: they end the transfer. */
const FATAL_ERRNOS = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE", "ENFILE"]);

/** Progress of a transfer. */
export interface TransferProgress {
  files: number;
  /** Bytes of the transferred files, including those that did not have to be sent. */
  bytes: number;
}

/** Result of a transfer. */
export class TransferSummary extends FileFailures implements TransferProgress {
  files = 0;
  directories = 0;
  links = 0;
  bytes = 0;
  /** Bytes that did not have to be sent again. */
  reused = 0;

  /** Adds another transfer's counts and failures. */
  add(other: TransferSummary): void {
    this.files += other.files;
    this.directories += other.directories;
    this.links += other.links;
    this.bytes += other.bytes;
    this.reused += other.reused;
    this.addFailures(other);
  }

  /** Returns the result of a channel, with the failures as texts. */
  toJSON(): JsonObject {
    const { files, directories, links, bytes, reused } = this;
    return { files, directories, links, bytes, reused, ...this.toWire() };
  }
}

/** Whether an error ends the whole transfer. */
export function isFatal(thrown: unknown): boolean {
  return FATAL_ERRNOS.has(reasonOf(thrown).errno ?? "");
}

/**
 * Opens the destination directory of a transfer; symbolic links are followed.
 *
 * @throws {VsockboxError} IO; REFUSED for a link that another user may have created.
 */
export function openDestinationDirectory(path: BytesPath): DirectoryHandle {
  try {
    return openResolvedDirectory(path);
  } catch (thrown) {
    throw fileError("open directory", path, thrown);
  }
}

/** Converts the error of a file call, with the operation and the path. */
export function fileError(operation: Operation, path: BytesPath, thrown: unknown): VsockboxError {
  if (thrown instanceof VsockboxError) return thrown;
  const { errno, message } = reasonOf(thrown);
  return new VsockboxError({
    code: errno === undefined ? "SOFTWARE" : "IO",
    operation,
    address: showPath(path),
    message,
    errno,
    hint: errno === "ENOSPC" ? "free some space there, or choose another directory" : undefined,
    cause: thrown,
  });
}
