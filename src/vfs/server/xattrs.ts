/** Extended attributes of the name space `user`, if the export serves them. */
import { ERRNO } from "../../ffi/errno.ts";
import { getXattrOf, listXattrsOf, removeXattrOf, setXattrOf } from "../../ffi/file-calls.ts";
import type { VfsRequestOf } from "../../protocols/vfs/requests.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import { dataAnswer, type DirectoryContext, outcome } from "./directory-context.ts";

const PREFIX = Buffer.from("user.");
/** XATTR_CREATE and XATTR_REPLACE, linux/xattr.h. */
const SET_FLAGS = 3;

const NOT_SUPPORTED: VfsResponse = { errno: ERRNO.EOPNOTSUPP };

function isServed({ policy }: DirectoryContext, name: Uint8Array): boolean {
  return policy.hasXattr && name.length > PREFIX.length && PREFIX.equals(name.subarray(0, 5));
}

/** The names of a list that belong to the name space `user`, each with its NUL. */
export function userNames(list: Uint8Array): Uint8Array {
  const names: Uint8Array[] = [];
  for (let begin = 0; begin < list.length;) {
    const end = list.indexOf(0, begin) + 1;
    if (end === 0) break;
    const name = list.subarray(begin, end);
    if (PREFIX.equals(name.subarray(0, PREFIX.length))) names.push(name);
    begin = end;
  }
  return Buffer.concat(names);
}

/** getXattr. */
export function getXattr(
  context: DirectoryContext,
  { path, name }: VfsRequestOf<"getXattr">,
): VfsResponse {
  if (!isServed(context, name)) return NOT_SUPPORTED;
  return dataAnswer(context.root.withFile(path, (fd) => getXattrOf(fd, name)));
}

/** listXattr. */
export function listXattrs(context: DirectoryContext, path: Uint8Array): VfsResponse {
  if (!context.policy.hasXattr) return NOT_SUPPORTED;
  const list = context.root.withFile(path, listXattrsOf);
  return dataAnswer(typeof list === "number" ? list : userNames(list));
}

/** setXattr. */
export function setXattr(
  context: DirectoryContext,
  { path, name, data, flags }: VfsRequestOf<"setXattr">,
): VfsResponse {
  if (!isServed(context, name)) return NOT_SUPPORTED;
  if ((flags & ~SET_FLAGS) !== 0) return { errno: ERRNO.EINVAL };
  return outcome(context.root.withFile(path, (fd) => setXattrOf(fd, name, data, flags)));
}

/** removeXattr. */
export function removeXattr(
  context: DirectoryContext,
  { path, name }: VfsRequestOf<"removeXattr">,
): VfsResponse {
  if (!isServed(context, name)) return NOT_SUPPORTED;
  return outcome(context.root.withFile(path, (fd) => removeXattrOf(fd, name)));
}
