/** Paths for Unix sockets that no other user can reach. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Longest directory below which the path fits into sockaddr_un (108 bytes, unix(7)), in characters. */
const MAX_PARENT_CHARACTERS = 80;

/** Directories that are still in use: removed when the process exits. */
const directories = new Set<string>();

function removeAll(): void {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
}

/** A path in a directory of its own, of mode 0700 from the start. */
export class PrivateSocketPath implements Disposable {
  /** The path of a socket that does not exist yet. */
  readonly path: string;
  readonly #directory: string;

  constructor() {
    const parent = tmpdir();
    const short = Buffer.byteLength(parent) > MAX_PARENT_CHARACTERS ? "/tmp" : parent;
    this.#directory = mkdtempSync(join(short, "vsockbox-"));
    if (directories.size === 0) process.once("exit", removeAll);
    directories.add(this.#directory);
    this.path = join(this.#directory, "http");
  }

  /** Removes the directory and the socket in it. Connections go on. */
  [Symbol.dispose](): void {
    directories.delete(this.#directory);
    if (directories.size === 0) process.off("exit", removeAll);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
