/**
 * The agent protocol as a program: connects to any agent, sends it what a host may and may not send,
 * and says what it answered otherwise than the protocol has it.
 */
import { EXEC_PORT, READY_PORT } from "../../src/agent/ports.ts";
import { resolveAddress } from "../../src/config/profiles.ts";
import { formatAddress } from "../../src/net/address.ts";
import { dial } from "../../src/net/dial.ts";
import { ALL_CASES } from "./cases/index.ts";
import { Guest } from "./guest.ts";
import {
  OPTIONS_HELP,
  positive,
  readOptions,
  runProgram,
  runSuite,
  STATUS_HELP,
  usage,
} from "./program.ts";
import { print } from "./report.ts";

const HELP = `Usage: bun run tests/conformance --target ADDR [options]

  --target ADDR      the agent: vsock:CID, hybrid:PATH, unix:PATH or a profile (port 5000)
  --ready ADDR       its ready port, tested only where given (port 5002)
${OPTIONS_HELP}
  --jobs N           cases side by side (default: 4)

${STATUS_HELP}
`;

async function main(): Promise<number> {
  const options = readOptions({
    target: { type: "string" },
    ready: { type: "string" },
    jobs: { type: "string", default: "4" },
  });
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  return await runSuite(options, ALL_CASES, () => {
    if (options.target === undefined) throw usage("--target is missing");
    const target = {
      address: resolveAddress(options.target, EXEC_PORT),
      ready: options.ready === undefined ? undefined : resolveAddress(options.ready, READY_PORT),
    };
    return {
      subject: (name) => new Guest(target, name),
      jobs: Math.ceil(positive("jobs", options.jobs)),
      async begin() {
        // One clear error where nobody listens, in place of a failure a case.
        (await dial(target.address)).abort();
        if (!options.json) print(`# ${formatAddress(target.address)}`);
      },
    };
  });
}

await runProgram(main);
