/** A shared directory from its first mount in the guest to its last. */
import { resolveHome } from "../../agent/client/home-path.ts";
import { mountInGuest } from "../../agent/client/mounted-directory.ts";
import { toVsockboxError, type VsockboxError } from "../../errors.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import { openSocketPair } from "../../ffi/socket-pair.ts";
import { showPath } from "../../files/bytes-path.ts";
import { adoptDescriptor } from "../../io/adopt-descriptor.ts";
import { abortError, type Backoff, backoffDelay, delay, onAbort } from "../../io/deadline.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { ExportedDirectory } from "../../vfs/server/exported-directory.ts";
import { FileServer } from "../../vfs/server/file-server.ts";
import { HiddenNames } from "../../vfs/server/hidden-names.ts";
import { OwnerMap } from "../../vfs/server/owner-map.ts";
import { AgentClients } from "../shared/operands.ts";
import { readAddress } from "../shared/address-kind.ts";
import { agentTarget, remoteOperand } from "../shared/target.ts";
import type { ShareValues } from "./share.ts";

/** Pauses between attempts to mount again. */
const BACKOFF: Backoff = { firstMs: 200, factor: 1.5, maxMs: 5000 };

/** A directory that is shared. */
interface Sharing {
  args: ShareValues;
  server: FileServer;
  /** Fires when a signal ends it. */
  ending: AbortSignal;
}

/** Shares until a signal, the end of the mount or that of the connection; returns the exit status. */
export async function runShare(args: ShareValues): Promise<number> {
  const ending = new AbortController();
  let signalStatus = 0;
  using _signals = onEndingSignal((signal) => {
    signalStatus = statusOfSignal(signal);
    ending.abort();
  });
  // The address and its options are checked before the directory is opened.
  agentTarget(args, readAddress(placeOf(args).target));
  const server = serverOf(args);
  let mounts = 0;
  try {
    await mountAgain({ args, server, ending: ending.signal }, () => mounts++);
    return 0;
  } catch (thrown) {
    if (!ending.signal.aborted) throw thrown;
    return mounts === 0 ? signalStatus : 0;
  } finally {
    await server.close();
  }
}

function placeOf({ place }: ShareValues) {
  return remoteOperand("share", new TextEncoder().encode(place));
}

function serverOf(args: ShareValues): FileServer {
  const files = ExportedDirectory.open(args.directory, {
    isReadOnly: args.readOnly,
    hasXattr: false,
    hidden: new HiddenNames(args.hide),
    owners: new OwnerMap({ users: [], groups: [], squash: undefined }),
  });
  return new FileServer({ exports: new Map([["share", files]]) });
}

/**
 * Mounts, and with `--reconnect` again after each loss of the connection. Resolves when the directory was
 * unmounted in the guest.
 *
 * @throws {VsockboxError} why it was not mounted the first time, or without `--reconnect` why it has ended.
 */
async function mountAgain(sharing: Sharing, onMounted: () => void): Promise<void> {
  const { args, ending } = sharing;
  let isMounted = false;
  for (let attempt = 0; ; attempt++) {
    try {
      const reason = await mountOnce(sharing, () => {
        isMounted = true;
        attempt = 0;
        onMounted();
      });
      if (reason === undefined) return;
      if (!args.reconnect) throw reason;
      say(`vsockbox: ${reason.message}; mounting again`);
    } catch (thrown) {
      const isDefect = toVsockboxError(thrown).code === "SOFTWARE";
      if (ending.aborted || !isMounted || !args.reconnect || isDefect) throw thrown;
    }
    await delay(backoffDelay(BACKOFF, attempt), ending);
  }
}

/**
 * Mounts through a connection of its own until the mount ends.
 *
 * @returns why it has ended; undefined if it was unmounted in the guest.
 * @throws {VsockboxError} why it was not mounted, or ABORTED for a signal.
 */
async function mountOnce(
  { args, server, ending }: Sharing,
  onMounted: () => void,
): Promise<VsockboxError | undefined> {
  const { target, path: written } = placeOf(args);
  await using clients = new AgentClients(args, ending);
  const client = await clients.get(target);
  const path = await resolveHome(client, written);
  const request = { path, readOnly: args.readOnly, cache: args.cache };
  const [served, joined] = await streamPair();
  server.accept(served, target);
  using _end = onAbort(ending, () => joined.abort());
  const { ended } = await unlessEnding(ending, mountInGuest(client, request, joined));
  onMounted();
  report(args, `${target}:${showPath(path)}`);
  return await unlessEnding(ending, ended);
}

/** @throws {VsockboxError} ABORTED as soon as the signal fires. */
async function unlessEnding<T>(ending: AbortSignal, promise: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  using _abort = onAbort(ending, () => aborted.reject(abortError(ending, "wait")));
  promise.catch(() => undefined);
  return await Promise.race([promise, aborted.promise]);
}

function report({ json, directory, readOnly }: ShareValues, shown: string): void {
  if (json) printJson({ mounted: shown, directory, read_only: readOnly });
  else print(`mounted ${directory} on ${shown}${readOnly ? ", read-only" : ""}`);
}

/** Two connected streams: the server at one end, the channel at the other. */
async function streamPair() {
  const [first, second] = openSocketPair();
  try {
    return [await adoptDescriptor(first), await adoptDescriptor(second)] as const;
  } catch (thrown) {
    closeDescriptor(second);
    throw thrown;
  }
}
