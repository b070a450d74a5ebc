/**
 * The guest-exec protocol as a program: plays the other side against any guest or host, byte by
 * byte, and says what it saw otherwise than the protocol has it.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VsockboxError } from "../../src/errors.ts";
import {
  formatAddress,
  parseAddress,
  type SocketAddress,
  withDefaultPort,
} from "../../src/net/address.ts";
import { dial } from "../../src/net/dial.ts";
import { listen } from "../../src/net/listen.ts";
import type { SocketStream } from "../../src/io/stream.ts";
import { GUEST_CASES, type GuestPeer } from "./guest-exec/guest-cases.ts";
import { HOST_CASES, type HostPeer } from "./guest-exec/host-cases.ts";
import { type Case, Failure, Program } from "./guest-exec/suite.ts";
import { positive, readOptions, runProgram, usage } from "./program.ts";
import { print } from "./report.ts";

const HELP = `Usage: bun run tests/conformance/guest-exec.ts --role guest|host --address ADDR --run LINE [options]

  --role guest     LINE starts a guest that connects to $ADDRESS; the suite listens there.
                   $MODE is empty or "persistent", $OPTIONS empty or "--report"
  --role host      LINE starts a host that listens on $ADDRESS, sends the commands in the file
                   $COMMANDS (one a line) to one guest and ends; the suite connects.
                   $MODE is empty or "persistent", $OPTIONS empty or "--report"
  --address ADDR   unix:PATH, hybrid:PATH:PORT or vsock:…; for a guest where the suite listens
  --connect ADDR   with --role host: where the suite connects (default: the same)
  --only TEXT      only cases whose name contains TEXT
  --required-only  strict cases are reported but do not decide the exit status
  --deadline S     seconds for one case (default: 15)
  --list, --json

Exit status: 0 where everything passed, 1 where a case failed, others as vsockbox has them.
`;

function socketAddress(text: string): SocketAddress {
  const address = parseAddress(text);
  if (address.kind === "profile") throw usage(`${text} is no address`);
  return withDefaultPort(address, 1024);
}

/** Everything that one case has started, ended with it. */
class Started implements Disposable {
  readonly #ends: (() => void)[] = [];

  add<T>(what: T, end: (what: T) => void): T {
    this.#ends.push(() => end(what));
    return what;
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends.toReversed()) end();
  }
}

function guestPeer(started: Started, address: SocketAddress, line: string): GuestPeer {
  const arrived: SocketStream[] = [];
  let wake = Promise.withResolvers<void>();
  const onConnection = (stream: SocketStream) => {
    arrived.push(started.add(stream, (one) => one.abort()));
    wake.resolve();
    wake = Promise.withResolvers();
  };
  started.add(listen(address, { allowed: "any", onConnection }), (one) => one.close());
  return {
    async start(mode, options = "") {
      const env = { ADDRESS: formatAddress(address), MODE: mode, OPTIONS: options };
      const guest = started.add(new Program(line, env), (one) => one.kill());
      for (;;) {
        const host = arrived.shift();
        if (host !== undefined) return { guest, host };
        await wake.promise;
      }
    },
  };
}

function hostPeer(
  started: Started,
  address: string,
  connect: SocketAddress,
  line: string,
): HostPeer {
  const scratch = started.add(mkdtempSync(join(tmpdir(), "conformance-")), (path) =>
    rmSync(path, { recursive: true, force: true }),
  );
  // Else it would go on to connect to the next case's host.
  const stop = started.add(new AbortController(), (one) => one.abort());
  return {
    async start(mode, commands, options = "") {
      const file = join(scratch, "commands");
      writeFileSync(file, commands.map((command) => `${command}\n`).join(""));
      const env = { ADDRESS: address, MODE: mode, OPTIONS: options, COMMANDS: file };
      const host = started.add(new Program(line, env), (one) => one.kill());
      const ended = host.end().then(({ stderr }) => {
        throw new Failure(`the host has ended: ${stderr.trim()}`);
      });
      const guest = await Promise.race([dialSoon(connect, stop.signal), ended]);
      ended.catch(() => undefined);
      return { host, guest: started.add(guest, (one) => one.abort()) };
    },
  };
}

/** The host may take a while until it listens. */
async function dialSoon(address: SocketAddress, signal: AbortSignal): Promise<SocketStream> {
  for (;;) {
    try {
      return await dial(address, { signal });
    } catch (thrown) {
      if (!(thrown instanceof VsockboxError) || thrown.code !== "UNAVAILABLE") throw thrown;
      await Bun.sleep(20);
    }
  }
}

interface Outcome {
  result: "ok" | "FAIL";
  level: "required" | "strict";
  name: string;
  detail?: string;
}

async function runCase<Peer>(
  { name, level, run }: Case<Peer>,
  peerOf: (started: Started) => Peer,
  deadlineMs: number,
): Promise<Outcome> {
  using started = new Started();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`no end within ${deadlineMs} ms`)),
    deadlineMs,
  );
  try {
    await Promise.race([run(peerOf(started)), late.promise]);
    return { result: "ok", level, name };
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return { result: "FAIL", level, name, detail: message.replaceAll("\n", " ") };
  } finally {
    clearTimeout(timer);
  }
}

async function main(): Promise<number> {
  const options = readOptions({
    role: { type: "string", default: "" },
    address: { type: "string" },
    connect: { type: "string" },
    run: { type: "string" },
  });
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const { role, run: line, address: text, json } = options;
  if (role !== "guest" && role !== "host") throw usage("--role is guest or host");
  const cases: readonly Case<never>[] = role === "guest" ? GUEST_CASES : HOST_CASES;
  const chosen = cases.filter(({ name }) => name.includes(options.only));
  if (chosen.length === 0) throw usage(`no case contains ${JSON.stringify(options.only)}`);
  if (options.list) {
    for (const { level, name } of chosen)
      print(json ? JSON.stringify({ level, name }) : `${level.padEnd(8)}  ${name}`);
    return 0;
  }
  if (text === undefined || line === undefined) throw usage("--address and --run are needed");
  const deadlineMs = positive("deadline", options.deadline) * 1000;
  const address = socketAddress(text);
  const connect = options.connect === undefined ? address : socketAddress(options.connect);
  const peerOf = (started: Started) =>
    (role === "guest"
      ? guestPeer(started, address, line)
      : hostPeer(started, text, connect, line)) as never;
  let failed = 0;
  for (const one of chosen) {
    const outcome = await runCase(one, peerOf, deadlineMs);
    if (outcome.result === "FAIL" && (!options["required-only"] || outcome.level === "required"))
      failed++;
    const { result, level, name, detail } = outcome;
    const why = detail === undefined ? "" : ` - ${detail}`;
    print(
      json ? JSON.stringify(outcome) : `${result.padEnd(4)}  ${level.padEnd(8)}  ${name}${why}`,
    );
  }
  return failed === 0 ? 0 : 1;
}

await runProgram(main);
