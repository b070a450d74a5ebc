/** Which function serves an operation of the kernel. */
import { ERRNO } from "../../ffi/errno.ts";
import type { FuseOperation } from "../../protocols/fuse/request.ts";
import { RemoteError } from "../client/remote-files.ts";
import {
  extendedAttributes,
  getAttributes,
  readLink,
  setAttributes,
  statFilesystem,
} from "./attribute-operations.ts";
import { openDirectory, readDirectory, releaseDirectory } from "./directory-operations.ts";
import * as files from "./file-operations.ts";
import type { ReplyBody, Call, MountState } from "./mount-state.ts";
import { link, lookUp, make, remove, rename } from "./name-operations.ts";

/** Operations that the session serves itself. */
type OfSession = "init" | "destroy" | "interrupt" | "forget";

/** Operations that ask the host, or the tables. */
export type HostOperation = Exclude<FuseOperation, { op: OfSession }>;

/**
 * Serves an operation; resolves with the body of its answer.
 *
 * @throws {RemoteError} with the errno of the answer.
 */
export async function dispatch(
  state: MountState,
  call: Call,
  operation: HostOperation,
): Promise<ReplyBody> {
  const remote = state.files;
  switch (operation.op) {
    case "lookup":
      return lookUp(state, call, operation.name);
    case "getAttributes":
      return getAttributes(state, call, operation.handle);
    case "setAttributes":
      return setAttributes(state, call, operation.changes);
    case "readLink":
      return readLink(state, call);
    case "symlink":
      return make(state, call, operation.name, (path) =>
        remote.makeSymlink(path, operation.target, call),
      );
    case "makeNode":
      return make(state, call, operation.name, (path) =>
        remote.makeNode(path, operation.mode, operation.rdev, call),
      );
    case "makeDirectory":
      return make(state, call, operation.name, (path) =>
        remote.makeDirectory(path, operation.mode, call),
      );
    case "unlink":
    case "removeDirectory":
      return remove(state, call, operation);
    case "rename":
      return rename(state, call, operation);
    case "link":
      return link(state, call, operation);
    case "open":
      return files.open(state, call, operation.flags);
    case "create":
      return files.create(state, call, operation);
    case "read":
      return files.read(state, operation);
    case "write":
      return files.write(state, operation);
    case "fsync":
      return files.fsync(state, operation);
    case "release":
      return files.release(state, operation.handle);
    case "fallocate":
      return files.fallocate(state, operation);
    case "seek":
      return files.seek(state, operation);
    case "copyFileRange":
      return files.copyFileRange(state, operation);
    case "openDirectory":
      return openDirectory(state, call);
    case "readDirectory":
      return readDirectory(state, operation);
    case "releaseDirectory":
      return releaseDirectory(state, operation.handle);
    case "statFilesystem":
      return statFilesystem(state);
    case "getXattr":
    case "setXattr":
    case "listXattr":
    case "removeXattr":
      return extendedAttributes(state, call, operation);
    case "ioctl":
      throw new RemoteError(ERRNO.ENOTTY);
    case "malformed":
      throw new RemoteError(ERRNO.EINVAL);
    // Written data is at the host after its operation, and names are; the kernel does not ask again.
    case "flush":
    case "fsyncDirectory":
    case "unknown":
      throw new RemoteError(ERRNO.ENOSYS);
  }
}
