/** The server's end of a transfer: opens its path and checks that it is allowed. */
import { fstatSync, lstatSync, type Stats } from "node:fs";
import { fileExistsError } from "../agent/transfer/incoming-file.ts";
import { VsockboxError } from "../errors.ts";
import { baseName, joinPath, namesDirectory, parentOf, showPath } from "../files/bytes-path.ts";
import { fileKind, kindInWords } from "../files/facts.ts";
import type { OpenedPath, PathRoot } from "../files/path-root.ts";
import type { TransferEvent } from "../protocols/vsock-shell/server-protocol.ts";

/** The destination of an upload. */
export interface Destination {
  directory: OpenedPath;
  /** The directory as the client named it. */
  shown: Buffer;
  name: Buffer;
}

/**
 * Opens the directory of an upload.
 *
 * @throws {VsockboxError} USAGE if the path can only be a directory; CANNOT_CREATE if something
 * is there and may not be replaced; REFUSED outside of the root; IO.
 */
export function openUpload(root: PathRoot, { path, extension }: TransferEvent): Destination {
  const name = baseName(path);
  if (name.length === 0 || namesDirectory(path)) {
    throw new VsockboxError({
      code: "USAGE",
      operation: "upload to",
      address: showPath(path),
      message: "it is not a file name",
    });
  }
  const shown = parentOf(path);
  const directory = root.openDirectory(shown);
  const mayBeThere = extension?.overwrite === true || extension?.resume === true;
  const target = joinPath(directory.path, name);
  if (!mayBeThere && lstatSync(target, { throwIfNoEntry: false }) !== undefined) {
    directory[Symbol.dispose]();
    throw fileExistsError(joinPath(shown, name));
  }
  return { directory, shown, name };
}

/** What a download sends. */
export interface DownloadSource {
  opened: OpenedPath;
  status: Stats;
}

/**
 * Opens what a download sends.
 *
 * @throws {VsockboxError} REFUSED outside of the root; IO if it cannot be sent.
 */
export function openSource(root: PathRoot, { path, extension }: TransferEvent): DownloadSource {
  const opened = root.open(path);
  const status = fstatSync(opened.fd);
  const mayBeDirectory = extension?.recursive === true;
  if (status.isFile() || (status.isDirectory() && mayBeDirectory)) return { opened, status };
  opened[Symbol.dispose]();
  throw new VsockboxError({
    code: "IO",
    operation: "download",
    address: showPath(path),
    message: status.isDirectory()
      ? "it is a directory; --recursive (-R) copies directories"
      : `it is not a regular file but a ${kindInWords(fileKind(status))}`,
  });
}
