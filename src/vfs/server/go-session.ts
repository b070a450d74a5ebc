/**
 * Requests of the Go dialect, served by the operations of the other one. docs/protocols/vfs.md has the
 * dialect. What a guest of it cannot express is decided here: links are followed within the root, handles
 * that do not exist are released and synchronised with success, each removal removes files and empty
 * directories.
 */
import type { FileStat } from "../../file-stat.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { nextTurn } from "../../io/fair-turns.ts";
import { unpackEntries, type VfsEntry } from "../../protocols/vfs/entries.ts";
import { checkPath, RefusedField } from "../../protocols/vfs/fields.ts";
import {
  FileType,
  isDirectoryMode,
  OpenFlag,
  PERMISSION_BITS,
} from "../../protocols/vfs/file-numbers.ts";
import type { GoEntry, GoRequest, GoResponse, GoStat } from "../../protocols/vfs/go-messages.ts";
import { goInode, goPathInode, goType, toGoMode } from "../../protocols/vfs/go-mode.ts";
import { MAX_IO_BYTES } from "../../protocols/vfs/operations.ts";
import type { VfsRequest } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import type { FileSession } from "./file-session.ts";
import { type GoPlace, normalisePath, placeOf, shownMountPoint } from "./go-path.ts";
import { GO_CREATE_FLAGS, goOpenFlags } from "./open-flags.ts";

const ROOT_INODE = 1n;

/** Entries of one listing; the dialect has no pages. */
const MAX_ENTRIES = 200_000;

const NOT_FOUND: GoResponse = { errno: ERRNO.ENOENT };

/** One connection of the Go dialect. */
export class GoSession {
  readonly #session: FileSession;
  #mountPoint: string | undefined;

  /** @param mountPoint in the guest; undefined: what its first request shows. */
  constructor(session: FileSession, mountPoint: string | undefined) {
    this.#session = session;
    this.#mountPoint = mountPoint === undefined ? undefined : normalisePath(mountPoint);
  }

  /** Returns the answer to a request. */
  async handle(request: GoRequest): Promise<GoResponse> {
    switch (request.op) {
      case "read":
      case "write":
      case "release":
      case "fsync":
        return this.#onHandle(request);
      case "mkdirAll":
      case "truncate":
      case "symlink":
      case "readlink":
      case "link":
        return { errno: ERRNO.ENOSYS };
      default:
        return this.#onPath(request);
    }
  }

  async #ask(request: VfsRequest): Promise<VfsResponse> {
    return this.#session.handle(request);
  }

  async #onHandle({ op, handle, offset, size, data }: GoRequest): Promise<GoResponse> {
    switch (op) {
      case "read":
        return only(await this.#ask({ op, handle, offset, size: Math.min(size, MAX_IO_BYTES) }));
      case "write":
        return only(await this.#ask({ op, handle, offset, data }));
      case "release":
        await this.#ask({ op, handle });
        return { errno: 0 };
      default: {
        const { errno } = await this.#ask({ op: "fsync", handle, flags: 0 });
        return { errno: errno === ERRNO.EBADF ? 0 : errno };
      }
    }
  }

  async #onPath(request: GoRequest): Promise<GoResponse> {
    this.#mountPoint ??= shownMountPoint(request.op, request.path);
    const place = this.#placeOf(request.path);
    if (place.kind === "outside") return NOT_FOUND;
    if (place.kind === "parent") return onParent(request, place.child);
    try {
      return await this.#onFile(request, checkPath(place.path));
    } catch (thrown) {
      if (thrown instanceof RefusedField) return { errno: thrown.number };
      throw thrown;
    }
  }

  #placeOf(path: string): GoPlace {
    return this.#mountPoint === undefined ? { kind: "outside" } : placeOf(path, this.#mountPoint);
  }

  async #onFile(request: GoRequest, path: Uint8Array): Promise<GoResponse> {
    const mode = request.mode & PERMISSION_BITS;
    switch (request.op) {
      case "lookup":
      case "getattr":
        return only(await this.#ask({ op: "getattr", path }));
      case "setattr":
        return only(await this.#ask({ op: "setAttributes", path, mode }));
      case "create":
        return only(await this.#ask({ op: "create", path, flags: GO_CREATE_FLAGS, mode }));
      case "mkdir":
        return only(await this.#ask({ op: "mkdir", path, mode }));
      case "open": {
        const answer = await this.#ask({ op: "open", path, flags: goOpenFlags(request.flags) });
        return { errno: answer.errno, handle: answer.handle };
      }
      case "unlink":
        return this.#remove(["unlink", "rmdir"], ERRNO.EISDIR, path);
      case "rmdir":
        return this.#remove(["rmdir", "unlink"], ERRNO.ENOTDIR, path);
      case "rename":
        return this.#rename(path, this.#placeOf(request.newPath));
      default:
        return this.#list(path);
    }
  }

  /** Removes by the first call, or by the second one if the errno shows that it is the right one. */
  async #remove(
    [first, second]: readonly ["unlink" | "rmdir", "unlink" | "rmdir"],
    otherErrno: number,
    path: Uint8Array,
  ): Promise<GoResponse> {
    const { errno } = await this.#ask({ op: first, path });
    return errno === otherErrno ? only(await this.#ask({ op: second, path })) : { errno };
  }

  async #rename(path: Uint8Array, target: GoPlace): Promise<GoResponse> {
    if (target.kind !== "inside") return NOT_FOUND;
    return only(await this.#ask({ op: "rename", path, newPath: checkPath(target.path), flags: 0 }));
  }

  async #list(path: Uint8Array): Promise<GoResponse> {
    const { errno, handle } = await this.#ask({ op: "open", path, flags: OpenFlag.Directory });
    if (handle === undefined) return { errno };
    try {
      return await this.#entriesOf(handle);
    } finally {
      await this.#ask({ op: "release", handle });
    }
  }

  async #entriesOf(handle: number): Promise<GoResponse> {
    const entries: GoEntry[] = [];
    for (let offset = 0n; ;) {
      const page = await this.#ask({ op: "readdirPlus", handle, offset, size: MAX_IO_BYTES });
      if (page.errno !== 0) return { errno: page.errno };
      const found = unpackEntries(page.data ?? new Uint8Array(0));
      const last = found.at(-1);
      if (last === undefined) return { errno: 0, entries };
      entries.push(...found.flatMap(goEntry));
      if (entries.length > MAX_ENTRIES) return { errno: ERRNO.EFBIG };
      offset = last.offset;
      // A listing may be long, and others wait.
      await nextTurn();
    }
  }
}

const text = new TextDecoder("utf-8", { fatal: true });

/** An entry of a listing; none for a name that the dialect cannot express. */
function goEntry({ name, stat }: VfsEntry): GoEntry[] {
  if (stat === undefined) return [];
  try {
    const isDirectory = isDirectoryMode(stat.mode);
    const { size, dev, ino } = stat;
    const mode = goType(stat.mode);
    return [{ name: text.decode(name), isDirectory, mode, size, ino: goInode(dev, ino) }];
  } catch {
    return [];
  }
}

function goStat({ size, mode, mtime, dev, ino }: FileStat): GoStat {
  const isDirectory = isDirectoryMode(mode);
  return { size, mode: toGoMode(mode), mtime: mtime.seconds, isDirectory, ino: goInode(dev, ino) };
}

/** The answer with what the dialect has. */
function only({ errno, stat, data, written, handle }: VfsResponse): GoResponse {
  if (errno !== 0) return { errno };
  return { errno, stat: stat === undefined ? undefined : goStat(stat), data, written, handle };
}

const now = (): number => Math.floor(Date.now() / 1000);

/** Directories above the mount point are made up, and have the next one as their only entry. */
function onParent({ op, path }: GoRequest, child: string): GoResponse {
  const normal = normalisePath(path) ?? "/";
  const mode = toGoMode(FileType.Directory | 0o755);
  const ino = normal === "/" ? ROOT_INODE : goPathInode(normal, true);
  switch (op) {
    case "lookup":
    case "getattr":
      return { errno: 0, stat: { size: 0, mode, mtime: now(), isDirectory: true, ino } };
    case "readdir": {
      const below = normal === "/" ? `/${child}` : `${normal}/${child}`;
      const entry = { name: child, isDirectory: true, mode: goType(FileType.Directory), size: 0 };
      return { errno: 0, entries: [{ ...entry, ino: goPathInode(below, true) }] };
    }
    default:
      return NOT_FOUND;
  }
}
