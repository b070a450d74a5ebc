/** Performs a plan in a tree. */
import { createHash, randomBytes } from "node:crypto";
import { closeSync, lstatSync, openSync, rmdirSync, unlinkSync } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import { withEntry, withoutEntry } from "./inittab.ts";
import { encodeManifest, type Entry, type Manifest } from "./manifest.ts";
import { pieces } from "./pieces.ts";
import type { Change, Plan, WrittenItem } from "./plan.ts";
import { type NewFile, removeLeftovers, Transaction } from "./transaction.ts";
import { baseOf, type Tree } from "./tree.ts";

/** No inittab is larger. */
export const MAX_INITTAB_BYTES = 1024 * 1024;

/** The tree. */
export interface InstallTarget {
  tree: Tree;
  /** The manifest's canonical path. */
  manifestPath: string;
  /** The present manifest of the tree; undefined if there is none. */
  manifest: Manifest | undefined;
}

/** The new manifest. */
export type NewFacts = Pick<Manifest, "version" | "service" | "agentArgs">;

/**
 * Installs everything, or nothing if a step fails.
 *
 * @throws {VsockboxError} CANNOT_CREATE; IO if the disk is full; ABORTED.
 */
export async function applyInstall(
  place: InstallTarget,
  plan: Plan,
  facts: NewFacts,
  signal?: AbortSignal,
): Promise<void> {
  const { tree, manifestPath, manifest } = place;
  cleanUp(place);
  const id = randomBytes(6).toString("hex");
  const before = manifest?.entries ?? [];
  const written = plan.changes.filter((change) => "item" in change);
  const ofManifest = tree.missingParents(manifestPath);
  const missing = new Set([
    ...ofManifest,
    ...written.flatMap(({ path }) => tree.missingParents(path)),
  ]);
  const directories: Entry[] = [
    ...before.filter(({ kind, path }) => kind === "directory" && !missing.has(path)),
    ...[...missing].map((path): Entry => ({ kind: "directory", path })),
  ];
  using transaction = new Transaction(tree, id, signal);
  try {
    for (const path of ofManifest) transaction.makeDirectory(path);
    // First: a run that is killed after this is finished or undone by the next one.
    const during = [...before.filter(({ kind }) => kind !== "directory"), ...plan.entries];
    await transaction.stage(
      manifestFile(manifestPath, {
        ...facts,
        unfinished: id,
        entries: [...directories, ...during],
      }),
    );
    transaction.commit(manifestPath);
    for (const path of missing.difference(new Set(ofManifest))) transaction.makeDirectory(path);

    for (const { item } of written) await stageItem(transaction, tree, item);
    for (const change of plan.changes) await prepareRemoval(transaction, tree, change);
    await transaction.stage(
      manifestFile(manifestPath, {
        ...facts,
        unfinished: undefined,
        entries: [...directories, ...plan.entries],
      }),
    );
    for (const { do: what, path } of plan.changes) {
      if (what === "remove") transaction.remove(path);
      else transaction.commit(path);
    }
    transaction.commit(manifestPath);
  } catch (thrown) {
    const failures = transaction.undo();
    throw failures.length === 0 ? thrown : notUndone(thrown, failures);
  }
  transaction.finish();
  if (plan.changes.some(({ do: what }) => what === "remove")) removeEmpty(tree, directories);
}

/**
 * Uninstalls. Failed steps are left for the next run: the manifest is removed last, and needs no space.
 *
 * @throws {VsockboxError} CANNOT_CREATE; IO.
 */
export async function applyUninstall(place: InstallTarget, plan: Plan): Promise<void> {
  const { tree, manifestPath, manifest } = place;
  if (manifest === undefined) throw new Error("there is nothing to uninstall");
  cleanUp(place);
  const id = randomBytes(6).toString("hex");
  using transaction = new Transaction(tree, id);
  try {
    for (const change of plan.changes) await prepareRemoval(transaction, tree, change);
    for (const { do: what, path } of plan.changes) {
      if (what === "remove lines") transaction.commit(path);
    }
  } catch (thrown) {
    transaction.undo();
    throw thrown;
  }
  transaction.finish();
  for (const { do: what, path } of plan.changes) if (what === "remove") removeNow(tree, path);
  if (plan.kept.length > 0) {
    // They are still ours: --force must know of them.
    const kept = new Set(plan.kept.map(({ path }) => path));
    const entries = manifest.entries.filter(
      ({ kind, path }) => kind === "directory" || kept.has(path),
    );
    using rewrite = new Transaction(tree, id);
    await rewrite.stage(manifestFile(manifestPath, { ...manifest, entries }));
    rewrite.commit(manifestPath);
    rewrite.finish();
  } else {
    removeNow(tree, manifestPath);
  }
  removeEmpty(tree, manifest.entries);
}

/**
 * Keeps others out of the tree until disposed.
 *
 * @param tryLock as in src/ffi/file-lock.ts.
 * @throws {VsockboxError} TIMEOUT if another install is running.
 */
export function lockTree(tree: Tree, tryLock: (fd: number) => boolean): Disposable {
  const fd = openSync(tree.outside(""), "r");
  try {
    if (tryLock(fd)) return { [Symbol.dispose]: () => closeSync(fd) };
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
  closeSync(fd);
  throw new VsockboxError({
    code: "TIMEOUT",
    operation: "install",
    address: tree.outside(""),
    message: "another `vsockbox install` is running there",
  });
}

/** What a run that was killed has left. */
function cleanUp({ tree, manifestPath, manifest }: InstallTarget): void {
  if (manifest?.unfinished === undefined) return;
  const paths = manifest.entries.filter(({ kind }) => kind !== "directory").map(({ path }) => path);
  for (const path of new Set([...paths, manifestPath])) {
    removeLeftovers(tree, path, manifest.unfinished);
  }
}

function manifestFile(path: string, manifest: Manifest): NewFile {
  return { path, mode: 0o644, pieces: [Buffer.from(encodeManifest(manifest))] };
}

async function stageItem(transaction: Transaction, tree: Tree, item: WrittenItem): Promise<void> {
  switch (item.kind) {
    case "binary": {
      const fd = openSync(item.source, "r");
      try {
        const { path, mode } = item;
        await transaction.stage({ path, mode, pieces: sameBytes(fd, item.source, item.sha256) });
      } finally {
        closeSync(fd);
      }
      return;
    }
    case "text":
      return transaction.stage({ ...item, pieces: [Buffer.from(item.text)] });
    case "link":
      return transaction.stageLink(item.path, item.target);
    case "lines":
      return stageEdit(transaction, tree, item.path, (text) => withEntry(text, item.lines));
  }
}

async function prepareRemoval(transaction: Transaction, tree: Tree, change: Change): Promise<void> {
  if (change.do === "remove lines") {
    await stageEdit(transaction, tree, change.path, withoutEntry);
  }
}

/** A small file with its mode and owner and other bytes. */
async function stageEdit(
  transaction: Transaction,
  tree: Tree,
  path: string,
  edit: (text: string) => string,
): Promise<void> {
  const { mode, uid, gid } = lstatSync(tree.outside(path));
  const text = tree.read(path, MAX_INITTAB_BYTES)?.toString("latin1") ?? "";
  await transaction.stage({
    path,
    mode: mode & 0o7777,
    owner: { uid, gid },
    pieces: [Buffer.from(edit(text), "latin1")],
  });
}

/** The pieces of the file that was checked before: nothing else may be installed. */
function* sameBytes(fd: number, path: string, sha256: string): Generator<Uint8Array> {
  const hash = createHash("sha256");
  for (const piece of pieces(fd)) {
    hash.update(piece);
    yield piece;
  }
  if (hash.digest("hex") === sha256) return;
  throw new VsockboxError({
    code: "IO",
    operation: "copy",
    address: path,
    message: "it changed meanwhile; nothing was installed",
  });
}

function removeNow(tree: Tree, path: string): void {
  using directory = tree.directory(path);
  unlinkSync(directory.file(baseOf(path)));
}

/** Those that have anything in them stay. */
function removeEmpty(tree: Tree, entries: readonly Entry[]): void {
  const paths = entries.filter(({ kind }) => kind === "directory").map(({ path }) => path);
  for (const path of paths.sort().toReversed()) {
    if (tree.find(path).kind !== "directory") continue;
    try {
      using directory = tree.directory(path);
      rmdirSync(directory.file(baseOf(path)));
    } catch {
      // Not empty, or a mount point.
    }
  }
}

function notUndone(thrown: unknown, failures: readonly unknown[]): VsockboxError {
  const error = thrown instanceof VsockboxError ? thrown : undefined;
  const reasons = failures.map((failure) => reasonOf(failure).message);
  return new VsockboxError({
    code: error?.code ?? "SOFTWARE",
    operation: error?.operation ?? "install",
    address: error?.address,
    errno: error?.errno,
    message: `${error?.reason ?? reasonOf(thrown).message}; and it could not be undone: ${reasons.join(", ")}`,
    hint: "`vsockbox install` or `vsockbox install --uninstall` finishes it after the cause is removed",
    cause: thrown,
  });
}
