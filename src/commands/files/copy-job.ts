/** The parts of a copy: where each source goes, and which way its bytes take. */
import { readFileSync, statSync } from "node:fs";
import { AgentClient } from "../../agent/client/agent-client.ts";
import { transferFlags, type TransferOptions } from "../../agent/client/file-transfer.ts";
import { readHomePath, resolveHome } from "../../agent/client/home-path.ts";
import { relayFiles } from "../../agent/transfer/file-relay.ts";
import { OldAgentError } from "../../agent/client/handshake.ts";
import { listOldDirectory, readOldFile, writeOldFile } from "../../agent/client/go-files.ts";
import {
  fileError,
  type TransferProgress,
  TransferSummary,
} from "../../agent/transfer/transfer.ts";
import { EXIT_STATUS, reasonOf, toVsockboxError, VsockboxError } from "../../errors.ts";
import { realPathOf } from "../../ffi/real-path.ts";
import { writeFileAtomically } from "../../files/atomic-write.ts";
import {
  baseName,
  type BytesPath,
  bytesPath,
  joinPath,
  namesDirectory,
  parentOf,
  showPath,
} from "../../files/bytes-path.ts";
import { fileKind, kindInWords } from "../../files/facts.ts";
import { treeBytes } from "../../files/tree-size.ts";
import { hasWildcard } from "../../files/glob.ts";
import { abortError, onAbort } from "../../io/deadline.ts";
import { requiredStandardInput, StandardOutput } from "../../io/stdio.ts";
import { field, type JsonObject, textField } from "../../protocols/agent/json-fields.ts";
import { isFileName, readPathField } from "../../protocols/agent/paths.ts";
import type { ProgressLine } from "../../ui/progress.ts";
import { readAddress } from "../shared/address-kind.ts";
import type { CopyValues } from "./copy-arguments.ts";
import { agentTarget, type AgentTarget, type Operand } from "../shared/target.ts";

/** `isHome`: the user wrote `~` or `~USER` alone, and the guest has answered what that is. */
type Remote = Operand & { kind: "remote"; isHome?: boolean };

/** Where one source goes: a name in an existing directory. */
interface Place {
  directory: BytesPath;
  name: Uint8Array;
}

/** How long an interrupted copy may take to tell the guests, in milliseconds. */
const FAREWELL_MS = 1000;

/** A copy with all its connections. */
export class CopyJob implements AsyncDisposable {
  readonly #args: CopyValues;
  readonly #progress: ProgressLine;
  readonly #signal: AbortSignal;
  readonly #options: TransferOptions;
  readonly #maxBytes: number | undefined;
  readonly #clients = new Map<string, Promise<AgentClient | undefined>>();
  readonly #total = new TransferSummary();
  /** The exit status of the first source that was not copied whole; 0 for none. */
  #status = 0;

  constructor(args: CopyValues, progress: ProgressLine, signal: AbortSignal) {
    this.#args = args;
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
    // The guest may be stopped: nothing that is sent to it, a farewell neither, is ever taken then.
    onAbort(signal, () => setTimeout(() => void this.#dropConnections(), FAREWELL_MS).unref());
  }

  async #dropConnections(): Promise<void> {
    for (const connecting of this.#clients.values()) {
      const client = await connecting.catch(() => undefined);
      client?.abort(abortError(this.#signal, "copy"));
    }
  }

  /**
   * Copies all sources, in order. One of several that cannot be copied does not hold up the others.
   *
   * @returns what was copied, and the exit status of the first source that was not; 0 for none.
   * @throws {VsockboxError} what ended the copy; errors of single files are in the summary.
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
    for (const source of sources) {
      await this.#each(many, () => this.#copy(source, place, many));
    }
    return { summary: this.#total, status: this.#status };
  }

  /** Does the part of one source; if there are others, what is wrong with it is noted. */
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
    const client = await this.#client(source.target);
    if (client === undefined) return [source];
    const matches: Operand[] = [];
    for await (const path of client.glob(source.path)) matches.push({ ...source, path });
    if (matches.length > 0) return matches;
    // A file may really be called so.
    const literal = await this.#remoteStat({ ...source }).catch(() => undefined);
    if (literal !== undefined) return [source];
    throw new VsockboxError({
      code: "IO",
      operation: "copy",
      address: `${source.target}:${showPath(source.path)}`,
      message: "nothing matches the pattern",
      errno: "ENOENT",
    });
  }

  /** The operand with the home directory in place of `~`. */
  async #fromHome(operand: Remote): Promise<Remote> {
    const parts = readHomePath(operand.path);
    if (parts === undefined) return operand;
    const path = await resolveHome(await this.#client(operand.target), operand.path);
    return { ...operand, path, isHome: parts.rest === undefined || parts.rest.length === 0 };
  }

  async #copy(source: Operand, destination: Operand, many: boolean): Promise<void> {
    if (destination.kind === "stream") return this.#toStandardOutput(source);
    if (destination.kind === "local") {
      if (source.kind !== "remote") throw usage("neither side is in a guest");
      return this.#download(source, destination.path, many);
    }
    if (source.kind === "remote") return this.#relay(source, destination, many);
    return this.#upload(source, destination, many);
  }

  async #upload(
    source: Exclude<Operand, Remote>,
    destination: Remote,
    many: boolean,
  ): Promise<void> {
    const client = await this.#client(destination.target);
    if (client === undefined) return this.#uploadToOld(source, destination);
    const name =
      source.kind === "stream" ? undefined : { path: source.path, name: () => localName(source) };
    const place = await this.#remotePlace(destination, name, many);
    const local = source.kind === "stream" ? requiredStandardInput() : source.path;
    const onProgress = this.#onProgress(
      source.kind === "stream" ? "standard input" : showPath(baseName(source.path)),
    );
    const options = { ...this.#options, onProgress };
    this.#total.add(await client.upload(local, place.directory, place.name, options));
  }

  async #download(source: Remote, destination: Uint8Array, many: boolean): Promise<void> {
    const client = await this.#client(source.target);
    const status = localStat(destination);
    const sourceName = baseName(source.path);
    const isContents = isContentsOf(source.path);
    let place: Place;
    if (status?.isDirectory() === true && !isContents) {
      place = { directory: bytesPath(destination), name: typedName(source) };
    } else {
      if (many || (status === undefined && namesDirectory(destination))) {
        throw noDirectory(showPath(destination), status !== undefined);
      }
      if (status !== undefined && !status.isFile() && !status.isDirectory()) {
        throw noFile(showPath(destination), fileKind(status));
      }
      const real = status === undefined ? destination : realPathOf(destination);
      place = { directory: parentOf(real), name: baseName(real) };
    }
    if (client === undefined)
      return this.#downloadFromOld(source, joinPath(place.directory, place.name));
    const onProgress = this.#onProgress(showPath(sourceName));
    const options = { ...this.#options, onProgress };
    const limited = { ...options, maxBytes: this.#remaining };
    this.#total.add(await client.download(source.path, place.directory, place.name, limited));
  }

  /** From guest to guest: the bytes go through here, the files do not. */
  async #relay(source: Remote, destination: Remote, many: boolean): Promise<void> {
    const [from, to] = await Promise.all([
      this.#client(source.target),
      this.#client(destination.target),
    ]);
    if (from === undefined || to === undefined) {
      throw usage("one of the agents is too old for copies from guest to guest");
    }
    const named = { path: source.path, name: () => typedName(source) };
    const place = await this.#remotePlace(destination, named, many);
    const flags = transferFlags(this.#options);
    const recursive = this.#options.recursive ?? false;
    const { name, directory } = place;
    const get = from.open({ op: "get", path: source.path, name, recursive, ...flags });
    const put = to.open({ op: "put", path: directory, ...flags });
    const onProgress = this.#onProgress(showPath(baseName(source.path)));
    const requested = { name, recursive };
    const maxBytes = this.#remaining;
    this.#total.add(
      await relayFiles(get, put, { requested, maxBytes, signal: this.#signal, onProgress }),
    );
  }

  async #toStandardOutput(source: Operand): Promise<void> {
    if (source.kind !== "remote") throw usage("neither side is in a guest");
    const client = await this.#client(source.target);
    const output = new StandardOutput(1);
    if (client === undefined) {
      const { address, options } = this.#target(source.target);
      await output.write(await readOldFile(address, options, source.path));
      return;
    }
    using _abort = onAbort(this.#signal, () => client.abort(abortError(this.#signal, "copy")));
    const options = { ...this.#options, maxBytes: this.#maxBytes };
    for await (const bytes of client.read(source.path, options)) await output.write(bytes);
  }

  /**
   * Where a source goes in a guest: into the destination where that is a directory, else to exactly
   * that name.
   */
  async #remotePlace(
    destination: Remote,
    source: { path: Uint8Array; name: () => Uint8Array } | undefined,
    many: boolean,
  ): Promise<Place> {
    const status = await this.#remoteStat(destination).catch((thrown: unknown) => {
      if (reasonOf(thrown).errno === "ENOENT") return undefined;
      throw thrown;
    });
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

  async #remoteStat(operand: Remote): Promise<JsonObject> {
    const client = await this.#client(operand.target);
    if (client === undefined) return {};
    return client.request({ op: "stat", path: operand.path, follow: true });
  }

  async #uploadToOld(source: Exclude<Operand, Remote>, destination: Remote): Promise<void> {
    const { address, options } = this.#target(destination.target);
    const content =
      source.kind === "stream"
        ? new Uint8Array(await Bun.readableStreamToArrayBuffer(toReadable(requiredStandardInput())))
        : readLocalFile(source.path);
    const isDirectory = await listOldDirectory(address, options, destination.path).then(
      () => true,
      () => false,
    );
    const name = source.kind === "stream" ? undefined : baseName(source.path);
    if (isDirectory && name === undefined) {
      throw usage("the destination is a directory", "standard input needs a file's name");
    }
    const path =
      isDirectory && name !== undefined
        ? joinPath(destination.path, name)
        : bytesPath(destination.path);
    const mode = source.kind === "stream" ? 0o644 : statSync(bytesPath(source.path)).mode & 0o777;
    await writeOldFile(address, options, path, content, mode);
    this.#addFile(content.length);
  }

  async #downloadFromOld(source: Remote, path: BytesPath): Promise<void> {
    const { address, options } = this.#target(source.target);
    const content = await readOldFile(address, options, source.path);
    await writeFileAtomically(path.toString(), content, 0o644);
    this.#addFile(content.length);
  }

  #addFile(bytes: number): void {
    this.#total.files++;
    this.#total.bytes += bytes;
  }

  /** What may still be received under `--max-size`. */
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

  /** A bar needs the sum: local trees are quickly counted, and only where somebody looks. */
  #countAhead(sources: readonly Operand[]): void {
    if (!this.#progress.isEnabled) return;
    let bytes = 0;
    for (const source of sources) {
      if (source.kind !== "local") return;
      bytes += treeBytes(bytesPath(source.path));
    }
    this.#progress.totalBytes = bytes;
  }

  #target(name: string): AgentTarget {
    return agentTarget(this.#args, readAddress(name), this.#signal);
  }

  /** One connection a target; undefined where its agent is none of ours. */
  #client(name: string): Promise<AgentClient | undefined> {
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const { address, options } = this.#target(name);
    const connecting = AgentClient.connect(address, options).catch((thrown: unknown) => {
      if (!(thrown instanceof OldAgentError)) throw thrown;
      this.#refuseForOld(thrown);
      return undefined;
    });
    this.#clients.set(name, connecting);
    return connecting;
  }

  /** What a whole-file frame cannot do is refused, not left out in silence. */
  #refuseForOld(error: OldAgentError): void {
    const { recursive, preserve, resume, checksum, noClobber } = this.#args;
    const asked = { recursive, preserve, resume, checksum, "no-clobber": noClobber };
    const impossible = Object.entries(asked).find(([, isOn]) => isOn)?.[0];
    if (impossible === undefined) return;
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "cp",
      message: `the agent is too old for --${impossible}`,
      hint: error.hint,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = await Promise.allSettled(this.#clients.values());
    for (const client of clients) {
      if (client.status === "fulfilled") await client.value?.close();
    }
  }
}

/** Whether a path is `.`, or ends in `/.`: what is in a directory, without a name of its own. */
function isContentsOf(path: Uint8Array): boolean {
  return namesDirectory(path) && baseName(path).toString() === ".";
}

/**
 * What a source of a guest is called in a directory: its last component as the user typed it. The
 * guest is not asked: it could answer `.bashrc`.
 *
 * @throws {VsockboxError} USAGE if the path has no name of its own.
 */
function typedName({ target, path, isHome = false }: Remote): Uint8Array {
  return ownName(isHome ? Buffer.from("..") : path, `${target}:${isHome ? "~" : showPath(path)}`);
}

/** What a local source is called: as typed, else its true name. */
function localName({ path }: Operand & { kind: "local" }): Uint8Array {
  const name = baseName(path);
  return isFileName(name) ? name : ownName(realPathOf(path), showPath(path));
}

function ownName(path: Uint8Array, shown: string): Uint8Array {
  const name = baseName(path);
  if (name.length > 0 && isFileName(name)) return name;
  throw usage(
    `${shown} has no name that the copy could get`,
    "name the copy, or copy what is in the directory with `/.` at the end",
  );
}

function usage(message: string, hint?: string): VsockboxError {
  return new VsockboxError({ code: "USAGE", operation: "cp", message, hint });
}

function noDirectory(shown: string, isFile: boolean): VsockboxError {
  return new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "copy to",
    address: shown,
    message: isFile ? "it is no directory" : "there is no such directory",
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
    throw fileError("look at", bytesPath(path), thrown);
  }
}

function readLocalFile(path: Uint8Array): Uint8Array {
  try {
    return readFileSync(bytesPath(path));
  } catch (thrown) {
    throw fileError("read", bytesPath(path), thrown);
  }
}

function toReadable(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async start(controller) {
      for await (const chunk of source) controller.enqueue(chunk);
      controller.close();
    },
  });
}
