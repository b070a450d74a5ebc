/**
 * Waiting until a descriptor is readable, one call for each wait, whatever was read of it before. One that
 * is read again and again waits by `ready-descriptor.ts` for less.
 */
import { EPOLLIN } from "../ffi/epoll.ts";
import {
  type DescriptorWatch,
  descriptorWatch,
  type WatchedDescriptor,
} from "./descriptor-watch.ts";

/** Waits for any number of descriptors. */
class ReadableWatch {
  readonly #watch: DescriptorWatch;
  readonly #waiting = new Map<number, WatchedDescriptor>();

  constructor(watch: DescriptorWatch = descriptorWatch()) {
    this.#watch = watch;
  }

  /** Calls `wake` once, as soon as `fd` is readable or has ended; always after this method has returned. */
  once(fd: number, wake: () => void): void {
    const watched = this.#watch.add(fd, EPOLLIN, () => {
      this.forget(fd);
      wake();
    });
    this.#waiting.set(fd, watched);
  }

  /** Ends the wait for a descriptor; to be called before it is closed. */
  forget(fd: number): void {
    this.#waiting.get(fd)?.close();
    this.#waiting.delete(fd);
  }
}

let shared: ReadableWatch | undefined;

/** Returns the watch of this process, made at its first use. */
export function readableWatch(): ReadableWatch {
  shared ??= new ReadableWatch();
  return shared;
}
