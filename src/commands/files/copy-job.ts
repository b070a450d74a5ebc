/**
 * A copy of `cp`: expands the sources, then copies each in its direction (upload, download, guest to guest,
 * standard streams).
 *
 *   `copy-destination.ts`   the name of each source at the destination
 *   `copy-connections.ts`   one connection for each target
 *   `upload-together.ts`, `downloads-ahead.ts`   several sources without a round trip for each
 *   `copy-go-agent.ts`      agents that have only the Go agent's frames
 */
import type { Channel } from "../../agent/channel/channel.ts";
import type { AgentClient } from "../../agent/client/agent-client.ts";
import {
  openDownload,
  receiveFiles,
  transferFlags,
  type TransferOptions,
} from "../../agent/client/file-transfer.ts";
import { readHomePath, resolveHome } from "../../agent/client/home-path.ts";
import { relayFiles } from "../../agent/transfer/file-relay.ts";
import { type TransferProgress, TransferSummary } from "../../agent/transfer/transfer.ts";
import { EXIT_STATUS, reasonOf, toVsockboxError } from "../../errors.ts";
import { baseName, bytesPath, joinPath, showPath } from "../../files/bytes-path.ts";
import { hasWildcard } from "../../files/glob.ts";
import { treeBytes } from "../../files/tree-size.ts";
import { abortError, onAbort } from "../../io/deadline.ts";
import { requiredStandardInput, StandardOutput } from "../../io/stdio.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import type { TreeRecord } from "../../protocols/agent/tree-records.ts";
import type { ProgressLine } from "../../ui/progress.ts";
import type { Operand } from "../shared/target.ts";
import type { CopyValues } from "./copy-arguments.ts";
import { CopyConnections } from "./copy-connections.ts";
import {
  type CopyDestination,
  localDestination,
  localName,
  type NamedSource,
  remoteDestination,
  type RemoteOperand,
  typedName,
} from "./copy-destination.ts";
import type { LocalOperand } from "./copy-go-agent.ts";
import type { CopiedFile } from "./copy-listing.ts";
import { usage } from "./copy-usage.ts";
import { type Download, DownloadsAhead, downloadsOf } from "./downloads-ahead.ts";
import { uploadTogether } from "./upload-together.ts";

/** Receives each file that is copied or, with `isDryRun`, would be. */
export interface CopyReport {
  isDryRun: boolean;
  onFile: ((file: CopiedFile) => void) | undefined;
}

/** Copies the sources of one command line, and counts what was copied. */
export class CopyJob implements AsyncDisposable {
  readonly #progress: ProgressLine;
  readonly #signal: AbortSignal;
  readonly #options: TransferOptions;
  readonly #maxBytes: number | undefined;
  readonly #connections: CopyConnections;
  readonly #report: CopyReport;
  readonly #total = new TransferSummary();
  /** What is requested of guests ahead of its turn. */
  #downloads: ReadonlyMap<Operand & { kind: "remote" }, Download> = new Map();
  readonly #ahead = new Map<AgentClient, DownloadsAhead>();
  /** The exit status of the first source that failed; 0 if none did. */
  #status = 0;

  constructor(
    args: CopyValues,
    progress: ProgressLine,
    signal: AbortSignal,
    report: CopyReport = { isDryRun: false, onFile: undefined },
  ) {
    this.#report = report;
    this.#connections = new CopyConnections(args, signal);
    this.#progress = progress;
    this.#signal = signal;
    this.#maxBytes = args.maxSize;
    this.#options = {
      recursive: args.recursive,
      preserve: args.preserve || args.preserveOwner,
      preserveOwner: args.preserveOwner,
      resume: args.resume,
      checksum: args.checksum,
      keep: args.noClobber,
      signal,
    };
  }

  /**
   * Copies all sources, in order. A failure of one of several sources does not stop the others.
   *
   * @returns the summary, and the exit status of the first source that failed; 0 if none did.
   * @throws {VsockboxError} an error that ends the copy; errors of single files are in the summary.
   */
  async run(operands: readonly Operand[]): Promise<{ summary: TransferSummary; status: number }> {
    const destination = operands.at(-1);
    if (destination === undefined) throw usage("the destination is missing");
    const given = operands.slice(0, -1);
    this.#check(given, destination);
    const sources: Operand[] = [];
    for (const source of given) {
      await this.#each(given.length > 1, async () => {
        sources.push(...(await this.#expand(source)));
      });
    }
    if (sources.length > 1 && destination.kind === "stream") {
      throw usage("only one file can go to standard output");
    }
    this.#countAhead(sources);
    const place = destination.kind === "remote" ? await this.#fromHome(destination) : destination;
    const many = given.length > 1 || sources.length > 1;
    // A list names the files of one source after the other.
    const isTogether = this.#report.onFile === undefined;
    const areUploaded =
      isTogether && place.kind === "remote" && (await this.#uploadTogether(sources, place));
    if (isTogether && place.kind === "local" && many) this.#downloads = downloadsOf(sources);
    for (const source of areUploaded ? [] : sources) {
      await this.#each(many, () => this.#copy(source, place, many));
    }
    return { summary: this.#total, status: this.#status };
  }

  /** Runs the work of one source; if there are others, its error is noted instead of thrown. */
  async #each(hasOthers: boolean, work: () => Promise<void>): Promise<void> {
    const before = this.#total.errorCount;
    try {
      await work();
      if (this.#total.errorCount > before) this.#status ||= EXIT_STATUS.IO;
    } catch (thrown) {
      const error = toVsockboxError(thrown, "copy");
      const endsAll = this.#signal.aborted || error.code === "SOFTWARE" || error.errno === "ENOSPC";
      if (!hasOthers || endsAll) throw thrown;
      this.#total.note(error);
      this.#status ||= error.exitStatus;
    }
  }

  #check(sources: readonly Operand[], destination: Operand): void {
    const anyRemote = [...sources, destination].some(({ kind }) => kind === "remote");
    if (!anyRemote) {
      throw usage("neither side is in a guest", "write TARGET:PATH on one side; cp(1) copies here");
    }
    if (sources.some(({ kind }) => kind === "stream") && sources.length > 1) {
      throw usage("standard input cannot be used with other sources");
    }
    if (destination.kind === "stream" && sources.length > 1) {
      throw usage("only one file can go to standard output");
    }
    if (destination.kind === "local" && sources.some(({ kind }) => kind !== "remote")) {
      throw usage("a source and the destination are both on this machine", "cp(1) copies here");
    }
  }

  /** Patterns in a guest's path are expanded there, as scp does; local ones were by the shell. */
  async #expand(given: Operand): Promise<Operand[]> {
    if (given.kind !== "remote") return [given];
    const source = await this.#fromHome(given);
    if (!hasWildcard(given.path)) return [source];
    const client = await this.#connections.client(source.target);
    if (client === undefined) return [source];
    const shown = `${source.target}:${showPath(source.path)}`;
    const { expandPattern } = await import("./expand-pattern.ts");
    const matches = await expandPattern(client, source.path, shown);
    const { target } = source;
    return matches.map((path) => ({ kind: "remote", target, path }));
  }

  /** Returns the operand with `~` resolved to the home directory. */
  async #fromHome(operand: RemoteOperand): Promise<RemoteOperand> {
    const parts = readHomePath(operand.path);
    if (parts === undefined) return operand;
    const path = await resolveHome(await this.#connections.client(operand.target), operand.path);
    return { ...operand, path, isHome: parts.rest === undefined || parts.rest.length === 0 };
  }

  async #copy(source: Operand, destination: Operand, many: boolean): Promise<void> {
    if (this.#report.isDryRun) return this.#plan(source, destination, many);
    if (destination.kind === "stream") return this.#toStandardOutput(source);
    if (destination.kind === "local") {
      if (source.kind !== "remote") throw usage("neither side is in a guest");
      return this.#download(source, destination.path, many);
    }
    if (source.kind === "remote") return this.#relay(source, destination, many);
    return this.#upload(source, destination, many);
  }

  /** Uploads several sources at once; returns false if they have to be copied one by one. */
  async #uploadTogether(sources: readonly Operand[], destination: RemoteOperand): Promise<boolean> {
    const local = sources.filter((source) => source.kind === "local");
    if (sources.length < 2 || local.length < sources.length) return false;
    const client = await this.#connections.client(destination.target);
    if (client === undefined) return false;
    const status = await this.#destinationStatus(destination);
    const many = local.map((source) => {
      const named = { path: source.path, name: () => localName(source) };
      const place = () => remoteDestination(destination, status, named, true);
      return { path: source.path, destination: place };
    });
    let onProgress: ((progress: TransferProgress) => void) | undefined;
    const result = await uploadTogether(client, many, {
      ...this.#options,
      onProgress: (progress) => onProgress?.(progress),
      onSource: (path) => {
        onProgress = this.#onProgress(showPath(baseName(path)));
      },
    });
    if (result === undefined) return false;
    this.#total.add(result.summary);
    this.#status ||= result.status;
    return true;
  }

  /** Reports what a source would be copied to. */
  async #plan(source: Operand, destination: Operand, many: boolean): Promise<void> {
    const place =
      destination.kind === "remote"
        ? await this.#remotePlace(destination, namedSource(source), many)
        : destination.kind === "local" && source.kind === "remote"
          ? localDestination(destination.path, source, many)
          : undefined;
    const ends = {
      source: shownPath(source),
      destination:
        place === undefined
          ? Buffer.from(STANDARD_OUTPUT)
          : shownPath(withPath(destination, joinPath(place.directory, place.name))),
    };
    const { copiedBelow } = await import("./copy-listing.ts");
    for (const path of await this.#filesOf(source)) this.#report.onFile?.(copiedBelow(ends, path));
  }

  async #filesOf(source: Operand): Promise<readonly Uint8Array[]> {
    if (source.kind === "stream") return [Buffer.alloc(0)];
    const { localFiles, guestFiles } = await import("./copy-plan.ts");
    const isRecursive = this.#options.recursive ?? false;
    if (source.kind === "local") return localFiles(source.path, isRecursive);
    const client = await this.#connections.client(source.target);
    return client === undefined ? [] : guestFiles(client, source.path, isRecursive);
  }

  /** Returns what reports the files of a transfer; undefined if they need not be reported. */
  async #onRecord(
    source: Operand,
    destination: Operand,
    place: CopyDestination,
  ): Promise<((record: TreeRecord) => void) | undefined> {
    const { onFile } = this.#report;
    if (onFile === undefined) return undefined;
    const path = joinPath(place.directory, place.name);
    const ends = { source: shownPath(source), destination: shownPath(withPath(destination, path)) };
    const { CopyListing } = await import("./copy-listing.ts");
    const listing = new CopyListing(ends, onFile);
    return (record) => listing.push(record);
  }

  async #upload(source: LocalOperand, destination: RemoteOperand, many: boolean): Promise<void> {
    const client = await this.#connections.client(destination.target);
    if (client === undefined) {
      const { uploadToGoAgent } = await import("./copy-go-agent.ts");
      const target = this.#connections.target(destination.target);
      return this.#addFile(await uploadToGoAgent(target, source, destination.path));
    }
    const place = await this.#remotePlace(destination, namedSource(source), many);
    const local = source.kind === "stream" ? requiredStandardInput() : source.path;
    const onProgress = this.#onProgress(
      source.kind === "stream" ? "standard input" : showPath(baseName(source.path)),
    );
    const onRecord = await this.#onRecord(source, destination, place);
    const options = { ...this.#options, onProgress, onRecord };
    this.#total.add(await client.upload(local, place.directory, place.name, options));
  }

  async #download(source: RemoteOperand, destination: Uint8Array, many: boolean): Promise<void> {
    const client = await this.#connections.client(source.target);
    const place = localDestination(destination, source, many);
    if (client === undefined) {
      const { address, options } = this.#connections.target(source.target);
      const copy = {
        remote: source.path,
        local: joinPath(place.directory, place.name),
        maxBytes: this.#remaining,
      };
      const { downloadOldFile } = await import("../../agent/client/go-copy.ts");
      return this.#addFile(await downloadOldFile(address, options, copy));
    }
    const onProgress = this.#onProgress(showPath(baseName(source.path)));
    const onRecord = await this.#onRecord(source, { kind: "local", path: destination }, place);
    const options = { ...this.#options, onProgress, onRecord, maxBytes: this.#remaining };
    const channel = this.#openDownload(client, source, place.name);
    this.#total.add(await receiveFiles(channel, place, options));
  }

  #openDownload(client: AgentClient, source: RemoteOperand, name: Uint8Array): Channel {
    const download = this.#downloads.get(source);
    if (download === undefined) return openDownload(client, source.path, name, this.#options);
    let ahead = this.#ahead.get(client);
    if (ahead === undefined) {
      const own = [...this.#downloads].filter(([{ target }]) => target === source.target);
      const downloads = own.map(([, planned]) => planned);
      ahead = new DownloadsAhead(client, downloads, this.#options);
      this.#ahead.set(client, ahead);
    }
    return ahead.next(download);
  }

  /** Copies from guest to guest; the bytes pass through this process, without a local file. */
  async #relay(source: RemoteOperand, destination: RemoteOperand, many: boolean): Promise<void> {
    const [from, to] = await Promise.all([
      this.#connections.client(source.target),
      this.#connections.client(destination.target),
    ]);
    if (from === undefined || to === undefined) {
      throw usage("one of the agents is too old for copies from guest to guest");
    }
    const place = await this.#remotePlace(destination, namedSource(source), many);
    const flags = transferFlags(this.#options);
    const recursive = this.#options.recursive ?? false;
    const { name, directory } = place;
    // Before the channels are open: nothing of theirs may arrive before it is read.
    const onRecord = await this.#onRecord(source, destination, place);
    const get = from.open({ op: "get", path: source.path, name, recursive, ...flags });
    const put = to.open({ op: "put", path: directory, ...flags });
    const onProgress = this.#onProgress(showPath(baseName(source.path)));
    const requested = { name, recursive };
    const maxBytes = this.#remaining;
    const options = { requested, maxBytes, signal: this.#signal, onProgress, onRecord };
    this.#total.add(await relayFiles(get, put, options));
  }

  async #toStandardOutput(source: Operand): Promise<void> {
    if (source.kind !== "remote") throw usage("neither side is in a guest");
    const client = await this.#connections.client(source.target);
    const output = new StandardOutput(1);
    if (client === undefined) {
      const { address, options } = this.#connections.target(source.target);
      const { readOldFile } = await import("../../agent/client/go-files.ts");
      await output.write(await readOldFile(address, options, source.path));
      return;
    }
    using _abort = onAbort(this.#signal, () => client.abort(abortError(this.#signal, "copy")));
    const options = { ...this.#options, maxBytes: this.#maxBytes };
    for await (const bytes of client.read(source.path, options)) await output.write(bytes);
  }

  /** Bytes that may still be received under `--max-size`. */
  get #remaining(): number | undefined {
    return this.#maxBytes === undefined ? undefined : this.#maxBytes - this.#total.bytes;
  }

  #onProgress(what: string): (progress: TransferProgress) => void {
    const { files, bytes } = this.#total;
    return (progress) =>
      this.#progress.update(what, {
        files: files + progress.files,
        bytes: bytes + progress.bytes,
      });
  }

  /** Counts the bytes of local sources, which a progress bar needs; not without a progress line. */
  #countAhead(sources: readonly Operand[]): void {
    if (!this.#progress.isEnabled) return;
    let bytes = 0;
    for (const source of sources) {
      if (source.kind !== "local") return;
      bytes += treeBytes(bytesPath(source.path));
    }
    this.#progress.totalBytes = bytes;
  }

  /** Asks the guest for the facts of the destination, by which the name of a source there is chosen. */
  async #remotePlace(
    destination: RemoteOperand,
    source: NamedSource | undefined,
    many: boolean,
  ): Promise<CopyDestination> {
    const status = await this.#destinationStatus(destination);
    return remoteDestination(destination, status, source, many);
  }

  /** Returns undefined if the destination does not exist. */
  async #destinationStatus(destination: RemoteOperand): Promise<JsonObject | undefined> {
    try {
      return await this.#remoteStat(destination);
    } catch (thrown) {
      if (reasonOf(thrown).errno === "ENOENT") return undefined;
      throw thrown;
    }
  }

  async #remoteStat(operand: RemoteOperand): Promise<JsonObject> {
    const client = await this.#connections.client(operand.target);
    if (client === undefined) return {};
    return client.request({ op: "stat", path: operand.path, follow: true });
  }

  #addFile(bytes: number): void {
    this.#total.files++;
    this.#total.bytes += bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections[Symbol.asyncDispose]();
  }
}

const STANDARD_INPUT = "standard input";
const STANDARD_OUTPUT = "standard output";

/** Returns a source with the name that it gets in a directory; undefined: standard input has none. */
function namedSource(source: Operand): NamedSource | undefined {
  if (source.kind === "stream") return undefined;
  const name = () => (source.kind === "local" ? localName(source) : typedName(source));
  return { path: source.path, name };
}

/** Returns a path with its target, as reports of files have it. */
function shownPath(operand: Operand): Uint8Array {
  if (operand.kind === "stream") return Buffer.from(STANDARD_INPUT);
  if (operand.kind === "local") return operand.path;
  return Buffer.concat([Buffer.from(`${operand.target}:`), operand.path]);
}

function withPath(operand: Operand, path: Uint8Array): Operand {
  return operand.kind === "stream" ? operand : { ...operand, path };
}
