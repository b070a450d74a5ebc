/** One connection's operations on an exported directory: which function serves which request. */
import { ERRNO } from "../../ffi/errno.ts";
import type { VfsOperation, VfsRequest } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import { attributesOf, getFileSystem, changeAttributes } from "./attributes.ts";
import type { VfsChange } from "./changes.ts";
import type { OwnChanges } from "./own-changes.ts";
import type { DirectoryContext } from "./directory-context.ts";
import {
  allocateSpace,
  copyBetween,
  flushFile,
  readFile,
  readInto,
  releaseFile,
  seekFile,
  syncFile,
  writeFile,
} from "./file-operations.ts";
import type { FileSession } from "./file-session.ts";
import { listExported } from "./listing.ts";
import {
  makeDirectory,
  makeHardLink,
  makeNode,
  makeSymlink,
  readSymlink,
  removeName,
  renameFile,
} from "./names.ts";
import { createFile, openFile } from "./opening.ts";
import { getXattr, listXattrs, removeXattr, setXattr } from "./xattrs.ts";

/** Operations that change the tree; open is decided by its flags, and writes need such a handle. */
const CHANGES: ReadonlySet<VfsOperation> = new Set([
  ...(["create", "mkdir", "unlink", "rmdir", "rename", "symlink", "link", "mknod"] as const),
  ...(["setAttributes", "setXattr", "removeXattr"] as const),
]);

/** Operations of one connection. */
export class DirectorySession implements FileSession {
  readonly #context: DirectoryContext;
  readonly #own: OwnChanges;

  constructor(context: DirectoryContext, own: OwnChanges) {
    this.#context = context;
    this.#own = own;
  }

  get openFiles(): number {
    return this.#context.handles.size;
  }

  handle(request: VfsRequest): VfsResponse | Promise<VfsResponse> {
    const answer = this.#handle(request);
    if (!(answer instanceof Promise) && answer.errno === 0) {
      this.#own.record(request, answer.handle);
    }
    return answer;
  }

  isOwn(change: VfsChange): boolean {
    return this.#own.remove(change);
  }

  #handle(request: VfsRequest): VfsResponse | Promise<VfsResponse> {
    const context = this.#context;
    if (context.policy.isReadOnly && CHANGES.has(request.op)) return { errno: ERRNO.EROFS };
    switch (request.op) {
      case "lookup":
      case "getattr":
        return attributesOf(context, request);
      case "setAttributes":
        return changeAttributes(context, request);
      case "statfs":
        return getFileSystem(context);
      case "open":
        return openFile(context, request);
      case "create":
        return createFile(context, request);
      case "read":
        return readFile(context, request);
      case "write":
        return writeFile(context, request);
      case "release":
        return releaseFile(context, request.handle);
      case "flush":
        return flushFile(context, request.handle);
      case "fsync":
        return syncFile(context, request);
      case "fallocate":
        return allocateSpace(context, request);
      case "seek":
        return seekFile(context, request);
      case "copyRange":
        return copyBetween(context, request);
      case "readdir":
      case "readdirPlus":
        return listExported(context, request);
      default:
        return this.#handleName(request);
    }
  }

  #handleName(request: VfsRequest): VfsResponse {
    const context = this.#context;
    switch (request.op) {
      case "mkdir":
        return makeDirectory(context, request);
      case "mknod":
        return makeNode(context, request);
      case "symlink":
        return makeSymlink(context, request);
      case "readlink":
        return readSymlink(context, request.path);
      case "link":
        return makeHardLink(context, request);
      case "rename":
        return renameFile(context, request);
      case "unlink":
        return removeName(context, request.path, false);
      case "rmdir":
        return removeName(context, request.path, true);
      case "getXattr":
        return getXattr(context, request);
      case "listXattr":
        return listXattrs(context, request.path);
      case "setXattr":
        return setXattr(context, request);
      case "removeXattr":
        return removeXattr(context, request);
      default:
        return { errno: ERRNO.ENOSYS };
    }
  }

  readInto(request: VfsRequest & { op: "read" }, address: number, bytes: number): number {
    return readInto(this.#context, request, address, bytes);
  }

  close(): void {
    this.#context.handles.close();
  }
}
