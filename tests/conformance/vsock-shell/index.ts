/**
 * vsock-shell as a program: plays a client that may and may not behave to any server, or such a server
 * to any client, and says what was done otherwise than the protocol has it.
 */
import { parseArgs } from "node:util";
import { resolveAddress } from "../../../src/config/profiles.ts";
import { toVsockboxError, VsockboxError } from "../../../src/errors.ts";
import { formatAddress } from "../../../src/net/address.ts";
import { dial } from "../../../src/net/dial.ts";
import { list, print, report, summarize } from "../report.ts";
import { type Case, type Outcome, runCases, type Subject } from "../runner.ts";
import { CLIENT_CASES } from "./client-cases.ts";
import { ClientSubject } from "./client-subject.ts";
import { SERVER_CASES } from "./server-cases.ts";
import { ServerSubject } from "./server-subject.ts";

/** Where servers listen unless told otherwise. */
const DEFAULT_PORT = 5000;

const HELP = `Usage: bun run tests/conformance/vsock-shell --server ADDR [options]
       bun run tests/conformance/vsock-shell --client LINE --listen ADDR [options]

  --server ADDR      a server: vsock:CID, hybrid:PATH, unix:PATH or a profile (port ${DEFAULT_PORT})
  --client LINE      a shell line that starts a client, with its arguments as "$@" and our address as
                     $TARGET, such as 'vsockbox shell-client "$TARGET" "$@"'
  --listen ADDR      where the client finds us
  --only TEXT        only cases whose row or name contains TEXT
  --list             print the cases and run none
  --json             one JSON object a line
  --required-only    strict cases are reported but do not decide the exit status
  --deadline SECONDS for one case (default: 15)

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
        server: { type: "string" },
        client: { type: "string" },
        listen: { type: "string" },
        only: { type: "string", default: "" },
        list: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        "required-only": { type: "boolean", default: false },
        deadline: { type: "string", default: "15" },
        help: { type: "boolean", default: false, short: "h" },
      },
    }).values;
  } catch (thrown) {
    throw usage(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

type Options = ReturnType<typeof readArguments>;

async function run<S extends Subject>(
  options: Options,
  all: readonly Case<S>[],
  subject: (name: string) => S,
): Promise<number> {
  const cases = all.filter(({ row, name }) => `${row}: ${name}`.includes(options.only));
  if (cases.length === 0) throw usage(`no case contains ${JSON.stringify(options.only)}`);
  if (options.list) {
    list(cases, options.json);
    return 0;
  }
  const seconds = Number(options.deadline);
  if (!(seconds > 0 && seconds <= 3600)) throw usage("--deadline must be a number up to 3600");
  const outcomes = await runCases(cases, {
    subject,
    deadlineMs: seconds * 1000,
    jobs: 1,
    onOutcome: (outcome) => report(outcome, options.json),
  });
  summarize(outcomes, options.json);
  const decides = ({ level }: Outcome) => !options["required-only"] || level === "required";
  return outcomes.some((one) => one.result === "FAIL" && decides(one)) ? 1 : 0;
}

async function main(): Promise<number> {
  const options = readArguments();
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (options.server !== undefined) {
    const address = resolveAddress(options.server, DEFAULT_PORT);
    // One clear error where nobody listens, in place of a failure a case.
    if (!options.list) (await dial(address)).abort();
    if (!options.json) print(`# ${formatAddress(address)}`);
    return run(options, SERVER_CASES, (name) => new ServerSubject(address, name));
  }
  if (options.client === undefined || options.listen === undefined) {
    throw usage("--server, or --client with --listen, is missing");
  }
  const target = { line: options.client, listen: resolveAddress(options.listen, DEFAULT_PORT) };
  return run(options, CLIENT_CASES, () => new ClientSubject(target));
}

try {
  process.exit(await main());
} catch (thrown) {
  const error = toVsockboxError(thrown, "conformance");
  process.stderr.write(`conformance: ${error.message}\n`);
  process.exit(error.exitStatus);
}
