/** Finds the control sockets of `hybrid-proxy`, and sends requests to them. */
import { type Operation } from "../../operations.ts";
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
import { requestControl } from "./control-request.ts";
import type { VmStatus } from "./status.ts";
import { readCaptureFacts, readStatus } from "./status-reader.ts";

/** Timeout of a request that ends a capture, which may wait for a slow disk, in milliseconds. */
const CAPTURE_MS = 60_000;

/**
 * Requests the state of a VM.
 *
 * @throws {VsockboxError} as {@link requestControl}, and BAD_DATA for a malformed state.
 */
export async function requestStatus(control: string): Promise<VmStatus> {
  const operation: Operation = "read the status from";
  const answer = await requestControl(control, { operation, path: "/status" });
  return read(readStatus, answer, operation, control);
}

function read<T>(
  reader: (answer: unknown) => T,
  answer: unknown,
  operation: Operation,
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
 * Starts a capture.
 *
 * @throws {VsockboxError} as {@link requestControl}, and BAD_DATA for a malformed response.
 */
export async function requestCapture(
  control: string,
  request: CaptureRequest,
): Promise<CaptureFacts> {
  const body = JSON.stringify(request);
  const operation: Operation = "capture through";
  const answer = await requestControl(control, {
    operation,
    path: "/capture",
    method: "PUT",
    body,
  });
  return read(readCaptureFacts, answer, operation, control);
}

/**
 * Ends a capture, and returns its final state; null if none was running.
 *
 * @throws {VsockboxError} as {@link requestCapture}.
 */
export async function requestCaptureEnd(control: string): Promise<CaptureFacts | null> {
  const operation: Operation = "end capture through";
  const answer = await requestControl(control, {
    operation,
    path: "/capture",
    method: "DELETE",
    timeoutMs: CAPTURE_MS,
  });
  return answer === null ? null : read(readCaptureFacts, answer, operation, control);
}

/**
 * Returns the control socket of the VM with this path: of the control socket itself, `--socket` or
 * `--uds-path`. The name of the last does not contain the others', so all devices are asked.
 *
 * @throws {VsockboxError} UNAVAILABLE; TIMEOUT if it may be the VM of a device that does not answer.
 */
export async function findControl(path: string): Promise<string> {
  const control = controlPathOf(path);
  const [owner, user] = [socketOwner(control), process.geteuid?.()];
  // Root has access to all, and has named this one.
  if (owner !== undefined && (user === owner || user === 0)) return control;
  if (path.endsWith(CONTROL_SUFFIX)) return path;
  const wanted = trueName(path);
  const asked = await requestStatuses(controlSockets());
  for (const { control: candidate, status } of asked) {
    const uds = status?.uds_path;
    if (uds !== undefined && trueName(uds) === wanted) return candidate;
  }
  const silent = asked.find(({ isSilent }) => isSilent);
  if (silent !== undefined) throw mayBeSilent(path, silent.control);
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "find the control socket of",
    address: path,
    message: "no hybrid-proxy of yours has a VM with this path",
    hint: "name the VM's --socket, its --uds-path, or the control socket itself",
  });
}

/** The answer of one device, or that it does not answer. */
export interface AskedDevice {
  control: string;
  /** Undefined if it is not a device, has ended, or does not answer. */
  status: VmStatus | undefined;
  /** Whether it has accepted the request and does not answer, as a stopped process. */
  isSilent: boolean;
}

/** Requests the states of several devices at once. */
export function requestStatuses(controls: readonly string[]): Promise<AskedDevice[]> {
  return Promise.all(
    controls.map(async (control) => {
      try {
        return { control, status: await requestStatus(control), isSilent: false };
      } catch (thrown) {
        // One that ends at this moment, or belongs to another program, must not hide the others.
        if (!(thrown instanceof VsockboxError)) throw thrown;
        return { control, status: undefined, isSilent: thrown.code === "TIMEOUT" };
      }
    }),
  );
}

function mayBeSilent(path: string, control: string): VsockboxError {
  return new VsockboxError({
    code: "TIMEOUT",
    operation: "find the control socket of",
    address: path,
    message: `no hybrid-proxy that answers has a VM with this path, and ${control} does not answer`,
    hint: `its process may be stopped; \`vsockbox doctor unix:${control}\` examines it`,
  });
}

/** Returns the control sockets of all VMs that this user's processes serve. */
export function controlSockets(): string[] {
  const user = process.geteuid?.();
  const found = listeningSockets().filter((path) => {
    if (!path.endsWith(CONTROL_SUFFIX)) return false;
    const owner = socketOwner(path);
    // The VMM's socket is beside it and may have another owner; other programs may use the suffix too.
    const vmms = socketOwner(path.slice(0, -CONTROL_SUFFIX.length));
    if (owner === undefined || vmms === undefined) return false;
    // A device that root has started with `--user` creates its control socket as that user.
    return owner === user || (user === 0 && vmms === 0);
  });
  return [...new Set(found)].sort();
}

/** Returns the uid of a socket's owner; undefined if there is no socket. */
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
