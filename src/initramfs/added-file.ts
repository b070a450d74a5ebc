/** `--file SOURCE:DEST[:MODE]`: a local file that is packed too. */
import { statSync } from "node:fs";
import { posix } from "node:path";
import { invalidValue, reasonOf, VsockboxError } from "../errors.ts";

/** A file to be packed. */
export interface AddedFile {
  /** The local path. */
  source: string;
  /** In the image; absolute. */
  path: string;
  /** Permission bits. */
  mode: number;
}

/**
 * Reads one `--file`.
 *
 * @throws {VsockboxError} USAGE for a malformed value, CONFIG for a source that is not a regular file.
 */
export function parseAddedFile(text: string): AddedFile {
  const parts = text.split(":");
  const modeText =
    parts.length > 2 && /^[0-7]{3,4}$/.test(parts.at(-1) ?? "") ? parts.pop() : undefined;
  const path = parts.pop() ?? "";
  const source = parts.join(":");
  if (source === "" || !path.startsWith("/") || path.endsWith("/") || path.includes("\0")) {
    throw invalidValue({
      value: text,
      name: "--file",
      message: "expected SOURCE:DEST[:MODE]",
      hint: "DEST is the whole path in the image, MODE is octal: --file conf/token:/etc/token:600",
    });
  }
  // The kernel unpacks below its root in any case, but `..` would hide the destination.
  const normal = posix.normalize(path);
  return {
    source,
    path: normal,
    mode: modeText === undefined ? modeOf(source) : parseInt(modeText, 8),
  };
}

/** The source's own permissions, without set-user-ID. */
function modeOf(source: string): number {
  return fileStatus(source).mode & 0o777;
}

/**
 * Returns the status of a regular file, links followed.
 *
 * @throws {VsockboxError} CONFIG if it is not one.
 */
export function fileStatus(source: string): { mode: number; size: number } {
  const failed = (message: string, errno?: string) =>
    new VsockboxError({ code: "CONFIG", operation: "pack", address: source, message, errno });
  let status;
  try {
    status = statSync(source);
  } catch (thrown) {
    const { message, errno } = reasonOf(thrown);
    throw failed(message, errno);
  }
  if (!status.isFile()) throw failed("it is not a regular file");
  return { mode: status.mode, size: status.size };
}
