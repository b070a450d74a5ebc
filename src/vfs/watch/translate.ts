/**
 * From the kernel's events to changes of files. Nothing is read or armed here: the result is a list of
 * steps, which `tree-watch.ts` performs in their order.
 *
 * A rename out of the watched tree, or to a hidden name, is a removal, and one into it a creation: the
 * other name means nothing to the reader.
 */
import {
  IN_ATTRIB,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_ISDIR,
  IN_MODIFY,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
} from "../../ffi/inotify.ts";
import type { FileChange, WatchEvent, WatchFilter } from "./file-change.ts";
import type { InotifyEvent } from "./inotify-events.ts";
import type { PairedEvent } from "./move-pairs.ts";
import {
  keyOf,
  type WatchedDirectories,
  type WatchedDirectory,
  type WatchedPlace,
} from "./watched-directories.ts";

/** One thing to be done for an event. */
export type WatchStep =
  | { kind: "report"; event: WatchEvent }
  /** Watches the directory that has this place now, and reports what is in it already. */
  | { kind: "arm"; place: WatchedPlace }
  | { kind: "move"; from: WatchedPlace; to: WatchedPlace }
  /** Ends the watches of a directory and of all below it. */
  | { kind: "forget"; directory: WatchedDirectory }
  /** Brings the watches in line with the file system, since events are lost. */
  | { kind: "rescan" }
  /** The watched directory itself does not exist any more. */
  | { kind: "end" };

/**
 * Whether an event may be about a file without a name (O_TMPFILE): the kernel names it by its inode number
 * until it is linked, `d_tmpfile` of fs/dcache.c. A file may have such a name as well.
 */
export function mayBeUnnamed({ mask, name }: InotifyEvent): boolean {
  if ((mask & (IN_ATTRIB | IN_MODIFY)) === 0 || name === undefined) return false;
  return /^#\d+$/.test(keyOf(name));
}

/** Returns the steps for an event. */
export function translate(
  event: PairedEvent,
  tree: WatchedDirectories,
  filter: WatchFilter,
): WatchStep[] {
  if (event.kind === "move") return translateMove(event, tree, filter);
  const { mask, watch, name } = event.event;
  if ((mask & IN_Q_OVERFLOW) !== 0) {
    return [{ kind: "report", event: { kind: "overflow" } }, { kind: "rescan" }];
  }
  const directory = tree.find(watch);
  if (directory === undefined) return [];
  if (name === undefined) return translateSelf(mask, directory, tree, filter);
  if (!tree.isAttached(directory)) return [];
  return translateEntry(event.event, { parent: directory, name }, tree, filter);
}

/** An event of a watched directory itself. Those below the root are reported by their parents. */
function translateSelf(
  mask: number,
  directory: WatchedDirectory,
  tree: WatchedDirectories,
  filter: WatchFilter,
): WatchStep[] {
  const isRoot = directory === tree.root;
  if (isRoot && (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) !== 0) {
    return [...selfChange("remove", filter), { kind: "end" }];
  }
  if ((mask & IN_IGNORED) !== 0) return [{ kind: "forget", directory }];
  return isRoot && (mask & IN_ATTRIB) !== 0 ? selfChange("attributes", filter) : [];
}

function selfChange(kind: "remove" | "attributes", { only }: WatchFilter): WatchStep[] {
  const isReported = only === undefined;
  if (!isReported) return [];
  const path = Buffer.alloc(0);
  return [{ kind: "report", event: { kind, path, from: undefined, isDirectory: true } }];
}

function translateEntry(
  { mask }: InotifyEvent,
  place: WatchedPlace,
  tree: WatchedDirectories,
  filter: WatchFilter,
): WatchStep[] {
  if (!isVisible(place, tree, filter)) return [];
  const isDirectory = (mask & IN_ISDIR) !== 0;
  const report = (kind: FileChange["kind"]): WatchStep => ({
    kind: "report",
    event: { kind, path: tree.path(place), from: undefined, isDirectory },
  });
  const steps: WatchStep[] = [];
  if ((mask & (IN_CREATE | IN_MOVED_TO)) !== 0) {
    if (!forgetReported(place)) steps.push(report("create"));
    if (isDirectory && filter.isRecursive) steps.push({ kind: "arm", place });
  }
  if ((mask & IN_MODIFY) !== 0) steps.push(report("modify"));
  if ((mask & IN_ATTRIB) !== 0) steps.push(report("attributes"));
  if ((mask & (IN_DELETE | IN_MOVED_FROM)) !== 0) {
    forgetReported(place);
    steps.push(report("remove"), ...forgetStep(place, tree));
  }
  return steps;
}

function translateMove(
  { from, to }: PairedEvent & { kind: "move" },
  tree: WatchedDirectories,
  filter: WatchFilter,
): WatchStep[] {
  const source = visiblePlace(from, tree, filter);
  const target = visiblePlace(to, tree, filter);
  if (source === undefined && target === undefined) return [];
  if (target === undefined) return translate({ kind: "single", event: from }, tree, filter);
  if (source === undefined) return translate({ kind: "single", event: to }, tree, filter);
  forgetReported(source);
  forgetReported(target);
  const isDirectory = (to.mask & IN_ISDIR) !== 0;
  const change: FileChange = {
    kind: "rename",
    path: tree.path(target),
    from: tree.path(source),
    isDirectory,
  };
  const steps: WatchStep[] = [{ kind: "report", event: change }];
  if (isDirectory && filter.isRecursive) steps.push({ kind: "move", from: source, to: target });
  return steps;
}

function visiblePlace(
  { watch, name }: InotifyEvent,
  tree: WatchedDirectories,
  filter: WatchFilter,
): WatchedPlace | undefined {
  const parent = tree.find(watch);
  if (parent === undefined || name === undefined || !tree.isAttached(parent)) return undefined;
  const place = { parent, name };
  return isVisible(place, tree, filter) ? place : undefined;
}

/** Whether an entry is reported, and watched if it is a directory. */
export function isVisible(
  place: WatchedPlace,
  tree: WatchedDirectories,
  { only, isHidden }: WatchFilter,
): boolean {
  if (only !== undefined && keyOf(place.name) !== keyOf(only)) return false;
  return isHidden === undefined || !isHidden(tree.path(place));
}

/** Whether an entry was reported already when its directory was read. The next event of its name is new. */
function forgetReported({ parent, name }: WatchedPlace): boolean {
  return parent.reported?.delete(keyOf(name)) ?? false;
}

function forgetStep(place: WatchedPlace, tree: WatchedDirectories): WatchStep[] {
  const directory = tree.at(place);
  return directory === undefined ? [] : [{ kind: "forget", directory }];
}
