/** Hints that name options of the command line; the layers below serve the library as well. */
import { SilentPeerError } from "../agent/channel-connection.ts";
import { SocketOwnerError } from "../net/socket-owner.ts";
import { parsePasswd, systemUsers } from "../process/users.ts";

/** Returns what the user of a command can do about an error; undefined: what the error itself says. */
export function commandHint(thrown: unknown): string | undefined {
  if (thrown instanceof SocketOwnerError) return ownerHint(thrown.uid);
  if (thrown instanceof SilentPeerError) {
    return thrown.phase === "keepalive"
      ? "the agent or its VM may be stopped or paused; `--keepalive 0` waits for ever"
      : "the agent or its VM may be stopped, paused or overloaded; `--connect-timeout TIME` waits longer";
  }
  return undefined;
}

function ownerHint(uid: number): string {
  const name = parsePasswd(systemUsers().passwd).find((entry) => entry.uid === uid)?.name;
  return `if that is the VMM's own user, as under Firecracker's jailer, \`--allow-socket-owner ${name ?? uid}\` connects to it`;
}
