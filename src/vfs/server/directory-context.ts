/** What the operations of an exported directory share, and how their results become answers. */
import type { FileStat } from "../../file-stat.ts";
import type { VfsResponse } from "../../protocols/vfs/responses.ts";
import type { ExportRoot } from "./export-root.ts";
import type { ExportHandles } from "./export-handles.ts";
import type { HiddenNames } from "./hidden-names.ts";
import type { OwnerMap } from "./owner-map.ts";

/** What guests may see and do. */
export interface ExportPolicy {
  readonly isReadOnly: boolean;
  readonly owners: OwnerMap;
  readonly hidden: HiddenNames;
  /** Whether extended attributes `user.*` are served. */
  readonly hasXattr: boolean;
}

/** One connection's view of an exported directory. */
export interface DirectoryContext {
  readonly root: ExportRoot;
  readonly handles: ExportHandles;
  readonly policy: ExportPolicy;
}

/** The answer for a result: 0 or a count is a success, a negative number an errno. */
export function outcome(result: number): VfsResponse {
  return { errno: result < 0 ? -result : 0 };
}

/** The answer with a file's facts, or with the errno in their place. */
export function factsAnswer({ policy }: DirectoryContext, facts: FileStat | number): VfsResponse {
  return typeof facts === "number"
    ? outcome(facts)
    : { errno: 0, stat: policy.owners.toGuest(facts) };
}

/** The answer with bytes, or with the errno in their place. */
export function dataAnswer(data: Uint8Array | number): VfsResponse {
  return typeof data === "number" ? outcome(data) : { errno: 0, data };
}
