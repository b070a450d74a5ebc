/** Which operations of the kernel change something on the host. */
import { OpenFlag } from "../../protocols/vfs/file-numbers.ts";
import { hasChanges } from "./attribute-operations.ts";
import type { HostOperation } from "./dispatch.ts";

/** Operations that change a file, or the names of the directory that they are for. */
const CHANGES: ReadonlySet<HostOperation["op"]> = new Set([
  ...(["setAttributes", "symlink", "makeNode", "makeDirectory", "unlink"] as const),
  ...(["removeDirectory", "rename", "link", "create", "write", "fallocate"] as const),
  ...(["copyFileRange", "setXattr", "removeXattr"] as const),
]);

/** Whether facts or names may be other ones after an operation. */
export function isChange({ op }: HostOperation): boolean {
  return CHANGES.has(op);
}

/** Whether an operation is refused by a read-only mount. */
export function needsWriting(operation: HostOperation): boolean {
  switch (operation.op) {
    case "setAttributes":
      return hasChanges(operation.changes);
    case "open":
      return (operation.flags & (OpenFlag.Access | OpenFlag.Truncate)) !== OpenFlag.ReadOnly;
    default:
      return isChange(operation);
  }
}
