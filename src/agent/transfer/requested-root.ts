/**
 * Checks the entries at depth 0 of a transfer: one file or directory, under the requested name. The
 * sender is not trusted, and its entries at depth 0 are created beside other files of the receiver.
 */
import { showPath } from "../../files/bytes-path.ts";
import { badField } from "../../protocols/agent/json-fields.ts";
import type { TreeRecord } from "../../protocols/agent/tree-records.ts";
import { withArticle } from "../../text/article.ts";

/** The request that a transfer answers. */
export interface RequestedEntry {
  name: Uint8Array;
  /** False: only a file was requested. */
  recursive: boolean;
}

/** Follows the records of one transfer, and checks those at depth 0 against the request. */
export class RequestedRoot {
  readonly #requested: RequestedEntry;
  #depth = 0;
  #isInFile = false;
  #entries = 0;

  constructor(requested: RequestedEntry) {
    this.#requested = requested;
  }

  /**
   * Checks the next record.
   *
   * @throws {VsockboxError} BAD_DATA: another name, an unrequested kind, a second entry, or a
   * record out of order.
   */
  check(record: TreeRecord): void {
    const belongsToFile = record.kind === "from" || record.kind === "hole" || record.kind === "end";
    if (belongsToFile !== this.#isInFile)
      throw fail(`${withArticle(record.kind)} record is not allowed here`);
    switch (record.kind) {
      case "leave":
        if (this.#depth-- === 0) throw fail("more directories are left than were entered");
        return;
      case "end":
        this.#isInFile = false;
        return;
      case "from":
      case "hole":
        return;
      default:
        if (this.#depth === 0) this.checkTop(record);
        if (record.kind === "directory") this.#depth++;
        this.#isInFile = record.kind === "file";
    }
  }

  /** Called for a file that the receiver already has: its bytes and its end do not follow. */
  skipFile(): void {
    this.#isInFile = false;
  }

  /** Whether bytes of a file may come now. */
  get acceptsData(): boolean {
    return this.#isInFile;
  }

  /**
   * Checks an entry at depth 0, for a receiver that follows the depth itself.
   *
   * @throws {VsockboxError} BAD_DATA.
   */
  checkTop(record: TreeRecord & { name: Uint8Array }): void {
    const { name, recursive } = this.#requested;
    if (Buffer.compare(name, record.name) !== 0) {
      throw fail(`${showPath(record.name)} was not asked for`);
    }
    // The sender follows a symbolic link at depth 0.
    const isRequested =
      record.kind === "file" ||
      record.kind === "skipped" ||
      (record.kind === "directory" && recursive);
    if (!isRequested) throw fail(`unexpected ${record.kind} record`);
    if (++this.#entries > 1) throw fail("one entry was asked for, and more came");
  }
}

function fail(message: string) {
  return badField("transfer", message);
}
