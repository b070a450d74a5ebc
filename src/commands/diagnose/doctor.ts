/** `vsockbox doctor`: whether vsock, or a target, works, and which command fixes it. */
import { examineSystem, examineTarget } from "../../diagnose/examine.ts";
import { exitStatusOf } from "../../diagnose/finding.ts";
import { findingJson, findingLines, summaryLine } from "../../diagnose/report.ts";
import { formatAddress } from "../../net/address.ts";
import { flag, operand } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { print, printJson } from "../../ui/report.ts";
import { ADDRESS } from "../shared/address-kind.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { agentArguments, agentTarget } from "../shared/target.ts";

export const command = defineCommand({
  name: "doctor",
  group: "Diagnostics",
  summary: "Find out why vsock or a guest does not work",
  args: {
    target: operand(ADDRESS, {
      optional: true,
      defaultText: "this machine",
      summary: "Examine the way to this agent",
    }),
    strict: flag({ summary: "Exit with status 78 if there are warnings only" }),
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    {
      command: "vsockbox doctor",
      explanation: "The kernel, its modules, devices, and sockets of VMMs",
    },
    { command: "vsockbox doctor 3", explanation: "Step by step to the agent in the VM with CID 3" },
    { command: "vsockbox doctor hybrid:/run/vm4.vsock --json", explanation: "For programs" },
  ],
  async run(args) {
    const target = args.target === undefined ? undefined : agentTarget(args, args.target);
    const findings =
      target === undefined
        ? examineSystem()
        : await examineTarget({
            written: target.name,
            address: target.address,
            options: target.options,
          });
    const status = exitStatusOf(findings, args.strict);
    if (args.json) {
      printJson({
        ok: status === 0,
        target: target === undefined ? null : formatAddress(target.address),
        findings: findings.map(findingJson),
      });
    } else {
      for (const line of findings.flatMap(findingLines)) print(line);
      print(summaryLine(findings));
    }
    return status;
  },
});
