/** A pcap file of vsock packets that is being written. It has whole packets only, also after a failure. */
import {
  fchmodSync,
  closeSync,
  constants,
  fstatSync,
  ftruncate,
  ftruncateSync,
  openSync,
  write,
  writeSync,
} from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import { encodeFileHeader, type TimeUnit } from "../protocols/pcap/file-format.ts";

/** What the header of a capture fixes for its records. */
export interface CaptureFormat {
  /** The most bytes that a record has of its packet. */
  snapBytes: number;
  /** The unit of the times. */
  unit: TimeUnit;
}

/** An open file. */
export class CaptureFile {
  readonly path: string;
  readonly #fd: number;
  #written = 0;
  #isClosed = false;

  /**
   * Creates a file with mode 0600 and writes its header.
   *
   * @param force replaces an existing file.
   * @throws {VsockboxError} CANNOT_CREATE: the file exists, or cannot be created.
   */
  constructor(path: string, { snapBytes, unit }: CaptureFormat, force: boolean) {
    this.path = path;
    this.#fd = openFile(path, force);
    const header = encodeFileHeader(snapBytes, unit);
    try {
      // The first write: a part of it means that the disk is full already.
      this.#written = writeSync(this.#fd, header);
    } catch (thrown) {
      closeSync(this.#fd);
      throw cannotCreate(path, thrown);
    }
  }

  /** Bytes of the header and of all packets that are written. */
  get writtenBytes(): number {
    return this.#written;
  }

  /**
   * Appends whole records. The bytes must stay as they are until it resolves.
   *
   * @throws the error of write(2), after the records have been removed from the file and it was closed.
   */
  async append(records: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < records.length;) at += await this.#writePart(records, at);
    } catch (thrown) {
      // Readers fail on an incomplete packet at the end.
      await new Promise((resolve) => ftruncate(this.#fd, this.#written, resolve));
      this.close();
      throw thrown;
    }
    this.#written += records.length;
  }

  #writePart(bytes: Uint8Array, at: number): Promise<number> {
    return new Promise((resolve, reject) => {
      write(this.#fd, bytes, at, bytes.length - at, null, (error, count) => {
        if (error === null || error === undefined) resolve(count);
        else reject(error);
      });
    });
  }

  /** Closes the file. A second call does nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    closeSync(this.#fd);
  }
}

/** Payloads can contain secrets. */
const MODE = 0o600;

/** Opens the file; symbolic links are not followed, and other types of files are refused. */
function openFile(path: string, force: boolean): number {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    const flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
    fd = openSync(path, force ? flags : flags | O_EXCL, MODE);
  } catch (thrown) {
    throw cannotCreate(path, thrown);
  }
  try {
    if (!fstatSync(fd).isFile()) {
      throw new VsockboxError({
        code: "CANNOT_CREATE",
        operation: "capture to",
        address: path,
        message: "not a regular file",
      });
    }
    // One that is replaced may be open to others.
    fchmodSync(fd, MODE);
    ftruncateSync(fd, 0);
    return fd;
  } catch (thrown) {
    closeSync(fd);
    throw cannotCreate(path, thrown);
  }
}

function cannotCreate(path: string, thrown: unknown): VsockboxError {
  if (thrown instanceof VsockboxError) return thrown;
  const { errno, message } = reasonOf(thrown);
  const exists = errno === "EEXIST";
  return new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "capture to",
    address: path,
    message: exists ? "file exists" : message,
    errno,
    hint: exists ? "choose another name, or replace it with --force" : undefined,
    cause: thrown,
  });
}
