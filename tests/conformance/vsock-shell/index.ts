/**
 * vsock-shell as a program: plays a client that may and may not behave to any server, or such a server
 * to any client, and says what was done otherwise than the protocol has it.
 */
import { resolveAddress } from "../../../src/config/profiles.ts";
import { formatAddress } from "../../../src/net/address.ts";
import { dial } from "../../../src/net/dial.ts";
import { OPTIONS_HELP, readOptions, runProgram, runSuite, STATUS_HELP, usage } from "../program.ts";
import { print } from "../report.ts";
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
${OPTIONS_HELP}

${STATUS_HELP}
`;

async function main(): Promise<number> {
  const options = readOptions({
    server: { type: "string" },
    client: { type: "string" },
    listen: { type: "string" },
  });
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const { server, client, listen } = options;
  if (server !== undefined) {
    const address = resolveAddress(server, DEFAULT_PORT);
    return await runSuite(options, SERVER_CASES, () => ({
      subject: (name) => new ServerSubject(address, name),
      jobs: 1,
      async begin() {
        // One clear error where nobody listens, in place of a failure a case.
        (await dial(address)).abort();
        if (!options.json) print(`# ${formatAddress(address)}`);
      },
    }));
  }
  if (client === undefined || listen === undefined) {
    throw usage("--server, or --client with --listen, is missing");
  }
  const target = { line: client, listen: resolveAddress(listen, DEFAULT_PORT) };
  return await runSuite(options, CLIENT_CASES, () => ({
    subject: () => new ClientSubject(target),
    jobs: 1,
  }));
}

await runProgram(main);
