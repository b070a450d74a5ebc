/** A directory of this machine as the files of an export. */
import { bytesPath } from "../../files/bytes-path.ts";
import { DirectoryHandle } from "../../files/directory-handle.ts";
import { directoryError } from "../../files/local-directory.ts";
import { reasonOf, VsockboxError } from "../../errors.ts";
import type { VfsChange } from "./changes.ts";
import { ChangeFeed } from "./change-feed.ts";
import { DirectorySession } from "./directory-session.ts";
import type { ExportPolicy } from "./directory-context.ts";
import { OwnChanges } from "./own-changes.ts";
import { ExportRoot } from "./export-root.ts";
import type { ExportedFiles, FileSession } from "./file-session.ts";
import { ExportHandles } from "./export-handles.ts";

/** Open files of one connection, unless the caller wants another limit. */
export const DEFAULT_MAX_OPEN_FILES = 8192;

/** Options of {@link ExportedDirectory.open}. */
export interface ExportedDirectoryOptions extends ExportPolicy {
  /** Open files of one connection. */
  readonly maxOpenFiles?: number | undefined;
  /** Called once if changes cannot be watched; guests then see them when their caches end. */
  readonly onWatchFailure?: ((error: VsockboxError) => void) | undefined;
}

/** An exported directory. It stays the same one, wherever it is moved to. */
export class ExportedDirectory implements ExportedFiles {
  readonly #directory: DirectoryHandle;
  readonly #options: ExportedDirectoryOptions;
  readonly #feed: ChangeFeed;
  readonly isReadOnly: boolean;
  readonly features: readonly string[];

  private constructor(
    directory: DirectoryHandle,
    shown: Uint8Array,
    options: ExportedDirectoryOptions,
  ) {
    this.#directory = directory;
    this.#options = options;
    this.isReadOnly = options.isReadOnly;
    this.features = options.hasXattr ? ["notify", "xattr"] : ["notify"];
    this.#feed = new ChangeFeed(directory, shown, options);
  }

  /**
   * Opens a directory by its path, links followed.
   *
   * @throws {VsockboxError} IO, as `directoryError`.
   */
  static open(path: string, options: ExportedDirectoryOptions): ExportedDirectory {
    try {
      const directory = DirectoryHandle.open(bytesPath(path));
      return new ExportedDirectory(directory, bytesPath(path), options);
    } catch (thrown) {
      throw directoryError(path, reasonOf(thrown), { cause: thrown });
    }
  }

  open(followsLinks: boolean): FileSession {
    const policy = this.#options;
    const links = followsLinks ? "inside" : "none";
    const context = {
      root: new ExportRoot(this.#directory.fd, policy.hidden, links),
      handles: new ExportHandles(policy.maxOpenFiles ?? DEFAULT_MAX_OPEN_FILES),
      policy,
    };
    return new DirectorySession(context, new OwnChanges(this.#feed));
  }

  subscribe(notify: (change: VfsChange) => void): Promise<Disposable> {
    return this.#feed.subscribe(notify);
  }

  close(): void {
    this.#feed.close();
    this.#directory.close();
  }
}
