/** Failures of single files, which do not end a transfer or removal: a bounded list and a count. */
import type { ErrorCode, VsockboxError } from "../../errors.ts";
import { field, type JsonObject } from "../../protocols/agent/json-fields.ts";
import { printable } from "../../text/printable.ts";

/** Limit of listed failures; further ones are only counted. */
export const MAX_LISTED_FAILURES = 100;

/** Limit of the characters of one text: a path may have 4096, and all must fit into one frame. */
const TEXT_LENGTH = { maxCharacters: 1000 };

/** Failure of one file. */
export interface FileFailure {
  /** IO for a failure that the peer has reported: the protocol carries only its text. */
  code: ErrorCode;
  /** The errno's name; undefined if it is unknown. */
  errno: string | undefined;
  /** Operation, path and reason, printable and bounded. */
  message: string;
  hint: string | undefined;
}

/** Collects failures of single files. */
export class FileFailures {
  /** The first {@link MAX_LISTED_FAILURES} of them. */
  readonly errors: FileFailure[] = [];
  /** Number of all failures, including those that are not listed. */
  errorCount = 0;

  /** Notes an error that ends one file. */
  note({ code, errno, message, hint }: VsockboxError): void {
    this.errorCount++;
    this.#list({ code, errno, message, hint });
  }

  /** Notes a failure that the peer has reported in the middle of a transfer. */
  noteReported(text: string): void {
    this.errorCount++;
    this.#list(reportedFailure(text));
  }

  /**
   * Adds the failures of a result of the peer.
   *
   * @param isNew false for a text that this side has noted already, which is not counted again.
   */
  addReported(result: JsonObject, isNew: (text: string) => boolean = () => true): void {
    const count = field(result, "errorCount");
    const errors = field(result, "errors");
    if (typeof count !== "number" || !Array.isArray(errors)) return;
    const texts = errors.filter((error) => typeof error === "string").map(bounded);
    const added = texts.filter(isNew);
    for (const text of added) this.#list(reportedFailure(text));
    if (Number.isSafeInteger(count) && count > 0) {
      this.errorCount += Math.max(0, count - (texts.length - added.length));
    }
  }

  /** Adds the failures of another collection. */
  addFailures({ errors, errorCount }: FileFailures): void {
    for (const error of errors) this.#list(error);
    this.errorCount += errorCount;
  }

  /** Returns the texts and the count, as a result on the wire has them. */
  toWire(): { errorCount: number; errors: string[] } {
    return { errorCount: this.errorCount, errors: this.errors.map(({ message }) => message) };
  }

  #list(failure: FileFailure): void {
    if (this.errors.length >= MAX_LISTED_FAILURES) return;
    this.errors.push({ ...failure, message: bounded(failure.message) });
  }
}

function reportedFailure(message: string): FileFailure {
  return { code: "IO", errno: undefined, message, hint: undefined };
}

function bounded(text: string): string {
  return printable(text, TEXT_LENGTH);
}
