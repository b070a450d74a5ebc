/** `vsockbox mount` from the connection to the end of the mount. */
import { realpathSync, statSync } from "node:fs";
import { commandLineError, reasonOf, toVsockboxError, VsockboxError } from "../../errors.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { VFS_PORT } from "../../agent/ports.ts";
import { MOUNT_DESCRIPTOR_VARIABLE } from "../../agent/server/mount-request.ts";
import { directoryError, NOT_A_DIRECTORY } from "../../files/local-directory.ts";
import { adoptDescriptor } from "../../io/adopt-descriptor.ts";
import type { SocketStream } from "../../io/stream.ts";
import { formatAddress } from "../../net/address.ts";
import type { DialOptions } from "../../net/dial.ts";
import { dial } from "../../net/dial.ts";
import { dialWithRetry } from "../../net/dial-with-retry.ts";
import { explainSilentClose } from "../../net/silent-close.ts";
import { WrongServiceError } from "../../net/wrong-service.ts";
import { reportReady } from "../../process/service/daemon.ts";
import { type Log, openLog } from "../../process/service/log.ts";
import { notifyReady, notifyStopping, takeNotifySocket } from "../../process/service/notify.ts";
import { mountPointPath, refuseSecondMount } from "../../process/fuse-mounts.ts";
import { runningCommand } from "../../process/self.ts";
import { onEndingSignal, SERVICE_ENDING_SIGNALS, statusOfSignal } from "../../process/signals.ts";
import type { VfsNote } from "../../protocols/vfs/responses.ts";
import { countOf } from "../../text/count.ts";
import { shellWord } from "../../text/shell-word.ts";
import { print, printJson } from "../../ui/report.ts";
import { ClosedExportError, openExport, type OpenedExport } from "../../vfs/client/open-export.ts";
import { MountedExport, type MountSettings } from "../../vfs/mount/mount-export.ts";
import { dialOptions } from "../shared/connect-options.ts";
import { pidFileOf } from "../shared/service.ts";
import type { MountValues } from "./mount-arguments.ts";
import { wrongServiceHint } from "./mount-hints.ts";
import type { FstabOptions } from "./mount-options.ts";
import { exportNameHint, type MountSource, readMountSource } from "./mount-source.ts";

/** How long a mount that is in use may stay after a signal, in milliseconds. */
const DETACHED_MS = 1000;
/** The source that is shown for the host's first export. */
const DEFAULT_SOURCE = "vsockbox";

/** What the words of the command line stand for. */
interface Plan {
  source: MountSource;
  shownSource: string;
  target: string;
  fstab: FstabOptions;
  dialOptions: DialOptions;
}

/** Mounts, and serves until the file system is unmounted or a signal comes; returns the exit status. */
export async function runMount(args: MountValues): Promise<number> {
  takeNotifySocket();
  const log = openLog({ tag: "mount", path: args.logFile });
  const plan = planOf(args);
  const ended = Promise.withResolvers<"signal" | VsockboxError>();
  let statusBefore = 0;
  using _signals = onEndingSignal((signal) => {
    statusBefore = statusOfSignal(signal);
    ended.resolve("signal");
  }, SERVICE_ENDING_SIGNALS);
  const settings = settingsOf(args, plan, log, (reason) => ended.resolve(reason));
  const starting = MountedExport.start(settings);
  // It mounts and resolves within one turn of the event loop: before that there is nothing to unmount.
  const mounted = await Promise.race([starting, ended.promise]);
  if (mounted === "signal") {
    void starting.catch(() => undefined);
    return statusBefore;
  }
  if (mounted instanceof VsockboxError) throw mounted;
  using _pidFile = await pidFileOf(args, () => endMount(plan.target, mounted, log));
  await Promise.race([mounted.started, mounted.ended]);
  report(args, plan, mounted);
  const problem = notifyReady(`mounted on ${plan.target}`);
  if (problem !== undefined) log.warn(problem.message);
  reportReady();
  const end = await Promise.race([ended.promise, mounted.ended.then(() => "unmounted" as const)]);
  notifyStopping();
  if (end === "unmounted") return 0;
  await endMount(plan.target, mounted, log);
  if (end === "signal") return 0;
  throw end;
}

function planOf(args: MountValues): Plan {
  const [first = "", second, third] = args.places;
  if (third !== undefined) {
    throw commandLineError("mount", "it has more than a source and a directory", USAGE_HINT);
  }
  const directory = second ?? first;
  const written = second === undefined ? undefined : first;
  const source = readMountSource(written);
  const fstab = args.options ?? {};
  const name = args.export ?? fstab.exportName;
  if (name !== undefined && source.name !== "" && name !== source.name) {
    throw commandLineError("mount", "the source and --export name two exports", USAGE_HINT);
  }
  return {
    source: { ...source, name: name ?? source.name },
    shownSource: written ?? DEFAULT_SOURCE,
    target: targetOf(directory),
    fstab,
    dialOptions: dialOptions(args, undefined),
  };
}

const USAGE_HINT = "write vsockbox mount [SOURCE] DIR";

/** @throws {VsockboxError} IO if it is not a directory, CANNOT_CREATE if it is a FUSE mount already. */
function targetOf(directory: string): string {
  try {
    // Before the file system is asked: its process may be stopped.
    refuseSecondMount(mountPointPath(directory));
    const target = realpathSync(directory);
    refuseSecondMount(target);
    if (statSync(target).isDirectory()) return target;
  } catch (thrown) {
    if (thrown instanceof VsockboxError) throw thrown;
    const reason = reasonOf(thrown);
    throw directoryError(directory, reason, { hint: targetHint(reason.errno, directory) });
  }
  throw directoryError(directory, NOT_A_DIRECTORY);
}

/** What helps if the directory cannot be used. */
function targetHint(errno: string | undefined, directory: string): string | undefined {
  if (errno === "ENOENT") return `make it first: mkdir -p ${shellWord(directory)}`;
  if (errno !== "ENOTCONN") return undefined;
  return "a mount above it has lost its process; `vsockbox umount` ends that mount";
}

function settingsOf(
  args: MountValues,
  plan: Plan,
  log: Log,
  onEnd: (reason: VsockboxError) => void,
): MountSettings {
  const { fstab, target, shownSource } = plan;
  const reconnects = fstab.reconnects ?? args.reconnect;
  let isFirst = true;
  return {
    ...{ target, source: shownSource, type: args.type, reconnects },
    cache: fstab.cache ?? args.cache,
    isReadOnly: fstab.isReadOnly ?? args.readOnly,
    isShared: fstab.isShared ?? !args.owner,
    checksPermissions: fstab.checksPermissions ?? !args.noPermissions,
    hasXattrs: fstab.hasXattrs ?? args.xattr,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    open: (onNote) => {
      const waitMs = isFirst ? args.wait : 0;
      isFirst = false;
      return open({ args, plan, reconnects, waitMs, onNote });
    },
    onLost: (reason) => {
      if (!reconnects) onEnd(reason);
      else log.warn(`${reason.message}; files fail until it is back`);
    },
    onReconnected: ({ files, lost }) => {
      const others = lost === 0 ? "" : `; ${countOf(lost, "open file")} cannot be used any longer`;
      log.info(`connected again, with ${countOf(files, "open file")}${others}`);
    },
    onDefect: (thrown) => log.warn(`internal error: ${toVsockboxError(thrown).message}`),
  };
}

/** The descriptor of a connection that the agent has made for this mount; undefined: there is none. */
function givenDescriptor(): number | undefined {
  const text = process.env[MOUNT_DESCRIPTOR_VARIABLE];
  return text === undefined ? undefined : Number(text);
}

/** What {@link open} needs. */
interface Opening {
  args: MountValues;
  plan: Plan;
  reconnects: boolean;
  /** How long to try to connect, in milliseconds. */
  waitMs: number;
  onNote: (note: VfsNote) => void;
}

async function open({ args, plan, reconnects, waitMs, onNote }: Opening): Promise<OpenedExport> {
  const { target } = plan;
  const { address, name } = plan.source;
  const given = givenDescriptor();
  const stream = given === undefined ? await connect(plan, waitMs) : await adoptDescriptor(given);
  try {
    return await openExport({
      ...{ stream, name, timeoutMs: args.connectTimeout, goRoot: args.goRoot ?? target },
      address: given === undefined ? address : undefined,
      lostErrno: reconnects ? ERRNO.EIO : ERRNO.ENOTCONN,
      wantsNotes: (plan.fstab.cache ?? args.cache) !== "always",
      onNote,
    });
  } catch (thrown) {
    const error = thrown instanceof ClosedExportError ? await explainClosed(thrown, plan) : thrown;
    throw error instanceof WrongServiceError ? error.withHint(wrongServiceHint(error)) : error;
  }
}

/** The socket of a VMM closes each connection that does not begin as its protocol does. */
async function explainClosed(closed: ClosedExportError, plan: Plan): Promise<VsockboxError> {
  const { address } = plan.source;
  if (address.kind !== "unix") return closed;
  const expected = { service: "export", port: VFS_PORT, mayHaveServed: false } as const;
  const explained = await explainSilentClose(address, expected, plan.dialOptions);
  return explained instanceof WrongServiceError ? explained : closed;
}

/** @throws {VsockboxError} as `dial`; the hint explains a source that may contain the name of an export. */
async function connect(plan: Plan, waitMs: number): Promise<SocketStream> {
  const { source, dialOptions: dialing } = plan;
  try {
    if (waitMs === 0) return await dial(source.address, dialing);
    const retry = { ...dialing, timeoutMs: waitMs, giveUp: (last: VsockboxError) => last };
    return (await dialWithRetry(source.address, retry)).stream;
  } catch (thrown) {
    const error = toVsockboxError(thrown, "connect");
    const isMissing = error.errno === "ENOENT" || error.errno === "ENOTDIR";
    const hint = isMissing ? exportNameHint(plan.shownSource) : undefined;
    throw hint === undefined ? error : error.withHint(hint);
  }
}

function report(args: MountValues, { source, target }: Plan, mounted: MountedExport): void {
  const { opened, isReadOnly } = mounted;
  const address = formatAddress(source.address);
  const exported = opened.name ?? source.name;
  if (args.json) {
    printJson({
      ...{ mounted: target, address, export: exported || null },
      ...{ read_only: isReadOnly, dialect: opened.dialect },
    });
    return;
  }
  const name = exported === "" ? "" : `${exported} of `;
  print(`mounted ${name}${address} on ${target}${isReadOnly ? ", read-only" : ""}`);
}

/**
 * Unmounts in a process of its own: while the kernel writes back what it holds, this one must serve it.
 * What is in use is detached, and ends with this process.
 */
async function endMount(target: string, mounted: MountedExport, log: Log): Promise<void> {
  const [program, ...rest] = runningCommand();
  const child = Bun.spawn([program, ...rest, "umount", "--lazy", target], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  const timeout = AbortSignal.timeout(DETACHED_MS);
  const late = new Promise<void>((resolve) => timeout.addEventListener("abort", () => resolve()));
  if ((await child.exited) !== 0) log.warn(`${target} is still mounted`);
  await Promise.race([mounted.ended, late]);
}
