/** Notifications of one connection that have not been sent: bounded, since a guest may stop reading. */
import { encodeNote } from "../../protocols/vfs/responses.ts";
import type { VfsChange } from "./changes.ts";

/** More of them become one overflow. */
const MAX_NOTES = 4096;

/** Notifications of one write. */
const BATCH = 256;

/** Sends notifications in order. */
export class NoteQueue {
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  #notes: VfsChange[] = [];
  #isSending = false;

  /** @param write sends bytes; a rejection ends the queue. */
  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  /** Adds a notification. If too many wait, they become an overflow. */
  add(change: VfsChange): void {
    if (this.#notes.length >= MAX_NOTES) {
      this.#notes = [{ kind: "overflow", path: new Uint8Array(0) }];
    } else this.#notes.push(change);
    if (!this.#isSending) void this.#send();
  }

  async #send(): Promise<void> {
    this.#isSending = true;
    try {
      while (this.#notes.length > 0) {
        const batch = this.#notes.splice(0, BATCH);
        const frames = batch.map(({ kind, path, newPath }) => encodeNote({ kind, path, newPath }));
        await this.#write(Buffer.concat(frames));
      }
    } catch {
      // The connection has ended, and with it its notifications.
      this.#notes = [];
    } finally {
      this.#isSending = false;
    }
  }
}
