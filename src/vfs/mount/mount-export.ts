/**
 * A mounted export: the connection to the host, the file system in the kernel, and what happens when the
 * one or the other ends.
 *
 *   connected -> lost        requests fail at once
 *   lost -> connected        with reconnecting: files are opened again, the mount goes on
 *   any -> ended             unmounted: the connection is closed
 */
import { type VsockboxError, toVsockboxError } from "../../errors.ts";
import { FuseDescriptor, mountFuse } from "../../ffi/fuse.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import { type Backoff, backoffDelay, delay } from "../../io/deadline.ts";
import { ReadyDescriptor } from "../../io/ready-descriptor.ts";
import { refuseSecondMount } from "../../process/fuse-mounts.ts";
import type { VfsNote } from "../../protocols/vfs/responses.ts";
import type { OpenedExport } from "../client/open-export.ts";
import { type CacheMode, type CachePolicy, cachePolicy } from "./cache-policy.ts";
import { DirectorySnapshots } from "./directory-snapshots.ts";
import { FuseSession } from "./fuse-session.ts";
import { Invalidation } from "./invalidation.ts";
import { StaleRetries } from "./stale-retries.ts";
import { WakeWatches } from "./wake-watches.ts";
import { HandleTable } from "./handle-table.ts";
import type { MountState } from "./mount-state.ts";
import { NodeTable } from "./node-table.ts";
import { type Reopened, switchConnection } from "./reopen.ts";

/** Settings of a {@link MountedExport}. */
export interface MountSettings {
  /** Connects to the host and opens the export; called again after a loss. */
  open(onNote: (note: VfsNote) => void): Promise<OpenedExport>;
  /** Absolute path of the directory to mount on. */
  target: string;
  /** The first column of /proc/mounts, and the type there. */
  source: string;
  type: string;
  cache: CacheMode;
  isReadOnly: boolean;
  isShared: boolean;
  checksPermissions: boolean;
  hasXattrs: boolean;
  /** Whether a lost connection is made anew. */
  reconnects: boolean;
  uid: number;
  gid: number;
  /** Called when the connection is lost. */
  onLost(reason: VsockboxError): void;
  /** Called when there is a connection again. */
  onReconnected(reopened: Reopened): void;
  /** Called with a defect of this program; the operation has failed with EIO. */
  onDefect(thrown: unknown): void;
}

/** How long a list of a directory is used at most, in milliseconds. */
const MAX_SNAPSHOT_MS = 1000;

/** Pauses between attempts to connect again. */
const BACKOFF: Backoff = { firstMs: 50, factor: 1.5, maxMs: 2000 };

/** A list of a Go server has no facts. */
function snapshotMs({ attributesMs, entryMs }: CachePolicy): number {
  return Math.min(attributesMs, entryMs, MAX_SNAPSHOT_MS);
}

/** A mount of an export. */
export class MountedExport {
  /** What the host has answered to the first Hello. */
  readonly opened: OpenedExport;
  /** Resolves when the file system is unmounted. */
  readonly ended: Promise<void>;
  /** Resolves when the kernel has begun to send requests. */
  readonly started: Promise<void>;
  readonly isReadOnly: boolean;
  readonly #settings: MountSettings;
  readonly #state: MountState;
  readonly #stopping = new AbortController();
  readonly #invalidation: Invalidation;
  #current: OpenedExport;

  private constructor(settings: MountSettings, opened: OpenedExport, fd: number) {
    this.#settings = settings;
    this.opened = opened;
    this.#current = opened;
    this.isReadOnly = settings.isReadOnly || opened.isReadOnly;
    const nodes = new NodeTable(opened.root);
    const policy = cachePolicy(settings.cache);
    const snapshots = new DirectorySnapshots({
      validMs: opened.dialect === "go" ? 0 : snapshotMs(policy),
      files: () => this.#state.files,
      path: (directory) => nodes.path(directory),
    });
    this.#state = {
      ...{ files: opened.files, nodes, handles: new HandleTable(), policy, snapshots },
      retries: new StaleRetries(),
      ...{ hasXattrs: settings.hasXattrs, isReadOnly: this.isReadOnly },
    };
    const descriptor = new FuseDescriptor(fd);
    const ready = new ReadyDescriptor(fd);
    const watches = new WakeWatches(settings.target);
    const session = new FuseSession({
      state: this.#state,
      isWaking: (pid) => watches.isOwn(pid),
      device: {
        read: (buffer) => descriptor.read(buffer),
        write: (head, length, data) => descriptor.write(head, length, data),
        whenReadable: (wake) => void ready.readable().then(wake),
      },
      onDefect: (thrown) => settings.onDefect(thrown),
    });
    this.#invalidation = new Invalidation(this.#state.nodes, {
      notify: (bytes) => session.notify(bytes),
      onNode: (node) => snapshots.changed(node),
      onChange: (path) => watches.wake(path),
    });
    this.started = session.started;
    this.ended = session.run().then(() => {
      ready.close();
      this.#end(fd);
    });
    void this.#watch();
  }

  /**
   * Connects to the host and mounts.
   *
   * @throws {VsockboxError} of the connection, of /dev/fuse or of mount(2); CANNOT_CREATE if the directory
   * has become a mount meanwhile.
   */
  static async start(settings: MountSettings): Promise<MountedExport> {
    const notes: VfsNote[] = [];
    let note = (one: VfsNote): void => {
      notes.push(one);
    };
    const opened = await settings.open((one) => note(one));
    try {
      refuseSecondMount(settings.target);
      const fd = mountFuse({
        ...settings,
        isReadOnly: settings.isReadOnly || opened.isReadOnly,
        maxReadBytes: opened.files.maxReadBytes,
      });
      const mounted = new MountedExport(settings, opened, fd);
      note = (one) => mounted.#note(one);
      for (const one of notes) note(one);
      return mounted;
    } catch (thrown) {
      opened.close();
      throw thrown;
    }
  }

  #note(note: VfsNote): void {
    this.#invalidation.note(note);
  }

  #end(fd: number): void {
    this.#stopping.abort();
    this.#current.close();
    closeDescriptor(fd);
  }

  async #watch(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const reason = await this.#current.lost;
      if (this.#stopping.signal.aborted) return;
      this.#settings.onLost(reason);
      if (!this.#settings.reconnects || !(await this.#reconnect())) return;
    }
  }

  /** Returns false if the mount has ended before. */
  async #reconnect(): Promise<boolean> {
    const { signal } = this.#stopping;
    for (let attempt = 0; ; attempt++) {
      try {
        await delay(backoffDelay(BACKOFF, attempt), signal);
        const opened = await this.#settings.open((note) => this.#note(note));
        this.#current = opened;
        if (signal.aborted) opened.close();
        else this.#settings.onReconnected(await switchConnection(this.#state, opened.files));
        return !signal.aborted;
      } catch (thrown) {
        if (signal.aborted) return false;
        const { code } = toVsockboxError(thrown);
        // Whatever the host answers may be otherwise after its restart; a defect is not.
        if (code === "SOFTWARE") this.#settings.onDefect(thrown);
      }
    }
  }
}
