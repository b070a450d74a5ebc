/** Parts of a transfer that both ends share: the summary, progress, and errors of files. */
import { reasonOf, VsockboxError } from "../../errors.ts";
import { type BytesPath, showPath } from "../../files/bytes-path.ts";
import { printable } from "../../text/printable.ts";
import type { DirectoryHandle } from "../../files/directory-handle.ts";
import { openResolvedDirectory } from "../../files/resolve-path.ts";
import { field, type JsonObject } from "../../protocols/agent/json-fields.ts";

/** The stream that a file's bytes travel on. */
export const FILE_STREAM = 1;

/** Limit of listed errors; further ones are only counted. */
const MAX_LISTED_ERRORS = 100;

/** Limit of the characters of one error: a path may have 4096, and all errors must fit into one frame. */
const ERROR_LENGTH = { maxCharacters: 1000 };

/** Errors that would repeat for every following file: they end the transfer. */
const FATAL_ERRNOS = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE", "ENFILE"]);

/** Progress of a transfer. */
export interface TransferProgress {
  files: number;
  /** Bytes of the transferred files, including those that did not have to be sent. */
  bytes: number;
}

/** Result of a transfer. */
export class TransferSummary implements TransferProgress {
  files = 0;
  directories = 0;
  links = 0;
  bytes = 0;
  /** Bytes that did not have to be sent again. */
  reused = 0;
  errors: string[] = [];
  errorCount = 0;

  /** Notes an error that ends one file, not the transfer. */
  note(message: string): void {
    this.errorCount++;
    if (this.errors.length < MAX_LISTED_ERRORS) this.errors.push(printable(message, ERROR_LENGTH));
  }

  /** Adds the errors of the other end's summary. */
  addErrors(value: JsonObject): void {
    const count = field(value, "errorCount");
    const errors = field(value, "errors");
    if (typeof count !== "number" || !Array.isArray(errors)) return;
    const free = MAX_LISTED_ERRORS - this.errors.length;
    const texts = errors.filter((error) => typeof error === "string").slice(0, free);
    this.errors.push(...texts.map((error) => printable(error, ERROR_LENGTH)));
    if (Number.isSafeInteger(count) && count > 0) this.errorCount += count;
  }

  /** As JSON, for a channel's result and for `--json`. */
  toJSON(): JsonObject {
    const { files, directories, links, bytes, reused, errors, errorCount } = this;
    return { files, directories, links, bytes, reused, errorCount, errors };
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
export function openDestination(path: BytesPath): DirectoryHandle {
  try {
    return openResolvedDirectory(path);
  } catch (thrown) {
    throw fileError("open directory", path, thrown);
  }
}

/** Converts the error of a file call, with the operation and the path. */
export function fileError(operation: string, path: BytesPath, thrown: unknown): VsockboxError {
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
