/** `vsockbox cid`: the local CID. */
import { localCid } from "../../ffi/vsock.ts";
import { ANY, CID_HOST, CID_HYPERVISOR, CID_LOCAL } from "../../net/address.ts";
import { print, printJson } from "../../ui/report.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { defineCommand } from "../../ui/command-definition.ts";

const MEANING: ReadonlyMap<number, string> = new Map([
  [CID_HYPERVISOR, "hypervisor"],
  [CID_LOCAL, "local: only loopback is loaded"],
  [CID_HOST, "host"],
  [ANY, "none: no vsock transport has assigned a CID"],
]);

export const command = defineCommand({
  name: "cid",
  group: "Diagnostics",
  summary: "Print this machine's own CID",
  args: {
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox cid", explanation: "In a guest: its CID. On a host: 2" },
    { command: "vsockbox cid --json", explanation: 'As {"cid":3,"meaning":"guest"}' },
  ],
  run(args) {
    const cid = localCid();
    const meaning = MEANING.get(cid) ?? "guest";
    if (args.json) printJson({ cid: cid === ANY ? null : cid, meaning });
    else print(cid === ANY ? "none" : String(cid));
    return Promise.resolve(0);
  },
});
