/** `vsockbox vms`: the configured VMs, and whether their agents answer. */
import { configPath, loadProfiles } from "../../config/profiles.ts";
import { formatAddress } from "../../net/address.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { table } from "../../text/table.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { vmState } from "../shared/vm-state.ts";
import { option } from "../../ui/argument.ts";
import { DURATION } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "vms",
  group: "Diagnostics",
  summary: "List the VMs of the profiles, with their state",
  args: {
    timeout: option(DURATION, { default: 2000, summary: "Wait this long for the answer of a VM" }),
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox vms", explanation: "A line a VM" },
    { command: "vsockbox vms --json --timeout 500ms", explanation: "For programs" },
  ],
  async run(args) {
    const timeoutMs = args.timeout;
    const profiles = [...loadProfiles()];
    const vms = await Promise.all(
      profiles.map(async ([name, profile]) => {
        const { state, detail } = await vmState(profile, timeoutMs);
        return { name, address: formatAddress(profile.address), state, detail };
      }),
    );
    if (args.json) for (const vm of vms) printJson(vm);
    else if (vms.length === 0) {
      say(`vsockbox: no profiles in ${configPath()}`);
      say("  hint: write `vms:` there, with a name and an `address:` for each VM");
    } else {
      const rows = vms.map(({ name, address, state, detail }) => [name, address, state, detail]);
      for (const line of table(["NAME", "ADDRESS", "STATE", "DETAIL"], rows)) print(line);
    }
    return 0;
  },
});
