/** Hints that name options of the command line; the layers below serve the library as well. */
import { SilentPeerError } from "../../agent/channel/channel-connection.ts";
import { EXEC_PORT } from "../../agent/ports.ts";
import { formatAddress } from "../../net/address.ts";
import { WrongServiceError } from "../../net/wrong-service.ts";
import type { RecognisedService } from "../../protocols/recognise-service.ts";
import { SocketOwnerError } from "../../net/socket-owner.ts";
import { SHELL_PORT } from "../../vsock-shell/ports.ts";
import { parsePasswd, systemUsers } from "../../process/users.ts";

/** Returns the hint of the command line for an error; undefined: the error's own hint. */
export function commandHint(thrown: unknown): string | undefined {
  if (thrown instanceof SocketOwnerError) return ownerHint(thrown.uid);
  if (thrown instanceof SilentPeerError) {
    return thrown.phase === "keepalive"
      ? "the agent or its VM may be stopped or paused; `--keepalive 0` waits for ever"
      : "the agent or its VM may be stopped, paused or overloaded; `--connect-timeout TIME` waits longer";
  }
  return thrown instanceof WrongServiceError ? serviceHint(thrown) : undefined;
}

/** How to reach the service that answers, or the one that was meant. */
function serviceHint({ target, service, expected }: WrongServiceError): string {
  const shown = formatAddress(target);
  if (expected === "hybrid" && target.kind === "hybrid") {
    return `it is a plain Unix socket, whose address is unix:${target.path}`;
  }
  if (service === "hybrid" && target.kind === "unix") {
    const port = expected === "vsock-shell" ? SHELL_PORT : EXEC_PORT;
    return `its address is hybrid:${target.path}:${port}`;
  }
  if (expected === "bench") return benchHint(shown, service);
  switch (service) {
    case "vsock-shell":
      return `\`vsockbox shell-client ${shown}\` speaks with it; an agent on the same machine needs another port`;
    case "agent":
      return `\`vsockbox shell ${shown}\` and \`vsockbox exec ${shown} -- COMMAND\` speak with it`;
    case "bench":
      return `\`vsockbox bench run ${shown}\` measures with it; an agent on the same machine needs another port`;
    case "ssh":
      return `\`ssh -o ProxyCommand='vsockbox connect ${shown}' USER@guest\` speaks with it`;
    case "http":
    case "tls":
    case "echo":
      return `\`vsockbox connect ${shown}\` carries its bytes; the agent is on port ${EXEC_PORT} unless --listen has another`;
    case "hybrid":
    case "text":
      return `\`vsockbox connect ${shown}\` shows its bytes; the agent is on port ${EXEC_PORT} unless --listen has another`;
  }
}

/** How to start the server that `bench run` needs, if another service answers. */
function benchHint(shown: string, service: RecognisedService): string {
  return service === "agent"
    ? "`vsockbox bench serve` needs a port of its own, such as 5201: start it there with `vsockbox exec`"
    : `start \`vsockbox bench serve\` on the other side; ${shown} is in use`;
}

function ownerHint(uid: number): string {
  const name = parsePasswd(systemUsers().passwd).find((entry) => entry.uid === uid)?.name;
  return `if that is the VMM's own user, as under Firecracker's jailer, \`--allow-socket-owner ${name ?? uid}\` connects to it`;
}
