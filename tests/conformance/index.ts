/**
 * The agent protocol as a program: connects to any agent, sends it what a host may and may not send,
 * and says what it answered otherwise than the protocol has it.
 */
import { parseArgs } from "node:util";
import { EXEC_PORT, READY_PORT } from "../../src/agent/ports.ts";
import { resolveAddress } from "../../src/config/profiles.ts";
import { toVsockboxError, VsockboxError } from "../../src/errors.ts";
import { formatAddress } from "../../src/net/address.ts";
import { dial } from "../../src/net/dial.ts";
import { ALL_CASES } from "./cases/index.ts";
import { Guest } from "./guest.ts";
import { list, print, report, summarize } from "./report.ts";
import { type Outcome, runCases } from "./runner.ts";

const HELP = `Usage: bun run tests/conformance --target ADDR [options]

  --target ADDR      the agent: vsock:CID, hybrid:PATH, unix:PATH or a profile (port 5000)
  --ready ADDR       its ready port, tested only where given (port 5002)
  --only TEXT        only cases whose row or name contains TEXT
  --list             print the cases and run none
  --json             one JSON object a line
  --required-only    strict cases are reported but do not decide the exit status
  --deadline SECONDS for one case (default: 15)
  --jobs N           cases side by side (default: 4)

Exit status: 0 where everything passed, 1 where a case failed, others as vsockbox has them.
`;

function usage(message: string): VsockboxError {
  return new VsockboxError({ code: "USAGE", operation: "conformance", message });
}

function readArguments() {
  try {
    return parseArgs({
      args: Bun.argv.slice(2),
      options: {
        target: { type: "string" },
        ready: { type: "string" },
        only: { type: "string", default: "" },
        list: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        "required-only": { type: "boolean", default: false },
        deadline: { type: "string", default: "15" },
        jobs: { type: "string", default: "4" },
        help: { type: "boolean", default: false, short: "h" },
      },
    }).values;
  } catch (thrown) {
    throw usage(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 3600)) throw usage(`--${name} must be a number above 0, up to 3600`);
  return value;
}

async function main(): Promise<number> {
  const options = readArguments();
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const cases = ALL_CASES.filter(({ row, name }) => `${row}: ${name}`.includes(options.only));
  if (cases.length === 0) throw usage(`no case contains ${JSON.stringify(options.only)}`);
  if (options.list) {
    list(cases, options.json);
    return 0;
  }
  if (options.target === undefined) throw usage("--target is missing");
  const target = {
    address: resolveAddress(options.target, EXEC_PORT),
    ready: options.ready === undefined ? undefined : resolveAddress(options.ready, READY_PORT),
  };
  const deadlineMs = positive("deadline", options.deadline) * 1000;
  const jobs = Math.ceil(positive("jobs", options.jobs));
  // One clear error where nobody listens, in place of a failure a case.
  (await dial(target.address)).abort();
  if (!options.json) print(`# ${formatAddress(target.address)}`);
  const outcomes = await runCases(cases, {
    subject: (name) => new Guest(target, name),
    deadlineMs,
    jobs,
    onOutcome: (outcome) => report(outcome, options.json),
  });
  summarize(outcomes, options.json);
  const decides = ({ level }: Outcome) => !options["required-only"] || level === "required";
  return outcomes.some((one) => one.result === "FAIL" && decides(one)) ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (thrown) {
  const error = toVsockboxError(thrown, "conformance");
  process.stderr.write(`conformance: ${error.message}\n`);
  process.exitCode = error.exitStatus;
}
