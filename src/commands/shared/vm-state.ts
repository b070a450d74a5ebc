/** The state of a VM of the profiles, for `vms` and prompts. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { OldAgentError } from "../../agent/client/handshake.ts";
import { EXEC_PORT } from "../../agent/ports.ts";
import type { Profile } from "../../config/profiles.ts";
import { parseSocketOwners } from "../../config/socket-owners.ts";
import { readToken } from "../../config/token.ts";
import { reasonOf } from "../../errors.ts";
import { withDefaultPort } from "../../net/address.ts";

/**
 * Connects to a VM's agent, and returns its state: `ready`, a vsockbox agent answers; `agent`, another one;
 * `down`, none; `refused`, this host is refused.
 *
 * @param timeoutMs limit of the wait for an answer, in milliseconds.
 */
export async function vmState(
  { address, tokenFile, socketOwner }: Profile,
  timeoutMs: number,
): Promise<{ state: string; detail: string }> {
  try {
    const token = tokenFile === undefined ? undefined : readToken(tokenFile);
    const target = withDefaultPort(address, EXEC_PORT);
    const socketOwners =
      socketOwner === undefined ? undefined : parseSocketOwners(socketOwner, "socket_owner");
    const client = await AgentClient.connect(target, { timeoutMs, token, socketOwners });
    const { version } = client.hello;
    await client.close();
    return { state: "ready", detail: version };
  } catch (thrown) {
    if (thrown instanceof OldAgentError) return { state: "agent", detail: "no vsockbox agent" };
    const { errno, message } = reasonOf(thrown);
    const refused = Reflect.get(Object(thrown), "code") === "REFUSED";
    return { state: refused ? "refused" : "down", detail: errno ?? message };
  }
}
