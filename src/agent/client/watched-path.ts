/** Watches files of a guest. */
import { VsockboxError } from "../../errors.ts";
import { type BytesPath, bytesPath, joinPath, showPath } from "../../files/bytes-path.ts";
import { type Hello, WATCH_FEATURE } from "../../protocols/agent/hello.ts";
import { badField } from "../../protocols/agent/json-fields.ts";
import {
  decodeArmed,
  decodeChange,
  type WatchRecord,
} from "../../protocols/agent/watch-records.ts";
import type { Channel } from "../channel/channel.ts";
import { type ChannelOpener, readerStopped } from "./channel-opener.ts";

/** What is watched at a path, and how. */
export interface FileWatchOptions {
  /** Watches the directories below it as well. */
  recursive?: boolean | undefined;
  /** Patterns of names that are not watched or reported. */
  exclude?: readonly string[] | undefined;
}

/** A change in the guest, with whole paths; or changes are lost. */
export type RemoteChange = WatchRecord;

/** A path of a guest that is being watched. Disposing it ends the watch. */
export class WatchedPath implements Disposable {
  readonly #channel: Channel;
  readonly #path: BytesPath;
  #isClosed = false;
  /** Number of watched directories, at the beginning. */
  readonly directories: number;
  /** Number of directories that the agent may not read. */
  readonly unreadable: number;

  private constructor(channel: Channel, path: Uint8Array, armed: ReturnType<typeof decodeArmed>) {
    this.#channel = channel;
    this.#path = bytesPath(path);
    this.directories = armed.directories;
    this.unreadable = armed.unreadable;
  }

  /**
   * Watches a path of the guest; resolves when the watch is armed.
   *
   * @throws {VsockboxError} UNAVAILABLE for an agent that cannot watch; the agent's error.
   */
  static async open(
    client: ChannelOpener & { readonly hello: Hello },
    path: Uint8Array,
    { recursive = false, exclude = [] }: FileWatchOptions = {},
  ): Promise<WatchedPath> {
    if (!client.hello.features.includes(WATCH_FEATURE)) {
      throw new VsockboxError({
        code: "UNAVAILABLE",
        operation: "watch",
        address: showPath(path),
        message: "this agent cannot watch files",
        errno: "EOPNOTSUPP",
        hint: "run a newer `vsockbox agent` in the guest",
      });
    }
    const channel = client.open({ op: "watch", path, recursive, exclude });
    channel.end();
    try {
      const first = await channel.next();
      if (first === undefined) await channel.result;
      if (first?.kind !== "record") throw badField("change", "the first record is missing");
      return new WatchedPath(channel, path, decodeArmed(first.value));
    } catch (thrown) {
      channel.cancel(readerStopped());
      throw thrown;
    }
  }

  /**
   * Returns the changes as they happen, until what has the path is removed or the watch is closed. To be
   * called once.
   *
   * @throws {VsockboxError} the agent's error; TRANSPORT; BAD_DATA.
   */
  async *events(): AsyncGenerator<RemoteChange, void, undefined> {
    try {
      for (;;) {
        const item = await this.#channel.next();
        if (item === undefined) break;
        const change = item.kind === "record" ? decodeChange(item.value) : undefined;
        if (change !== undefined) yield this.#whole(change);
      }
      await this.#channel.result;
    } catch (thrown) {
      if (!this.#isClosed) throw thrown;
    } finally {
      this.close();
    }
  }

  /** Ends the watch, and {@link events} with it. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#channel.cancel(readerStopped());
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #whole(change: WatchRecord): RemoteChange {
    if (change.kind === "overflow") return change;
    const whole = (path: Uint8Array) =>
      path.length === 0 ? this.#path : joinPath(this.#path, path);
    return { ...change, path: whole(change.path), from: change.from && whole(change.from) };
  }
}
