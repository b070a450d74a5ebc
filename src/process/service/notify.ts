/** Notifies the service manager: sd_notify(3). Does nothing without NOTIFY_SOCKET. */
import { toVsockboxError, type VsockboxError } from "../../errors.ts";
import { sendDatagram } from "../../ffi/notify.ts";

const SOCKET_VARIABLE = "NOTIFY_SOCKET";

let socket: string | undefined;

/**
 * Stores the service manager's socket and removes it from the environment, so that commands do
 * not speak in our name. Every function of this module does so; call it before the first command.
 *
 * The runtime starts a child without `env` in the environment of its own start, which still contains it.
 */
export function takeNotifySocket(): void {
  socket = process.env[SOCKET_VARIABLE] || socket;
  delete process.env[SOCKET_VARIABLE];
}

/** Reports that all listeners are open. Returns an error text, for which the service does not end. */
export function notifyReady(status?: string): VsockboxError | undefined {
  return notify(status === undefined ? ["READY=1"] : ["READY=1", statusLine(status)]);
}

/** The end has begun. Returns as {@link notifyReady}. */
export function notifyStopping(): VsockboxError | undefined {
  return notify(["STOPPING=1"]);
}

/** Sends one line of status for `systemctl status`. Returns as {@link notifyReady}. */
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
