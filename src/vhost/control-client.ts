/** Finding and asking the control sockets of `hybrid-proxy`. */
import { lstatSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { reasonOf, VsockboxError } from "../errors.ts";
import { parseJson } from "../json/bounded-json.ts";
import { listeningSockets } from "../net/unix-sockets.ts";
import {
  type CaptureRequest,
  CONTROL_SUFFIX,
  controlPathOf,
  readFailure,
} from "../protocols/hybrid/control.ts";
import type { CaptureFacts } from "./capture.ts";
import type { VmStatus } from "./status.ts";

/** A process that does not answer within this time is stuck, in milliseconds. */
const ANSWER_MS = 5000;

/** Largest answer that is read, in bytes: a state has some 300 bytes a connection. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** Ending a capture may have to wait for a slow disk, in milliseconds. */
const CAPTURE_MS = 60_000;

interface Request {
  operation: string;
  method?: string;
  body?: string;
  timeoutMs?: number;
}

async function ask(
  control: string,
  path: string,
  { operation, method = "GET", body, timeoutMs = ANSWER_MS }: Request,
): Promise<unknown> {
  let status: number;
  let answer: unknown;
  try {
    const response = await fetch(`http://localhost${path}`, {
      unix: control,
      method,
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body }),
    });
    ({ status } = response);
    answer = await readAnswer(response);
  } catch (thrown) {
    const isLate = thrown instanceof Error && thrown.name === "TimeoutError";
    const { errno, message } = reasonOf(thrown);
    throw new VsockboxError({
      code: isLate ? "TIMEOUT" : "UNAVAILABLE",
      operation,
      address: control,
      message: isLate ? "it does not answer" : message,
      errno,
      hint: "the path has to be that of a hybrid-proxy that runs, and its user has to be yours",
      cause: thrown,
    });
  }
  if (status === 200) return answer;
  throw new VsockboxError({ operation, address: control, ...readFailure(answer) });
}

/** The body as JSON; undefined if it is anything else, which another program may answer. */
async function readAnswer({ body }: Response): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  if (body !== null) {
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      // Leaving the loop cancels the rest.
      if (bytes > MAX_ANSWER_BYTES) return undefined;
      chunks.push(chunk);
    }
  }
  try {
    return parseJson("answer", Buffer.concat(chunks));
  } catch {
    return undefined;
  }
}

/**
 * The state of a VM.
 *
 * @throws {VsockboxError} UNAVAILABLE, TIMEOUT, or BAD_DATA where somebody else answers.
 */
export async function askStatus(control: string): Promise<VmStatus> {
  const operation = "ask for the status at";
  const answer = await ask(control, "/status", { operation });
  // What our own process says about itself is taken at its word.
  if (typeof Reflect.get(Object(answer), "guest_cid") === "number") return answer as VmStatus;
  throw new VsockboxError({ operation, address: control, ...readFailure(undefined) });
}

/**
 * Begins a capture.
 *
 * @throws {VsockboxError} as {@link askStatus}, and what the process says.
 */
export async function askCapture(control: string, request: CaptureRequest): Promise<CaptureFacts> {
  const body = JSON.stringify(request);
  const options = { operation: "capture through", method: "PUT", body };
  return (await ask(control, "/capture", options)) as CaptureFacts;
}

/**
 * Ends a capture, and gives what it was; null where there was none.
 *
 * @throws {VsockboxError} as {@link askStatus}.
 */
export async function askCaptureEnd(control: string): Promise<CaptureFacts | null> {
  const options = { operation: "end capture through", method: "DELETE", timeoutMs: CAPTURE_MS };
  return (await ask(control, "/capture", options)) as CaptureFacts | null;
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
