/**
 * Requests of downloads that are to follow, sent ahead of their turn: the guest reads the next files while one
 * is received, and no round trip comes between two of them.
 */
import type { Channel } from "../../agent/channel/channel.ts";
import type { ChannelOpener } from "../../agent/client/channel-opener.ts";
import { openDownload, type TransferOptions } from "../../agent/client/file-transfer.ts";
import { VsockboxError } from "../../errors.ts";
import type { Operand } from "../shared/target.ts";
import { type RemoteOperand, typedName } from "./copy-destination.ts";

/** Requests beside the present one. Each may fill the window of a channel. */
const MAX_AHEAD = 8;

/** A file or tree of the guest, with the name that its copy gets. */
export interface Download {
  path: Uint8Array;
  name: Uint8Array;
}

/** Returns the downloads of several sources; one whose copy has no name of its own is not among them. */
export function downloadsOf(sources: readonly Operand[]): Map<RemoteOperand, Download> {
  const downloads = new Map<RemoteOperand, Download>();
  for (const source of sources) {
    if (source.kind !== "remote") continue;
    try {
      downloads.set(source, { path: source.path, name: typedName(source) });
    } catch {
      // Such as the content of a directory.
    }
  }
  return downloads;
}

/** Opens the channels of downloads that are received in order. */
export class DownloadsAhead {
  readonly #opener: ChannelOpener;
  readonly #options: TransferOptions;
  readonly #waiting: Download[];
  readonly #open: { download: Download; channel: Channel }[] = [];

  /** @param downloads those to come, in order; some may be left out later. */
  constructor(opener: ChannelOpener, downloads: readonly Download[], options: TransferOptions) {
    this.#opener = opener;
    this.#options = options;
    this.#waiting = [...downloads];
  }

  /** Returns the channel of one of the downloads; those before it are left out. */
  next(download: Download): Channel {
    for (;;) {
      this.#fill();
      const ahead = this.#open.shift();
      if (ahead === undefined) return this.#request(download);
      if (ahead.download === download) return ahead.channel;
      ahead.channel.cancel(leftOut());
    }
  }

  #fill(): void {
    while (this.#open.length <= MAX_AHEAD) {
      const following = this.#waiting.shift();
      if (following === undefined) return;
      this.#open.push({ download: following, channel: this.#request(following) });
    }
  }

  #request({ path, name }: Download): Channel {
    return openDownload(this.#opener, path, name, this.#options);
  }
}

function leftOut(): VsockboxError {
  return new VsockboxError({ code: "ABORTED", operation: "copy", message: "it was left out" });
}
