/**
 * Plans the changes of a tree from the wanted items, the present files, and the files that the manifest lists as
 * ours. Pure. An uninstallation is a plan for nothing.
 */
import { createHash } from "node:crypto";
import type { Found, Item } from "./items.ts";
import type { Entry } from "./manifest.ts";

/** What {@link makePlan} decides by. All paths of one file are the same text. */
export interface PlanInput {
  items: readonly Item[];
  /** Of the manifest; empty if there is none. */
  entries: readonly Entry[];
  /** What stands at each path of the two. */
  found: ReadonlyMap<string, Found>;
  /** Whether files that are not ours, or were changed by hand, are replaced and removed. */
  force: boolean;
}

/** An item that is written. */
export type WrittenItem = Exclude<Item, { kind: "keep" }>;

/** One step. */
export type Change =
  | { do: "create" | "replace"; path: string; item: WrittenItem }
  | { do: "remove" | "remove lines"; path: string };

/** Something that is in the way, or that stays though it was ours. */
export interface Remark {
  path: string;
  because: string;
}

/** The changes of a tree. */
export interface Plan {
  changes: Change[];
  /** If there are any, nothing may be changed. */
  conflicts: Remark[];
  kept: Remark[];
  /** The entries of the new manifest, without directories. */
  entries: Entry[];
}

const CHANGED = "it was changed since it was installed";
const FOREIGN = "it exists, and `vsockbox install` did not create it";

/** SHA-256 of a text, in hexadecimal. */
export function sha256Of(text: string, encoding: "utf8" | "latin1" = "utf8"): string {
  return createHash("sha256").update(text, encoding).digest("hex");
}

/** Decides. */
export function makePlan({ items, entries, found, force }: PlanInput): Plan {
  const plan: Plan = { changes: [], conflicts: [], kept: [], entries: [] };
  const at = (path: string): Found => found.get(path) ?? { kind: "nothing" };
  const owned = (path: string) => entries.filter((entry) => entry.path === path);

  for (const item of items) {
    const { path } = item;
    const there = at(path);
    const ours = owned(path);
    if (item.kind === "keep") {
      if (there.kind !== "nothing") plan.entries.push(...ours);
      continue;
    }
    plan.entries.push(...entriesOf(item));
    const step = stepFor(item, there);
    if (step === undefined) continue;
    const because = inTheWay(item, there, ours);
    const never = there.kind === "directory" || there.kind === "other";
    if (because !== undefined && (never || !force)) plan.conflicts.push({ path, because });
    else plan.changes.push({ do: step, path, item });
  }

  const wanted = new Set(items.map(({ path }) => path));
  const old = new Set(
    entries.filter(({ kind }) => kind !== "directory").map(({ path }) => path),
  ).difference(wanted);
  for (const path of old) {
    const there = at(path);
    const ours = owned(path);
    const removal = removalOf(there, ours, force);
    if (removal !== undefined) plan.changes.push({ do: removal, path });
    else if (isStillOurs(there, ours)) plan.kept.push({ path, because: CHANGED });
  }
  return plan;
}

/** Returns the manifest entry of an item that needs no change. */
function entriesOf(item: WrittenItem): Entry[] {
  const { kind, path } = item;
  switch (kind) {
    case "binary":
      return [{ kind: "file", path, sha256: item.sha256 }];
    case "text":
      return [
        { kind: "file", path, sha256: sha256Of(item.text) },
        ...(item.lines === undefined ? [] : [linesEntry(path, item.lines)]),
      ];
    case "link":
      return [{ kind: "link", path, target: item.target }];
    case "lines":
      return [linesEntry(path, item.lines)];
  }
}

function linesEntry(path: string, lines: string): Entry {
  return { kind: "lines", path, sha256: sha256Of(lines, "latin1") };
}

/** Undefined if nothing has to change. */
function stepFor(item: WrittenItem, there: Found): "create" | "replace" | undefined {
  if (there.kind === "nothing") return "create";
  return isAsWanted(item, there) ? undefined : "replace";
}

function isAsWanted(item: WrittenItem, there: Found): boolean {
  switch (item.kind) {
    case "link":
      return there.kind === "link" && there.target === item.target;
    case "lines":
      return there.kind === "file" && there.lines === item.lines;
    case "binary":
    case "text": {
      const sha256 = item.kind === "binary" ? item.sha256 : sha256Of(item.text);
      return there.kind === "file" && there.sha256 === sha256 && there.mode === item.mode;
    }
  }
}

/** Returns why an existing file may not be replaced; undefined if it may. */
function inTheWay(item: WrittenItem, there: Found, ours: readonly Entry[]): string | undefined {
  if (there.kind === "nothing") return undefined;
  if (there.kind === "directory") return "a directory is in its place";
  if (there.kind === "other") return "it is not a regular file";
  const known = ours.length > 0 ? CHANGED : FOREIGN;
  if (item.kind === "lines") {
    if (there.kind !== "file") return FOREIGN;
    const { lines } = there;
    if (lines === undefined) return undefined;
    return ours.some((entry) => isLines(entry, lines)) ? undefined : `the lines in it: ${CHANGED}`;
  }
  // Its content may be right, and only its mode is not.
  const isSame = isAsWanted(
    item,
    there.kind === "file" && "mode" in item ? { ...there, mode: item.mode } : there,
  );
  return isSame || ours.some((entry) => isWhole(entry, there)) ? undefined : known;
}

function removalOf(
  there: Found,
  ours: readonly Entry[],
  force: boolean,
): "remove" | "remove lines" | undefined {
  if (ours.some((entry) => isWhole(entry, there))) return "remove";
  const lines = there.kind === "file" ? there.lines : undefined;
  const linesEntries = ours.filter(({ kind }) => kind === "lines");
  if (lines !== undefined && linesEntries.length > 0) {
    // The rest of the file is not ours, even with --force.
    const isOurs = linesEntries.some((entry) => isLines(entry, lines));
    return isOurs || force ? "remove lines" : undefined;
  }
  const isFile = there.kind === "file" || there.kind === "link";
  return force && isFile && linesEntries.length === 0 ? "remove" : undefined;
}

/** Whether any part of it exists: another owner's file without our lines does not count. */
function isStillOurs(there: Found, ours: readonly Entry[]): boolean {
  if (there.kind === "nothing") return false;
  const isLess = there.kind === "file" && there.lines === undefined;
  return !isLess || !ours.some(({ kind }) => kind === "lines");
}

/** Whether what stands there is the entry as it was installed. */
function isWhole(entry: Entry, there: Found): boolean {
  if (entry.kind === "file") return there.kind === "file" && there.sha256 === entry.sha256;
  return entry.kind === "link" && there.kind === "link" && there.target === entry.target;
}

function isLines(entry: Entry, lines: string): boolean {
  return entry.kind === "lines" && entry.sha256 === sha256Of(lines, "latin1");
}
