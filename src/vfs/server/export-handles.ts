/** Open files of one connection, by the numbers that its guest has for them. */
import { ERRNO } from "../../ffi/errno.ts";
import { closeDescriptor } from "../../ffi/socket.ts";

/** An open file. */
export interface ExportedFile {
  readonly fd: number;
  readonly isDirectory: boolean;
  readonly isWritable: boolean;
  /** Of a directory: the offset of the entry that was read last. */
  position: bigint;
}

/** The handles of one connection. Numbers are not used again, so that an old one is never another file. */
export class ExportHandles {
  readonly #files = new Map<number, ExportedFile>();
  readonly #limit: number;
  #last = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Number of open files. */
  get size(): number {
    return this.#files.size;
  }

  /** Whether one more file may be opened. */
  get hasCapacity(): boolean {
    return this.#files.size < this.#limit && this.#last < LAST_HANDLE;
  }

  /** Owns an open file and returns its handle; the caller has checked {@link hasCapacity}. */
  add(file: ExportedFile): number {
    this.#files.set(++this.#last, file);
    return this.#last;
  }

  /** Returns an open file; undefined for a handle of another connection, or one that was released. */
  get(handle: number): ExportedFile | undefined {
    return this.#files.get(handle);
  }

  /** Closes a file. Returns 0, or the errno as a negative number. */
  release(handle: number): number {
    const file = this.#files.get(handle);
    if (file === undefined) return -ERRNO.EBADF;
    this.#files.delete(handle);
    closeDescriptor(file.fd);
    return 0;
  }

  /** Closes all files. */
  close(): void {
    for (const { fd } of this.#files.values()) closeDescriptor(fd);
    this.#files.clear();
  }
}

/** The largest handle, as it is a u32 on the wire. */
const LAST_HANDLE = 2 ** 32 - 1;
