/** Changes of watched files as `vsockbox watch` prints them. */
import type { RemoteChange } from "../../agent/client/watched-path.ts";
import { showPath } from "../../files/bytes-path.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { encodePath } from "../../protocols/agent/paths.ts";
import { countOf } from "../../text/count.ts";

/** A watched path, as the user wrote it. */
export interface WatchedOperand {
  target: string;
  path: Uint8Array;
}

/** Width of the longest kind, `attributes`. */
const KIND_COLUMNS = 10;

/**
 * Returns a change as a line: `modify     /srv/app/main.ts`.
 *
 * @param showsTarget whether paths have the target in front, since there are several.
 */
export function changeLine(
  change: RemoteChange,
  operand: WatchedOperand,
  showsTarget: boolean,
): string {
  const isDirectory = change.kind === "overflow" || change.isDirectory;
  const shown = (path: Uint8Array) => {
    const text = `${showsTarget ? `${operand.target}:` : ""}${showPath(path)}`;
    return isDirectory && !text.endsWith("/") ? `${text}/` : text;
  };
  const kind = change.kind.padEnd(KIND_COLUMNS);
  if (change.kind === "overflow") return `${kind} ${shown(operand.path)}`;
  const { path, from } = change;
  return from === undefined ? `${kind} ${shown(path)}` : `${kind} ${shown(from)} -> ${shown(path)}`;
}

/** Returns a change as the object of `--json`. */
export function changeJson(change: RemoteChange, { target, path }: WatchedOperand): JsonObject {
  const isOverflow = change.kind === "overflow";
  const from = isOverflow ? undefined : change.from;
  return {
    target,
    event: change.kind,
    path: encodePath(isOverflow ? path : change.path),
    from: from === undefined ? null : encodePath(from),
    is_directory: isOverflow || change.isDirectory,
  };
}

/** How much an armed watch covers. */
interface Watched {
  readonly directories: number;
  readonly unreadable: number;
}

/** Returns the numbers of an armed watch as text. */
export function watchedText({ directories, unreadable }: Watched): string {
  const skipped = unreadable === 0 ? "" : `, ${unreadable} cannot be read`;
  return `${countOf(directories, "directory", "directories")}${skipped}`;
}

/** Returns the numbers of an armed watch as keys of `--json`. */
export function watchedJson({ directories, unreadable }: Watched) {
  return { directories, unreadable };
}

/** Returns the object of `--json` for a watch that is armed. */
export function readyJson(watched: Watched, { target, path }: WatchedOperand): JsonObject {
  return { target, event: "ready", path: encodePath(path), ...watchedJson(watched) };
}
