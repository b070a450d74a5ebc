/** Memory for the path arguments of system calls, so that a call allocates nothing. */
import type { Pointer } from "bun:ffi";
import { ptr } from "./libc.ts";

/** PATH_MAX of linux/limits.h, with the NUL. */
export const PATH_BYTES = 4096;

/** One path argument at a time. */
export class PathBuffer {
  readonly #bytes = new Uint8Array(new ArrayBuffer(PATH_BYTES));
  #address: Pointer | undefined;

  /**
   * Holds a NUL-terminated copy until the next call.
   *
   * @returns its address; undefined if it has a NUL byte or is too long.
   */
  set(path: Uint8Array): Pointer | undefined {
    if (path.length >= PATH_BYTES || path.includes(0)) return undefined;
    this.#bytes.set(path);
    this.#bytes[path.length] = 0;
    this.#address ??= ptr(this.#bytes);
    return this.#address;
  }

  /** Holds the path of an open file in /proc: it names that file whatever its names are now. */
  setDescriptor(fd: number): Pointer {
    const { written } = encoder.encodeInto(`/proc/self/fd/${fd}`, this.#bytes);
    this.#bytes[written] = 0;
    this.#address ??= ptr(this.#bytes);
    return this.#address;
  }
}

const encoder = new TextEncoder();
