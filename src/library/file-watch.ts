/** A watch of files in a guest, for the library. */
import type { WatchedPath } from "../agent/client/watched-path.ts";

/** A change of a watched file. */
export interface FileEvent {
  /** `overflow`: changes are lost, since the guest's kernel had to drop some. */
  kind: "create" | "modify" | "remove" | "rename" | "attributes" | "overflow";
  /** Its path, which begins with the watched one; of an overflow, undefined. */
  path: string | undefined;
  /** The bytes of the path, which need not be UTF-8. */
  pathBytes: Uint8Array | undefined;
  /** The former path of a renamed file; undefined for all other kinds. */
  from: string | undefined;
  isDirectory: boolean;
}

/**
 * The changes of a path, as they happen. The iteration ends when what has the path is removed, or after
 * {@link close}; leaving it ends the watch.
 */
export class FileWatch implements AsyncIterable<FileEvent>, Disposable {
  /** Number of directories that were watched at the beginning. */
  readonly directories: number;
  readonly #watch: WatchedPath;

  /** Made by `Files.watch`. */
  constructor(watch: WatchedPath) {
    this.#watch = watch;
    this.directories = watch.directories;
  }

  /**
   * Iterates over the changes, once.
   *
   * @throws {VsockboxError} TRANSPORT if the connection ends, and the agent's own error.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<FileEvent, void, undefined> {
    for await (const change of this.#watch.events()) {
      const isOverflow = change.kind === "overflow";
      const pathBytes = isOverflow ? undefined : change.path;
      yield {
        kind: change.kind,
        path: textOrUndefined(pathBytes),
        pathBytes,
        from: textOrUndefined(isOverflow ? undefined : change.from),
        isDirectory: !isOverflow && change.isDirectory,
      };
    }
  }

  /** Ends the watch. */
  close(): void {
    this.#watch.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function textOrUndefined(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}
