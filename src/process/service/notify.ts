/** Telling the service manager how far we are: sd_notify(3). Nothing is said where none asks. */
import { toVsockboxError, type VsockboxError } from "../../errors.ts";
import { sendDatagram } from "../../ffi/notify.ts";

const SOCKET_VARIABLE = "NOTIFY_SOCKET";

let socket: string | undefined;

/**
 * Remembers the service manager's socket and takes it out of the environment, so that commands do
 * not speak in our name. Every function of this module does so; call it before the first command.
 *
 * The runtime starts a child without `env` in the environment of its own start, where it still is.
 */
export function takeNotifySocket(): void {
  socket = process.env[SOCKET_VARIABLE] || socket;
  delete process.env[SOCKET_VARIABLE];
}

/** Everything is listening. Returns what went wrong, which is no reason to end. */
export function notifyReady(status?: string): VsockboxError | undefined {
  return notify(status === undefined ? ["READY=1"] : ["READY=1", statusLine(status)]);
}

/** The end has begun. Returns as {@link notifyReady}. */
export function notifyStopping(): VsockboxError | undefined {
  return notify(["STOPPING=1"]);
}

/** One line on what is going on, as `systemctl status` shows it. Returns as {@link notifyReady}. */
export function notifyStatus(status: string): VsockboxError | undefined {
  return notify([statusLine(status)]);
}

function statusLine(status: string): string {
  return `STATUS=${status.replaceAll(/\s*\n\s*/g, " ")}`;
}

function notify(assignments: readonly string[]): VsockboxError | undefined {
  takeNotifySocket();
  if (socket === undefined) return undefined;
  try {
    sendDatagram(socket, new TextEncoder().encode(assignments.join("\n")));
    return undefined;
  } catch (thrown) {
    return toVsockboxError(thrown, "notify the service manager");
  }
}
