/** `vsockbox smoke`: checks for CI that vsock works on this machine. */
import { resolveAddress } from "../config/profiles.ts";
import { EXIT_STATUS, toVsockboxError, VsockboxError } from "../errors.ts";
import { formatAddress, withDefaultPort, ANY, type SocketAddress } from "../net/address.ts";
import { checksFor } from "../smoke/checks.ts";
import type { Command } from "../ui/command.ts";
import { print, printJson, say } from "../ui/report.ts";
import { jsonArgument } from "./common.ts";

/** Set by the init of the test guest alone. */
const TEST_GUEST_VARIABLE = "VSOCKBOX_TEST_VM";

/** One line of the report. */
interface CheckReport {
  name: string;
  ok: boolean;
  detail: string;
  hint?: string;
  duration_ms: number;
}

export const command: Command = {
  name: "smoke",
  description: "Check that vsock works on this machine: for CI",
  args: {
    address: {
      type: "positional",
      required: false,
      default: "vsock:local",
      description: "What to check",
    },
    "yes-use-vsock": {
      type: "boolean",
      description: "Yes, open AF_VSOCK sockets on this machine and load vsock_loopback if needed",
    },
    ...jsonArgument,
  },
  examples: [
    {
      command: "sudo modprobe vsock_loopback && vsockbox smoke --yes-use-vsock",
      explanation: "In CI: listens, connects, execs, half-closes and sends 64 MiB over CID 1",
    },
    {
      command: "vsockbox smoke unix:/tmp/smoke.sock",
      explanation: "The same over a Unix socket: tells a vsock problem from another one",
    },
  ],
  async run(args) {
    const address = withDefaultPort(resolveAddress(args.required("address")), ANY);
    assertConsent(address, args.flag("yes-use-vsock"));
    const reports: CheckReport[] = [];
    for (const { name, run } of checksFor(address)) {
      const begin = performance.now();
      const report = await run(address).then(
        (detail) => ({ name, ok: true, detail }),
        (thrown: unknown) => failureOf(name, thrown),
      );
      reports.push({ ...report, duration_ms: Math.round(performance.now() - begin) });
      if (!args.flag("json")) printReport(reports.at(-1));
    }
    const ok = reports.every((report) => report.ok);
    if (args.flag("json")) printJson({ ok, address: formatAddress(address), checks: reports });
    else print(ok ? "all checks passed" : "FAILED");
    return ok ? 0 : EXIT_STATUS.UNAVAILABLE;
  },
};

function assertConsent(address: SocketAddress, agreed: boolean): void {
  if (address.kind !== "vsock" || agreed || process.env[TEST_GUEST_VARIABLE] === "1") return;
  throw new VsockboxError({
    code: "USAGE",
    operation: "smoke",
    message: "it would open AF_VSOCK sockets on this machine",
    hint: "say --yes-use-vsock if that is what you want, or give a unix: address",
  });
}

function failureOf(name: string, thrown: unknown) {
  const { message, hint } = toVsockboxError(thrown);
  return { name, ok: false, detail: message, ...(hint === undefined ? {} : { hint }) };
}

function printReport(report: CheckReport | undefined): void {
  if (report === undefined) return;
  print(
    `${report.ok ? "ok  " : "FAIL"} ${report.name}: ${report.detail} (${report.duration_ms} ms)`,
  );
  if (report.hint !== undefined) say(`  hint: ${report.hint}`);
}
