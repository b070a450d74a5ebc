/**
 * A mirror of a guest's directory here. The guest may answer anything: names are checked on arrival, and
 * every path below the destination is entered by descriptors, without following links.
 */
import { fchmodSync, mkdirSync, statSync } from "node:fs";
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { removeBeneath } from "../../agent/server/remove-file.ts";
import { fileError, isFatal, type TransferSummary } from "../../agent/transfer/transfer.ts";
import { commandLineError, VsockboxError } from "../../errors.ts";
import { realPathOf } from "../../ffi/real-path.ts";
import {
  type BytesPath,
  bytesPath,
  descriptorPath,
  joinPath,
  showPath,
} from "../../files/bytes-path.ts";
import { DirectoryHandle } from "../../files/directory-handle.ts";
import { fileKind } from "../../files/facts.ts";
import { field } from "../../protocols/agent/json-fields.ts";
import { TreeReader } from "../../vfs/watch/tree-reader.ts";
import type { SourceWatch, SyncEnds, SyncEndsOptions } from "./sync-ends.ts";
import type { SyncEntry, SyncTree } from "./sync-plan.ts";
import { readGuestTree, readLocalTree, type SyncScope, syncBytes } from "./sync-trees.ts";

/** Files that are received at once. */
const MAX_DOWNLOADS = 4;

const PERMISSIONS = 0o777;
const OWN_PERMISSIONS = 0o700;

/** Mirrors a directory of a guest here. */
export class SyncToHost implements SyncEnds {
  readonly #client: AgentClient;
  readonly #options: SyncEndsOptions;
  readonly #source: BytesPath;
  readonly #destination: BytesPath;
  #exists: boolean;

  private constructor(
    client: AgentClient,
    options: SyncEndsOptions,
    places: { source: BytesPath; destination: BytesPath; exists: boolean },
  ) {
    this.#client = client;
    this.#options = options;
    this.#source = places.source;
    this.#destination = places.destination;
    this.#exists = places.exists;
  }

  /**
   * Examines both sides.
   *
   * @throws {VsockboxError} USAGE if one is not a directory, or the destination is the root; the agent's
   * error.
   */
  static async open(
    client: AgentClient,
    { source, destination }: { source: Uint8Array; destination: Uint8Array },
    options: SyncEndsOptions,
  ): Promise<SyncToHost> {
    const facts = await client.request({ op: "stat", path: source, follow: true });
    if (field(facts, "type") !== "directory") {
      throw commandLineError("sync", `the source ${showPath(source)} is not a directory`);
    }
    return new SyncToHost(client, options, {
      source: bytesPath(source),
      ...examine(bytesPath(destination)),
    });
  }

  async readSource(scope: SyncScope): Promise<SyncTree> {
    // A source that is removed is an error, in place of an empty one.
    await this.#client.request({ op: "stat", path: this.#source, follow: true });
    return readGuestTree(this.#client, this.#source, scope);
  }

  async readDestination(scope: SyncScope): Promise<SyncTree> {
    return this.#exists ? readLocalTree(this.#destination, scope) : new Map();
  }

  async remove(paths: readonly string[], summary: TransferSummary): Promise<number> {
    let removed = 0;
    for (const path of paths) {
      const whole = joinPath(this.#destination, syncBytes(path));
      try {
        const result = await removeBeneath(this.#destination, whole, () => Promise.resolve());
        removed += Number(field(result, "removed"));
        summary.addReported(result);
      } catch (thrown) {
        summary.note(fileError("remove", whole, thrown));
      }
    }
    return removed;
  }

  async copy(paths: readonly string[], source: SyncTree, summary: TransferSummary): Promise<void> {
    if (!this.#exists) mkdirSync(this.#destination);
    this.#exists = true;
    const handle = DirectoryHandle.open(this.#destination);
    using reader = new TreeReader({ kind: "handle", handle });
    const files: string[] = [];
    const directories: string[] = [];
    for (const path of paths) {
      const entry = source.get(path);
      if (entry?.type === "file") files.push(path);
      else if (entry !== undefined) {
        if (entry.type === "directory") directories.push(path);
        this.#guard(path, summary, () => make(reader, path, entry, summary));
      }
    }
    for (let at = 0; at < files.length; at += MAX_DOWNLOADS) {
      const chunk = files.slice(at, at + MAX_DOWNLOADS);
      await Promise.all(chunk.map((path) => this.#download(reader, path, summary)));
    }
    // The modes last: one of them may forbid to write.
    for (const path of directories.toReversed()) {
      const mode = source.get(path)?.mode ?? OWN_PERMISSIONS;
      this.#guard(path, summary, () => setMode(reader, path, mode));
    }
  }

  async watchSource(): Promise<SourceWatch> {
    const { exclude } = this.#options;
    const watch = await this.#client.watch(this.#source, { recursive: true, exclude });
    const source = this.#source;
    const prefix = source.at(-1) === SLASH ? source.length : source.length + 1;
    const relative = (path: Uint8Array) => bytesPath(path.subarray(prefix));
    return {
      directories: watch.directories,
      unreadable: watch.unreadable,
      close: () => watch.close(),
      async *events() {
        for await (const event of watch.events()) {
          if (event.kind === "overflow") yield event;
          else {
            const from = event.from === undefined ? undefined : relative(event.from);
            yield { ...event, path: relative(event.path), from };
          }
        }
      },
    };
  }

  async #download(reader: TreeReader, path: string, summary: TransferSummary): Promise<void> {
    const { checksum, signal } = this.#options;
    const { parent, name } = openParent(reader, path);
    try {
      using directory = parent;
      const to = directory && descriptorPath(directory.fd);
      if (to === undefined) throw noDirectory(path);
      const remote = joinPath(this.#source, syncBytes(path));
      const options = { preserve: true, resume: checksum, checksum, signal };
      summary.add(await this.#client.download(remote, to, name, options));
    } catch (thrown) {
      this.#note(path, summary, thrown);
    }
  }

  #guard(path: string, summary: TransferSummary, work: () => void): void {
    try {
      work();
    } catch (thrown) {
      this.#note(path, summary, thrown);
    }
  }

  /** Notes the failure of one file; throws what would fail for all others as well. */
  #note(path: string, summary: TransferSummary, thrown: unknown): void {
    const error = fileError("copy", syncBytes(path), thrown);
    const endsAll = this.#options.signal.aborted || error.code === "TRANSPORT" || isFatal(error);
    if (endsAll || error.code === "BAD_DATA" || error.code === "SOFTWARE") throw error;
    summary.note(error);
  }
}

const SLASH = 0x2f;

function examine(destination: BytesPath): { destination: BytesPath; exists: boolean } {
  const status = statSync(destination, { throwIfNoEntry: false });
  if (status === undefined) return { destination, exists: false };
  const shown = showPath(destination);
  if (!status.isDirectory()) {
    throw commandLineError("sync", `the destination ${shown} is not a directory`);
  }
  const real = realPathOf(destination);
  if (real.length > 1) return { destination: real, exists: true };
  throw commandLineError("sync", `the destination ${shown} is the root of this machine`);
}

function openParent(
  reader: TreeReader,
  path: string,
): { parent: DirectoryHandle | undefined; name: Uint8Array } {
  const names = path.split("/").map(syncBytes);
  const name = names.pop() ?? new Uint8Array(0);
  return { parent: reader.open(names), name };
}

/** Makes a directory or a link. */
function make(reader: TreeReader, path: string, entry: SyncEntry, summary: TransferSummary): void {
  const { parent, name } = openParent(reader, path);
  if (parent === undefined) throw noDirectory(path);
  using directory = parent;
  const existing = directory.find(name);
  if (entry.type === "directory") {
    if (existing === undefined) directory.makeDirectory(name, OWN_PERMISSIONS);
    setMode(reader, path, entry.mode | OWN_PERMISSIONS);
    summary.directories++;
    return;
  }
  if (existing !== undefined && fileKind(existing) !== "directory") directory.unlink(name);
  directory.makeLink(syncBytes(entry.target ?? ""), name);
  summary.links++;
}

function setMode(reader: TreeReader, path: string, mode: number): void {
  const opened = reader.open(path.split("/").map(syncBytes));
  if (opened === undefined) throw noDirectory(path);
  using directory = opened;
  fchmodSync(directory.fd, mode & PERMISSIONS);
}

function noDirectory(path: string): VsockboxError {
  return new VsockboxError({
    code: "IO",
    operation: "copy",
    address: showPath(syncBytes(path)),
    message: "its directory does not exist here, or is a link",
  });
}
