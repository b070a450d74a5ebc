/** `vsockbox hybrid-proxy status`: the VMs that this user's hybrid-proxy processes serve. */
import { POLLERR, POLLHUP, pollDescriptor } from "../../ffi/socket.ts";
import { onEndingSignal } from "../../process/signals.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { obeysEscapes } from "../../ui/terminal-escapes.ts";
import { statusLines } from "../../device/observe/status-text.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { type CollectedStatuses, collectStatuses } from "../shared/vm-statuses.ts";
import { option, operands } from "../../ui/argument.ts";
import { word, DURATION } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

/** Clears the terminal and goes to its top left corner. */
const CLEAR = "\u001B[2J\u001B[H";

export const command = defineCommand({
  name: "hybrid-proxy status",
  group: "Host devices",
  summary: "Show the VMs of hybrid-proxy and their connections",
  args: {
    path: operands(word("PATH"), {
      optional: true,
      defaultText: "all VMs of yours",
      summary: "A VM's --socket, --uds-path or control socket",
    }),
    watch: option(DURATION, { summary: "Print it again after each such time, until Ctrl-C" }),
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox hybrid-proxy status", explanation: "All VMs of yours on this machine" },
    {
      command: "vsockbox hybrid-proxy status $XDG_RUNTIME_DIR/vm3.vsock --watch 2s",
      explanation: "One of them, again and again",
    },
    {
      command: "vsockbox hybrid-proxy status $XDG_RUNTIME_DIR/vhost3.socket --json",
      explanation: "One JSON object a VM",
    },
  ],
  async run(args) {
    const pauseMs = args.watch;
    const isJson = args.json;
    const paths = args.path;
    if (pauseMs === undefined) {
      show(await collectStatuses(paths), isJson);
      return 0;
    }
    const ended = Promise.withResolvers<"ended">();
    using _signals = onEndingSignal(() => ended.resolve("ended"));
    for (;;) {
      // A stopped process does not answer.
      const statuses = await Promise.race([collectStatuses(paths), ended.promise]);
      if (statuses === "ended") return 0;
      if (!isJson && obeysEscapes(process.stdout)) process.stdout.write(CLEAR);
      show(statuses, isJson);
      if (isReaderGone()) return 0;
      if ((await Promise.race([ended.promise, Bun.sleep(pauseMs)])) === "ended") return 0;
    }
  },
});

/** Whether standard output is a pipe or socket without a reader, as before `head`. */
function isReaderGone(): boolean {
  return (pollDescriptor(1, 0, 0) & (POLLERR | POLLHUP)) !== 0;
}

function show({ vms, silent }: CollectedStatuses, isJson: boolean): void {
  for (const control of silent) {
    say(`vsockbox: ${control} does not answer: its hybrid-proxy may be stopped`);
  }
  if (isJson) {
    for (const status of vms) printJson({ uds_path: null, forward_cid: null, ...status });
    return;
  }
  if (vms.length + silent.length === 0) say("vsockbox: no hybrid-proxy of yours is running");
  for (const [index, status] of vms.entries()) {
    if (index > 0) print("");
    for (const line of statusLines(status)) print(line);
  }
}
