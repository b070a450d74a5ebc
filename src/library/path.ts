/** Paths of programs. */
import { VsockboxError } from "../errors.ts";
import { type BytesPath, bytesPath, showPath } from "../files/bytes-path.ts";

/** A path of the guest or a local one; as bytes it need not be UTF-8. */
export type Path = string | Uint8Array;

/**
 * Returns the bytes of a path of the caller.
 *
 * @throws {VsockboxError} USAGE if it is empty or has a NUL byte.
 */
export function pathBytes(path: Path): BytesPath {
  const bytes = bytesPath(path);
  if (bytes.length > 0 && !bytes.includes(0)) return bytes;
  throw new VsockboxError({
    code: "USAGE",
    operation: "use path",
    address: JSON.stringify(showPath(bytes)),
    message: bytes.length === 0 ? "it is empty" : "it has a NUL byte",
  });
}
