/** Which transfer a command line of shell-client asks for, in either form. */
import { commandLineError, VsockboxError } from "../../errors.ts";
import { baseName, bytesPath, joinPath } from "../../files/bytes-path.ts";

/** A transfer between a path here and one at the server. */
export interface Transfer {
  direction: "upload" | "download";
  local: Buffer;
  remote: Buffer;
}

/** The options of a transfer; paths are bytes. */
export interface TransferWords {
  upload: Uint8Array | undefined;
  download: Uint8Array | undefined;
  to: Uint8Array | undefined;
  remoteDirectory: Uint8Array;
  localDirectory: Uint8Array;
}

const COLON = 0x3a;
const SLASH = 0x2f;

/**
 * Determines the transfer: `SRC:DST` as in the README, a file alone as the C code has it, or
 * `SRC` with `--to DST`.
 *
 * @returns undefined if no transfer is requested.
 * @throws {VsockboxError} USAGE.
 */
export function readTransfer(words: TransferWords): Transfer | undefined {
  const { upload, download, to } = words;
  if (upload !== undefined && download !== undefined) {
    throw usage("--upload cannot be used with --download");
  }
  const value = upload ?? download;
  if (value === undefined) {
    if (to !== undefined) throw usage("--to goes with --upload or --download");
    return undefined;
  }
  const direction = upload === undefined ? "download" : "upload";
  const [source, destination] = split(value, direction, words);
  return direction === "upload"
    ? { direction, local: source, remote: destination }
    : { direction, local: destination, remote: source };
}

function split(
  value: Uint8Array,
  direction: Transfer["direction"],
  { to, remoteDirectory, localDirectory }: TransferWords,
): [Buffer, Buffer] {
  if (to !== undefined) return [named(value), into(to, value)];
  const colon = value.indexOf(COLON);
  if (colon === -1) {
    const directory = direction === "upload" ? remoteDirectory : localDirectory;
    return [named(value), joinPath(directory, fileName(value))];
  }
  if (value.lastIndexOf(COLON) !== colon) {
    throw usage(
      `--${direction} has more than one colon`,
      `a path with a colon is written as --${direction} SRC --to DST`,
    );
  }
  const source = named(value.subarray(0, colon));
  return [source, into(value.subarray(colon + 1), source)];
}

/** A destination that ends in a slash is a directory that gets the source's name. */
function into(destination: Uint8Array, source: Uint8Array): Buffer {
  const path = named(destination);
  return path.at(-1) === SLASH ? joinPath(path, fileName(source)) : path;
}

function named(path: Uint8Array): Buffer {
  if (path.length === 0) throw usage("a path is empty");
  return bytesPath(path) as Buffer;
}

function fileName(path: Uint8Array): Uint8Array {
  const name = baseName(path);
  if (name.length > 0 && name.toString() !== "." && name.toString() !== "..") return name;
  throw usage("the source has no name that the copy could get", "name the destination");
}

function usage(message: string, hint?: string): VsockboxError {
  return commandLineError("shell-client", message, hint);
}
