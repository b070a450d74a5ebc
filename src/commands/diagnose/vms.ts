/** `vsockbox vms`: the configured VMs, and whether their agents answer. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { OldAgentError } from "../../agent/client/handshake.ts";
import { EXEC_PORT } from "../../agent/ports.ts";
import { configPath, loadProfiles, type Profile } from "../../config/profiles.ts";
import { parseSocketOwners } from "../../config/socket-owners.ts";
import { readToken } from "../../config/token.ts";
import { reasonOf } from "../../errors.ts";
import { formatAddress, withDefaultPort } from "../../net/address.ts";
import { parseDuration } from "../../text/quantities.ts";
import type { Command } from "../../ui/command.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { table } from "../../text/table.ts";
import { jsonArgument } from "../shared/connect-options.ts";

export const command: Command = {
  name: "vms",
  description: "List the VMs of your profiles, with their state",
  args: {
    timeout: {
      type: "string",
      valueHint: "TIME",
      default: "2",
      description: "How long a VM may take to answer",
    },
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox vms", explanation: "A line a VM" },
    { command: "vsockbox vms --json --timeout 500ms", explanation: "For programs" },
  ],
  async run(args) {
    const timeoutMs = parseDuration(args.required("timeout"), "timeout");
    const profiles = [...loadProfiles()];
    const vms = await Promise.all(
      profiles.map(async ([name, profile]) => {
        const { state, detail } = await stateOf(profile, timeoutMs);
        return { name, address: formatAddress(profile.address), state, detail };
      }),
    );
    if (args.flag("json")) for (const vm of vms) printJson(vm);
    else if (vms.length === 0) {
      say(`vsockbox: there are no profiles in ${configPath()}`);
      say("  hint: write `vms:` there, with a name and an `address:` for each VM");
    } else {
      const rows = vms.map(({ name, address, state, detail }) => [name, address, state, detail]);
      for (const line of table(["NAME", "ADDRESS", "STATE", "DETAIL"], rows)) print(line);
    }
    return 0;
  },
};

/** `ready`: an agent of ours answers; `agent`: another one; `down`: nobody; `refused`: not us. */
async function stateOf(
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
