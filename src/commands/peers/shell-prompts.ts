/** shell-client without arguments: which VM, and what to do there. */
import { intro, outro, path, select, text } from "@clack/prompts";
import { basename, join } from "node:path";
import { resolveAddress } from "../../config/profiles.ts";
import { VsockboxError } from "../../errors.ts";
import { sayBlock } from "../../ui/report.ts";
import { answerOf, promptSession } from "../shared/prompts.ts";
import { askForVm, commandText } from "../shared/target-prompt.ts";
import type { ShellJob } from "./shell-job.ts";

/**
 * Asks, and shows the command line that does the same.
 *
 * @returns undefined if the user cancelled.
 */
export async function askForJob(defaultPort: number): Promise<ShellJob | undefined> {
  using _session = promptSession();
  try {
    intro("vsock-shell");
    const name = await askForVm(defaultPort);
    const { job, words } = await askForTask(name, defaultPort);
    const line = commandText(["vsockbox", "shell-client", ...words]);
    outro("The same without questions:");
    // Without a frame around it: it is there to be copied.
    sayBlock(`${line}\n`);
    return job;
  } catch (thrown) {
    if (thrown instanceof VsockboxError && thrown.code === "ABORTED") return undefined;
    throw thrown;
  }
}

async function askForTask(
  name: string,
  defaultPort: number,
): Promise<{ job: ShellJob; words: string[] }> {
  const address = resolveAddress(name, defaultPort);
  const job: ShellJob = { name, address, transfer: undefined, command: undefined };
  const task = await answerOf(
    select({
      message: "What?",
      options: [
        { value: "shell", label: "a shell" },
        { value: "command", label: "one command" },
        { value: "upload", label: "send a file there" },
        { value: "download", label: "download a file" },
      ],
    }),
  );
  switch (task) {
    case "command": {
      const command = await answerOf(text({ message: "The command", validate: required }));
      return { job: { ...job, command }, words: [name, command] };
    }
    case "upload": {
      const local = await answerOf(path({ message: "Which file", validate: required }));
      const remote = await answerOf(
        text({
          message: "Where it goes",
          initialValue: join("/tmp", basename(local)),
          validate: required,
        }),
      );
      return withTransfer(job, "upload", local, remote);
    }
    case "download": {
      const remote = await answerOf(
        text({ message: "Which file of the VM", placeholder: "/etc/hostname", validate: required }),
      );
      const directory = await answerOf(
        path({ message: "Into which directory", directory: true, initialValue: process.cwd() }),
      );
      return withTransfer(job, "download", join(directory, basename(remote)), remote);
    }
    default:
      return { job, words: [name] };
  }
}

function withTransfer(
  job: ShellJob,
  direction: "upload" | "download",
  local: string,
  remote: string,
): { job: ShellJob; words: string[] } {
  const transfer = { direction, local: Buffer.from(local), remote: Buffer.from(remote) };
  const [from, to] = direction === "upload" ? [local, remote] : [remote, local];
  const where = from.includes(":") || to.includes(":") ? [from, "--to", to] : [`${from}:${to}`];
  return { job: { ...job, transfer }, words: [job.name, `--${direction}`, ...where] };
}

function required(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? "It is empty." : undefined;
}
