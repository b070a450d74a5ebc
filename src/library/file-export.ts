/** Exports of files to guests, for programs: directories of the host, and files that a program provides. */
import type { AllowedCids } from "../net/allow-cid.ts";
import { withDefaultPort } from "../net/address.ts";
import { VFS_PORT } from "../agent/ports.ts";
import { DEFAULT_MAX_OPEN_FILES, ExportedDirectory } from "../vfs/server/exported-directory.ts";
import type { ExportedFiles } from "../vfs/server/file-session.ts";
import { FileServer } from "../vfs/server/file-server.ts";
import { HiddenNames } from "../vfs/server/hidden-names.ts";
import { type IdPair, OwnerMap } from "../vfs/server/owner-map.ts";
import { type FilesProvider, ProvidedFiles } from "../vfs/server/provided-files.ts";
import { Addr } from "./addr.ts";
import { type AddressLike, partsOf } from "./dial.ts";

/** The files of each export; programs see none of it. */
const filesOf = new WeakMap<FileExport, ExportedFiles>();

/** Files for {@link serveFilesAt}, made by {@link exportDirectory} or {@link exportFiles}. */
export class FileExport {
  /** Whether every change is refused. */
  readonly readOnly: boolean;

  /** Made by {@link exportDirectory} and {@link exportFiles}. */
  constructor(readOnly: boolean) {
    this.readOnly = readOnly;
  }
}

function exportOf(files: ExportedFiles): FileExport {
  const made = new FileExport(files.isReadOnly);
  filesOf.set(made, files);
  return made;
}

/** Options of {@link exportDirectory}. */
export interface DirectoryExportOptions {
  /** Refuse every change with EROFS. */
  readOnly?: boolean | undefined;
  /** Names that guests cannot see, at every depth, as a shell's patterns: `.env*`. */
  hide?: readonly string[] | undefined;
  /** Pairs of ids that stand for each other. */
  users?: readonly IdPair[] | undefined;
  groups?: readonly IdPair[] | undefined;
  /** Owner of everything that guests make. */
  squash?: { uid: number; gid: number } | undefined;
  /** Serve extended attributes `user.*`. */
  xattr?: boolean | undefined;
  /** Open files of one connection (default 8,192). */
  maxOpenFiles?: number | undefined;
}

/**
 * Opens a directory of the host to export it. Guests never leave it, whatever links it has.
 *
 * @throws {VsockboxError} IO if it cannot be opened.
 */
export function exportDirectory(path: string, options: DirectoryExportOptions = {}): FileExport {
  const { readOnly = false, hide = [], users, groups, squash, xattr = false } = options;
  return exportOf(
    ExportedDirectory.open(path, {
      isReadOnly: readOnly,
      hidden: new HiddenNames(hide),
      owners: new OwnerMap({ users, groups, squash }),
      hasXattr: xattr,
      maxOpenFiles: options.maxOpenFiles,
    }),
  );
}

/** Exports files that a program provides: generated, in memory, or those of a directory with changes. */
export function exportFiles(
  provider: FilesProvider,
  {
    readOnly = false,
    maxOpenFiles = DEFAULT_MAX_OPEN_FILES,
  }: Pick<DirectoryExportOptions, "readOnly" | "maxOpenFiles"> = {},
): FileExport {
  return exportOf(new ProvidedFiles(provider, { isReadOnly: readOnly, maxOpenFiles }));
}

/** Options of {@link serveFilesAt}. */
export interface FileServeOptions {
  /** Where guests connect; port 5001 if it has none. A Unix socket has mode 0600. */
  address: AddressLike;
  /** By their names; the first one is for guests that name none. */
  exports: Readonly<Record<string, FileExport>>;
  /** Whose connections are accepted, by CID (default: any); others are closed at once. */
  allowCids?: "any" | readonly number[] | undefined;
  /** Connections at a time; further ones are closed (default 64). */
  maxConnections?: number | undefined;
  /** Those of one CID, or of one Unix socket (default 16). */
  maxGuestConnections?: number | undefined;
}

/** A running file server. */
export class FileServerAtAddress implements AsyncDisposable {
  /** The address, with the port that the kernel chose. */
  readonly address: Addr;
  readonly #server: FileServer;

  /** Made by {@link serveFilesAt}. */
  constructor(server: FileServer, address: Addr) {
    this.#server = server;
    this.address = address;
  }

  /** Connections of guests. */
  get connections(): number {
    return this.#server.connections;
  }

  /** Stops accepting, ends all connections and closes the exports. */
  close(): Promise<void> {
    return this.#server.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Serves exports to guests until closed. Each export belongs to the server from then on.
 *
 * @throws {VsockboxError} as `listen`.
 */
export function serveFilesAt(options: FileServeOptions): FileServerAtAddress {
  const { allowCids = "any", maxConnections, maxGuestConnections } = options;
  const exports = new Map<string, ExportedFiles>();
  for (const [name, made] of Object.entries(options.exports)) {
    const files = filesOf.get(made);
    if (files !== undefined) exports.set(name, files);
  }
  const server = new FileServer({ exports, maxConnections, maxGuestConnections });
  const allowed: AllowedCids = allowCids === "any" ? "any" : new Set(allowCids);
  const address = withDefaultPort(partsOf(options.address), VFS_PORT);
  return new FileServerAtAddress(server, new Addr(server.listen(address, allowed)));
}
