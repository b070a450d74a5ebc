/** The guest's files, for the library. Paths are strings; a Uint8Array is a path that need not be UTF-8. */
import type { TransferOptions } from "../agent/client/file-transfer.ts";
import type { FileWatchOptions } from "../agent/client/watched-path.ts";
import type { TransferSummary } from "../agent/transfer/transfer.ts";
import { baseName, parentOf } from "../files/bytes-path.ts";
import { VsockboxError } from "../errors.ts";
import type { FileKind } from "../files/facts.ts";
import type { ByteSource } from "../io/pump.ts";
import { type JsonObject, numberField, textField } from "../protocols/agent/json-fields.ts";
import type { AgentLink } from "./agent-link.ts";
import { FileWatch } from "./file-watch.ts";
import { type Path, pathBytes } from "./path.ts";

/** The facts of a file. Owner and time are NaN in a list of an agent with the protocol `go`. */
export interface FileFacts {
  type: FileKind;
  /** In bytes. */
  size: number;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  /** In milliseconds since 1970. */
  mtimeMs: number;
}

/** A file in a list, with its name. */
export interface ListedFile extends FileFacts {
  name: string;
  /** The name's bytes, which need not be UTF-8. */
  nameBytes: Uint8Array;
}

/** Entries of a directory that are collected, some 300 bytes each. */
const MAX_LISTED = 1_000_000;

/** The files of a guest. */
export class Files {
  readonly #link: AgentLink;

  /** Made by `connectAgent`. */
  constructor(link: AgentLink) {
    this.#link = link;
  }

  /** A whole file. For large ones {@link stream} is better. */
  async read(path: Path): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.stream(path)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** A whole file as text. */
  async text(path: Path): Promise<string> {
    return new TextDecoder().decode(await this.read(path));
  }

  /** A file's bytes as they come. */
  stream(path: Path): AsyncGenerator<Uint8Array> {
    return this.#link.read(pathBytes(path));
  }

  /** Writes a file atomically: an old one stays until all bytes are written, if the agent is vsockbox. */
  async write(path: Path, content: Uint8Array | string | ByteSource): Promise<void> {
    const target = pathBytes(path);
    const source =
      typeof content === "string" || content instanceof Uint8Array
        ? single(typeof content === "string" ? Buffer.from(content) : content)
        : content;
    const summary = await this.#link.upload(source, parentOf(target), baseName(target));
    throwFirst(summary);
  }

  /** Copies a local file or, with `recursive`, tree to exactly this path of the guest. */
  async upload(local: Path, remote: Path, options?: TransferOptions): Promise<TransferSummary> {
    const target = pathBytes(remote);
    return this.#link.upload(pathBytes(local), parentOf(target), baseName(target), options);
  }

  /** Copies a file or, with `recursive`, tree of the guest to exactly this local path. */
  async download(remote: Path, local: Path, options?: TransferOptions): Promise<TransferSummary> {
    const target = pathBytes(local);
    return this.#link.download(pathBytes(remote), parentOf(target), baseName(target), options);
  }

  /** The facts of a file; of a symbolic link's target, unless `follow` is false. */
  async stat(path: Path, { follow = true } = {}): Promise<FileFacts> {
    return factsOf(await this.#link.request({ op: "stat", path: pathBytes(path), follow }));
  }

  /** A directory's entries, sorted by name. */
  async list(path: Path): Promise<ListedFile[]> {
    const entries: ListedFile[] = [];
    for await (const { name: nameBytes, facts } of this.#link.list(pathBytes(path), MAX_LISTED)) {
      entries.push({ ...factsOf(facts), name: new TextDecoder().decode(nameBytes), nameBytes });
    }
    return entries;
  }

  /** Makes a directory; with `parents` also those above, and it may exist already. */
  async mkdir(path: Path, { parents = false, mode }: { parents?: boolean; mode?: number } = {}) {
    await this.#link.request({ op: "mkdir", path: pathBytes(path), parents, mode });
  }

  /** Removes a file or, with `recursive`, a tree. With `force` it need not exist. */
  async remove(path: Path, { recursive = false, force = false } = {}): Promise<void> {
    await this.#link.request({
      op: "remove",
      path: pathBytes(path),
      recursive,
      force,
      report: false,
    });
  }

  /**
   * Watches a file or directory; resolves when the watch is armed, so that everything that changes from
   * then on is reported.
   *
   * @throws {VsockboxError} UNAVAILABLE for an agent that cannot watch; IO with ENOENT, or with ENOSPC if
   * the guest's kernel allows no more watches.
   */
  async watch(path: Path, options: FileWatchOptions = {}): Promise<FileWatch> {
    return new FileWatch(await this.#link.watch(pathBytes(path), options));
  }

  /** Renames a file; with `replace: false` not over another one. */
  async rename(from: Path, to: Path, { replace = true } = {}): Promise<void> {
    const request = { path: pathBytes(from), to: pathBytes(to), replace };
    await this.#link.request({ op: "rename", ...request });
  }
}

function factsOf(object: JsonObject): FileFacts {
  const number = (name: string) => numberField(object, name, Number.NaN);
  return {
    type: textField(object, "type", "unknown") as FileKind,
    size: number("size"),
    mode: number("mode"),
    uid: number("uid"),
    gid: number("gid"),
    mtimeMs: number("mtimeMs"),
  };
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** A single file that could not be written is an error, not a line of a summary. */
function throwFirst({ errors }: TransferSummary): void {
  const [first] = errors;
  if (first === undefined) return;
  throw new VsockboxError({ operation: "write", ...first, text: first.message });
}
