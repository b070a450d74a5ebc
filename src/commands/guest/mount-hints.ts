/** Hints for a source at which another service than an export answers. */
import { VFS_PORT } from "../../agent/ports.ts";
import { formatAddress } from "../../net/address.ts";
import type { WrongServiceError } from "../../net/wrong-service.ts";

/** Returns how to reach an export. */
export function wrongServiceHint({
  target,
  service,
}: Pick<WrongServiceError, "target" | "service">): string {
  if (service === "hybrid" && target.kind === "unix") {
    return `its address is hybrid:${target.path}:${VFS_PORT}`;
  }
  const port = `\`vsockbox export\` listens on port ${VFS_PORT} unless --listen has another address`;
  return service === "agent"
    ? `${port}; through an agent, its host mounts: \`vsockbox share DIR ${formatAddress(target)}:/PATH\``
    : port;
}
