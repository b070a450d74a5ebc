/** `vsockbox smoke`: checks for CI that vsock works on this system. */
import { commandLineError, EXIT_STATUS, toVsockboxError } from "../../errors.ts";
import { formatAddress, withDefaultPort, ANY, type SocketAddress } from "../../net/address.ts";
import { checksFor } from "../../smoke/checks.ts";
import { TARGET_CHECKS, TestedAgent } from "../../smoke/target-checks.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { ADDRESS, readAddress, type WrittenAddress } from "../shared/address-kind.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { commandHint } from "../shared/error-hints.ts";
import { agentArguments, agentTarget, shownTarget } from "../shared/target.ts";
import { flag, option, operand, type ArgumentValues } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";

/** Set by the init of the test guest alone. */
const TEST_GUEST_VARIABLE = "VSOCKBOX_TEST_VM";

const DEFAULT_ADDRESS = "vsock:local";

/** One line of the report. */
interface CheckReport {
  name: string;
  ok: boolean;
  detail: string;
  hint?: string;
  duration_ms: number;
}

const ARGUMENTS = {
  address: operand(ADDRESS, {
    optional: true,
    defaultText: DEFAULT_ADDRESS,
    summary: "The address to check",
  }),
  target: option(ADDRESS, {
    valueName: "TARGET",
    summary: "Check the agent at this address instead: commands, streams, files, sockets",
  }),
  yesUseVsock: flag({
    summary:
      "Agree that AF_VSOCK sockets are opened on this machine, and vsock_loopback is loaded if needed",
  }),
  ...agentArguments,
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "smoke",
  group: "Diagnostics",
  summary: "Check that vsock works on this machine or with a guest",
  args: ARGUMENTS,
  conflicts: { target: ["address"] },
  examples: [
    {
      command: "vsockbox smoke --target 3",
      explanation: "From the host: what the agent in the VM with CID 3 does for its users",
    },
    {
      command: "sudo modprobe vsock_loopback && vsockbox smoke --yes-use-vsock",
      explanation: "In CI: listens, connects, execs, half-closes and sends 64 MiB over CID 1",
    },
    {
      command: "vsockbox smoke unix:$XDG_RUNTIME_DIR/smoke.sock",
      explanation: "The same over a Unix socket, to distinguish a vsock problem from another one",
    },
  ],
  run(args) {
    const { target } = args;
    return target === undefined ? checkMachine(args) : checkTarget(args, target);
  },
});

async function checkMachine(args: Values): Promise<number> {
  const address = withDefaultPort((args.address ?? readAddress(DEFAULT_ADDRESS)).address, ANY);
  assertConsent(address, args.yesUseVsock);
  const report = new Report(args.json);
  for (const { name, run } of checksFor(address)) await report.check(name, () => run(address));
  return report.finish(formatAddress(address));
}

async function checkTarget(args: Values, written: WrittenAddress): Promise<number> {
  const target = agentTarget(args, written);
  const report = new Report(args.json);
  let agent: TestedAgent | undefined;
  await report.check("agent", async () => {
    agent = await TestedAgent.connect(target.address, target.options);
    return agent.client.hello.version;
  });
  if (agent !== undefined) {
    await using tested: TestedAgent = agent;
    for (const { name: check, run } of TARGET_CHECKS) await report.check(check, () => run(tested));
  }
  return report.finish(shownTarget(target));
}

/** The checks that were run. */
class Report {
  readonly #json: boolean;
  readonly #checks: CheckReport[] = [];

  constructor(json: boolean) {
    this.#json = json;
  }

  async check(name: string, run: () => Promise<string>): Promise<void> {
    const begin = performance.now();
    const result = await run().then(
      (detail) => ({ name, ok: true, detail }),
      (thrown: unknown) => failureOf(name, thrown),
    );
    const check = { ...result, duration_ms: Math.round(performance.now() - begin) };
    this.#checks.push(check);
    if (!this.#json) printReport(check);
  }

  /** Prints the end; returns the exit status. */
  finish(address: string): number {
    const ok = this.#checks.every((check) => check.ok);
    if (this.#json) printJson({ ok, address, checks: this.#checks });
    else print(ok ? "all checks passed" : "FAILED");
    return ok ? 0 : EXIT_STATUS.UNAVAILABLE;
  }
}

function assertConsent(address: SocketAddress, agreed: boolean): void {
  if (address.kind !== "vsock" || agreed || process.env[TEST_GUEST_VARIABLE] === "1") return;
  throw commandLineError(
    "smoke",
    "it would open AF_VSOCK sockets on this machine",
    "write --yes-use-vsock to do it, or a unix: address",
  );
}

function failureOf(name: string, thrown: unknown) {
  const { message, hint: own } = toVsockboxError(thrown);
  const hint = commandHint(thrown) ?? own;
  return { name, ok: false, detail: message, ...(hint === undefined ? {} : { hint }) };
}

function printReport(report: CheckReport): void {
  print(
    `${report.ok ? "ok  " : "FAIL"} ${report.name}: ${report.detail} (${report.duration_ms} ms)`,
  );
  if (report.hint !== undefined) say(`  hint: ${report.hint}`);
}
