/** Serves requests to watch files. */
import { bytesPath } from "../../files/bytes-path.ts";
import type { WatchOperation } from "../../protocols/agent/channel-requests.ts";
import { encodeArmed, encodeChange } from "../../protocols/agent/watch-records.ts";
import { excludedNames } from "../../vfs/watch/excluded-names.ts";
import { PathWatch } from "../../vfs/watch/path-watch.ts";
import type { Channel } from "../channel/channel.ts";

/**
 * Arms the watch of a request. The caller disposes it.
 *
 * @throws {VsockboxError} as `PathWatch.open`.
 */
export function openRequestedWatch({
  path,
  recursive,
  exclude,
}: WatchOperation): Promise<PathWatch> {
  const options = { isRecursive: recursive, isHidden: excludedNames(exclude) };
  return PathWatch.open(bytesPath(path), options);
}

/**
 * Sends that the watch is armed, then its changes, as fast as the client reads them.
 *
 * @throws {VsockboxError} as `PathWatch.events`; what ended the channel.
 */
export async function sendChanges(channel: Channel, watch: PathWatch): Promise<void> {
  const { directories, unreadable } = watch;
  await channel.sendRecord(encodeArmed({ directories, unreadable }));
  for await (const event of watch.events()) await channel.sendRecord(encodeChange(event));
}
