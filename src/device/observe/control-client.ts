/** Finding and asking the control sockets of `hybrid-proxy`. */
import { lstatSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { listeningSockets } from "../../net/unix-sockets.ts";
import {
  type CaptureRequest,
  CONTROL_SUFFIX,
  controlPathOf,
  readFailure,
} from "../../protocols/hybrid/control.ts";
import type { CaptureFacts } from "./capture.ts";
import { askControl } from "./control-request.ts";
import type { VmStatus } from "./status.ts";
import { readCaptureFacts, readStatus } from "./status-reader.ts";

/** Ending a capture may have to wait for a slow disk, in milliseconds. */
const CAPTURE_MS = 60_000;

/**
 * The state of a VM.
 *
 * @throws {VsockboxError} as {@link askControl}, and BAD_DATA for what is not a state.
 */
export async function askStatus(control: string): Promise<VmStatus> {
  const operation = "ask for the status at";
  const answer = await askControl(control, { operation, path: "/status" });
  return read(readStatus, answer, operation, control);
}

function read<T>(
  reader: (answer: unknown) => T,
  answer: unknown,
  operation: string,
  control: string,
): T {
  try {
    return reader(answer);
  } catch (thrown) {
    const { message } = toVsockboxError(thrown);
    const { code, message: other } = readFailure(undefined);
    throw new VsockboxError({ code, operation, address: control, message: `${other}: ${message}` });
  }
}

/**
 * Begins a capture.
 *
 * @throws {VsockboxError} as {@link askControl}, and BAD_DATA for what is not a capture.
 */
export async function askCapture(control: string, request: CaptureRequest): Promise<CaptureFacts> {
  const body = JSON.stringify(request);
  const operation = "capture through";
  const answer = await askControl(control, { operation, path: "/capture", method: "PUT", body });
  return read(readCaptureFacts, answer, operation, control);
}

/**
 * Ends a capture, and returns what it was; null if there was none.
 *
 * @throws {VsockboxError} as {@link askCapture}.
 */
export async function askCaptureEnd(control: string): Promise<CaptureFacts | null> {
  const operation = "end capture through";
  const answer = await askControl(control, {
    operation,
    path: "/capture",
    method: "DELETE",
    timeoutMs: CAPTURE_MS,
  });
  return answer === null ? null : read(readCaptureFacts, answer, operation, control);
}

/**
 * The control socket of the VM that has this path: its own, that of `--socket`, or that of
 * `--uds-path`. The last one says nothing about the others, so those who could know it are asked.
 *
 * @throws {VsockboxError} UNAVAILABLE.
 */
export async function findControl(path: string): Promise<string> {
  const control = controlPathOf(path);
  const [owner, user] = [socketOwner(control), process.geteuid?.()];
  // Root is let in everywhere, and has named it.
  if (owner !== undefined && (user === owner || user === 0)) return control;
  if (path.endsWith(CONTROL_SUFFIX)) return path;
  const wanted = trueName(path);
  for (const candidate of controlSockets()) {
    const uds = await askStatus(candidate).then(
      (status) => status.uds_path,
      () => undefined,
    );
    if (uds !== undefined && trueName(uds) === wanted) return candidate;
  }
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "find the control socket of",
    address: path,
    message: "no hybrid-proxy of yours has a VM with this path",
    hint: "name the VM's --socket, its --uds-path, or the control socket itself",
  });
}

/** The control sockets of all VMs that this user's processes serve. */
export function controlSockets(): string[] {
  const user = process.geteuid?.();
  const found = listeningSockets().filter((path) => {
    if (!path.endsWith(CONTROL_SUFFIX)) return false;
    const owner = socketOwner(path);
    // Beside it is the VMM's, which may be given to somebody else: others may call their sockets so, too.
    const vmms = socketOwner(path.slice(0, -CONTROL_SUFFIX.length));
    if (owner === undefined || vmms === undefined) return false;
    // What root has started with `--user` makes its control socket as that user.
    return owner === user || (user === 0 && vmms === 0);
  });
  return [...new Set(found)].sort();
}

/** The uid of a socket's owner; undefined where there is none. */
function socketOwner(path: string): number | undefined {
  try {
    const status = lstatSync(path);
    return status.isSocket() ? status.uid : undefined;
  } catch {
    return undefined;
  }
}

function trueName(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
