/** A root directory with the files of a system, made of their paths and texts. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { SystemFiles } from "../../src/diagnose/facts/system-files.ts";
import { ScratchDirectory } from "./scratch-directory.ts";

/** The files of a {@link ScratchDirectory}. */
export class FakeRoot implements Disposable {
  readonly #scratch = new ScratchDirectory();
  readonly files = new SystemFiles(this.#scratch.path);

  /** @param content texts or bytes by absolute path; a text that begins with `->` is a symbolic link. */
  constructor(content: Readonly<Record<string, string | Uint8Array>>) {
    for (const [path, data] of Object.entries(content)) {
      const full = this.path(path);
      mkdirSync(dirname(full), { recursive: true });
      if (typeof data === "string" && data.startsWith("->")) symlinkSync(data.slice(2), full);
      else writeFileSync(full, data);
    }
  }

  /** The real path of a file of the root. */
  path(path: string): string {
    return this.#scratch.file(path.slice(1));
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}
