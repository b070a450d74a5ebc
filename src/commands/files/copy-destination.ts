/**
 * The destination of a source of `cp`, by the rules of cp(1): into the destination if that is a directory,
 * else under exactly that name; the content of a directory if the source ends in `/.`.
 */
import { statSync } from "node:fs";
import { fileError } from "../../agent/transfer/transfer.ts";
import { reasonOf, VsockboxError } from "../../errors.ts";
import { realPathOf } from "../../ffi/real-path.ts";
import {
  baseName,
  type BytesPath,
  bytesPath,
  namesDirectory,
  parentOf,
  showPath,
} from "../../files/bytes-path.ts";
import { fileKind, kindInWords } from "../../files/facts.ts";
import { field, type JsonObject, textField } from "../../protocols/agent/json-fields.ts";
import { isFileName, readPathField } from "../../protocols/agent/paths.ts";
import type { Operand } from "../shared/target.ts";
import { usage } from "./copy-usage.ts";

/** An operand in a guest. `isHome`: the user typed `~` or `~USER` alone, which the guest has resolved. */
export type RemoteOperand = Operand & { kind: "remote"; isHome?: boolean };

/** Destination of one source: a name in an existing directory. */
export interface CopyDestination {
  directory: BytesPath;
  name: Uint8Array;
}

/** A source as the destination depends on it; its name is only needed for a directory. */
export interface NamedSource {
  path: Uint8Array;
  name: () => Uint8Array;
}

/**
 * Returns the local destination of a source of a guest.
 *
 * @param many whether there are several sources, which need a directory.
 * @throws {VsockboxError} CANNOT_CREATE, USAGE.
 */
export function localDestination(
  destination: Uint8Array,
  source: RemoteOperand,
  many: boolean,
): CopyDestination {
  const status = localStat(destination);
  if (status?.isDirectory() === true && !isContentsOf(source.path)) {
    return { directory: bytesPath(destination), name: typedName(source) };
  }
  if (many || (status === undefined && namesDirectory(destination))) {
    throw noDirectory(showPath(destination), status !== undefined);
  }
  if (status !== undefined && !status.isFile() && !status.isDirectory()) {
    throw noFile(showPath(destination), fileKind(status));
  }
  const real = status === undefined ? destination : realPathOf(destination);
  return { directory: parentOf(real), name: baseName(real) };
}

/**
 * Returns the destination of a source in a guest.
 *
 * @param status the guest's facts of the destination; undefined if it does not exist.
 * @param source undefined: standard input, which has no name.
 * @param many whether there are several sources, which need a directory.
 * @throws {VsockboxError} CANNOT_CREATE, USAGE; BAD_DATA for invalid facts.
 */
export function remoteDestination(
  destination: RemoteOperand,
  status: JsonObject | undefined,
  source: NamedSource | undefined,
  many: boolean,
): CopyDestination {
  const isDirectory = status !== undefined && field(status, "type") === "directory";
  const isContents = source !== undefined && isContentsOf(source.path);
  const shown = `${destination.target}:${showPath(destination.path)}`;
  if (isDirectory && source === undefined) {
    throw usage(`${shown} is a directory`, "standard input needs a file's name");
  }
  if (isDirectory && source !== undefined && !isContents) {
    return { directory: bytesPath(destination.path), name: source.name() };
  }
  if (!isDirectory && (many || (status === undefined && namesDirectory(destination.path)))) {
    throw noDirectory(shown, status !== undefined);
  }
  const type = status === undefined ? "file" : textField(status, "type");
  if (!isDirectory && type !== "file") throw noFile(shown, type);
  const real = status === undefined ? destination.path : pathOf(status, "realPath");
  return { directory: parentOf(real), name: baseName(real) };
}

/** Whether a path is `.`, or ends in `/.`: the content of a directory, without a name of its own. */
function isContentsOf(path: Uint8Array): boolean {
  return namesDirectory(path) && baseName(path).toString() === ".";
}

/**
 * Returns the name of a source of a guest in a directory: its last component as the user typed it. The
 * guest is not asked, since it could answer `.bashrc`.
 *
 * @throws {VsockboxError} USAGE if the path has no name of its own.
 */
export function typedName({ target, path, isHome = false }: RemoteOperand): Uint8Array {
  return ownName(isHome ? Buffer.from("..") : path, `${target}:${isHome ? "~" : showPath(path)}`);
}

/** Returns the name of a local source in a directory: as typed, else that of its real path. */
export function localName({ path }: Operand & { kind: "local" }): Uint8Array {
  const name = baseName(path);
  return isFileName(name) ? name : ownName(realPathOf(path), showPath(path));
}

function ownName(path: Uint8Array, shown: string): Uint8Array {
  const name = baseName(path);
  if (name.length > 0 && isFileName(name)) return name;
  throw usage(
    `${shown} has no name that the copy could get`,
    "name the copy, or copy the contents of the directory with `/.` at the end",
  );
}

function noDirectory(shown: string, isFile: boolean): VsockboxError {
  return new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "copy to",
    address: shown,
    message: isFile ? "it is not a directory" : "no such directory",
    errno: isFile ? "ENOTDIR" : "ENOENT",
    hint: isFile
      ? "several sources need a directory to go to"
      : "`vsockbox mkdir --parents` creates directories in a guest",
  });
}

function noFile(shown: string, kind: string): VsockboxError {
  return new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "copy to",
    address: shown,
    message: `it is a ${kindInWords(kind)}, which a copy would replace by a file`,
    hint: "`-` as the destination is standard output; in a guest, `vsockbox exec … -- tee` writes to it",
  });
}

function pathOf(object: JsonObject, name: string): Uint8Array {
  return readPathField("stat result", object, name);
}

function localStat(path: Uint8Array) {
  try {
    return statSync(bytesPath(path));
  } catch (thrown) {
    if (reasonOf(thrown).errno === "ENOENT") return undefined;
    throw fileError("inspect", bytesPath(path), thrown);
  }
}
