/** Shell lines in a guest, as the VM tests run them. */
import type { Guest } from "../../src/vm/guest.ts";
import { eventually } from "./binary.ts";

/** Runs a line; any other status than 0 is an error with all that was said. */
export async function runIn(guest: Guest, line: string, timeoutMs = 120_000): Promise<string> {
  const { status, stdout, stderr } = await guest.run(line, { timeoutMs });
  const output = Buffer.from(stdout).toString();
  if (status === 0) return output;
  throw new Error(`status ${status} from: ${line}\n${output}${Buffer.from(stderr).toString()}`);
}

/**
 * Shell words that write the pid of a process's child to the file `to`, and fail where it has none yet.
 *
 * @param parent the file with the process's pid.
 */
export const writeChildPid = (parent: string, to: string) =>
  `awk -v parent=$(cat ${parent}) '$4 == parent { print $1 }' /proc/[0-9]*/stat 2> /dev/null > ${to} && grep -q . ${to}`;

let logs = 0;

/**
 * Runs a command of guest-vsock that listens, and waits until it does.
 *
 * @returns waits for its end, and gives what it has said.
 */
export async function startListener(guest: Guest, line: string): Promise<() => Promise<string>> {
  const log = `/tmp/listener${logs++}`;
  await runIn(guest, `(${line} > ${log} 2>&1; echo done >> ${log}) > /dev/null 2>&1 &`);
  const said = async () => await runIn(guest, `cat ${log} 2> /dev/null || true`);
  await eventually(`${line} listens`, async () => (await said()).includes("listening"));
  return async () => {
    await eventually(`${line} ends`, async () => (await said()).endsWith("done\n"));
    return (await said()).replace("listening\n", "").replace("done\n", "");
  };
}
