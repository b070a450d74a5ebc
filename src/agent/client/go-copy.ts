/** Copies of single whole files between a local path and an agent that has only the Go agent's frames. */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { writeFileAtomically } from "../../files/atomic-write.ts";
import type { BytesPath } from "../../files/bytes-path.ts";
import type { SocketAddress } from "../../net/address.ts";
import type { DialOptions } from "../../net/dial.ts";
import { ReceivedBytes } from "../transfer/receive-limit.ts";
import { fileError } from "../transfer/transfer.ts";
import type { TransferOptions } from "./file-transfer.ts";
import { readOldFile } from "./go-files.ts";
import { unsupportedByGoAgent } from "./go-unsupported.ts";

/** Mode of a downloaded file: the frame carries the bytes alone. */
const DOWNLOAD_MODE = 0o644;

/** Options whose effect needs more than a file's bytes. */
const NOT_CARRIED = [
  "recursive",
  "preserve",
  "preserveOwner",
  "resume",
  "checksum",
  "keep",
  "exclusive",
] as const;

/**
 * Rejects options of a transfer that these frames cannot fulfil.
 *
 * @throws {VsockboxError} UNAVAILABLE.
 */
export function assertWholeFile(options: TransferOptions): void {
  const asked = NOT_CARRIED.find((name) => options[name] === true);
  if (asked === undefined) return;
  throw unsupportedByGoAgent("copy", `a file's bytes with the option ${asked}`);
}

/**
 * Returns the bytes and the permission bits of a local file.
 *
 * @throws {VsockboxError} IO.
 */
export function readLocalFile(path: BytesPath): { content: Uint8Array; mode: number } {
  try {
    const fd = openSync(path, "r");
    try {
      return { content: readFileSync(fd), mode: fstatSync(fd).mode & 0o777 };
    } finally {
      closeSync(fd);
    }
  } catch (thrown) {
    throw fileError("read", path, thrown);
  }
}

/**
 * Copies a file of a guest to a local path.
 *
 * @returns the number of bytes.
 * @throws {VsockboxError} IO; with EFBIG if it has more than `maxBytes`.
 */
export async function downloadOldFile(
  address: SocketAddress,
  options: DialOptions,
  {
    remote,
    local,
    maxBytes,
  }: { remote: Uint8Array; local: BytesPath; maxBytes?: number | undefined },
): Promise<number> {
  const content = await readOldFile(address, options, remote);
  new ReceivedBytes(maxBytes).expect(content.length);
  try {
    await writeFileAtomically(local.toString(), content, DOWNLOAD_MODE);
  } catch (thrown) {
    throw fileError("write", local, thrown);
  }
  return content.length;
}
