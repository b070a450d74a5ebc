/** Paths of the Go dialect: absolute in the guest, with the mount point in front. */

import { posix } from "node:path";
import type { GoOperation } from "../../protocols/vfs/operations.ts";

/** Where a path of a guest lies. */
export type GoPlace =
  /** Below the root of the export. */
  | { readonly kind: "inside"; readonly path: Uint8Array }
  /** A directory above the mount point; `child` is the next one on the way to it. */
  | { readonly kind: "parent"; readonly child: string }
  | { readonly kind: "outside" };

/** Returns a path without empty names and `.`; undefined if it is not absolute or contains `..`. */
export function normalisePath(path: string): string | undefined {
  if (!path.startsWith("/")) return undefined;
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  return names.includes("..") ? undefined : `/${names.join("/")}`;
}

/**
 * Returns the mount point that the first request of a guest shows: the kernel knows the root alone, so that
 * it asks for the root itself, or for a name in it.
 *
 * @returns undefined if the request shows none.
 */
export function shownMountPoint(op: GoOperation, path: string): string | undefined {
  const normal = normalisePath(path);
  switch (op) {
    case "getattr":
    case "readdir":
      return normal;
    case "lookup":
      return normal === undefined ? undefined : posix.dirname(normal);
    default:
      return undefined;
  }
}

/**
 * Finds the place of a path.
 *
 * @param mountPoint normalised.
 */
export function placeOf(path: string, mountPoint: string): GoPlace {
  const normal = normalisePath(path);
  if (normal === undefined) return { kind: "outside" };
  const prefix = mountPoint === "/" ? "/" : `${mountPoint}/`;
  if (normal === mountPoint) return { kind: "inside", path: new Uint8Array(0) };
  if (normal.startsWith(prefix)) {
    return { kind: "inside", path: new TextEncoder().encode(normal.slice(prefix.length)) };
  }
  const above = normal === "/" ? "/" : `${normal}/`;
  if (!mountPoint.startsWith(above)) return { kind: "outside" };
  return { kind: "parent", child: mountPoint.slice(above.length).split("/")[0] ?? "" };
}
