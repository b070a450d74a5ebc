/** One session of a soak: a client of the executable, run to its end or ended by a signal. */
import { BINARY } from "../support/binary.ts";
import type { Kind, Places } from "./kinds.ts";

/** The signals that end a third of the clients. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"] as const;

/** Clients that are ended are ended within this time of their start, in milliseconds. */
const KILLED_WITHIN_MS = 1500;

/** A client that was not ended may take this long, in milliseconds. */
const PATIENCE_MS = 120_000;

/** How a session ended that should have ended otherwise. */
export interface Complaint {
  kind: string;
  what: string;
}

const environment = { ...process.env, VSOCKBOX_NO_VSOCK: "1", NO_COLOR: "1", TERM: "xterm" };

/** Starts a client with its input on the way. */
function start(kind: Kind, args: string[]): { process: Bun.Subprocess; output: () => string } {
  let output = "";
  const keep = (bytes: Uint8Array) => {
    if (output.length < 2000) output += Buffer.from(bytes).toString();
  };
  if (kind.terminal === true) {
    const terminal = new Bun.Terminal({ cols: 80, rows: 24, data: (_, bytes) => keep(bytes) });
    const client = Bun.spawn([BINARY, ...args], { terminal, env: environment });
    terminal.write(kind.input ?? "");
    void client.exited.then(() => terminal.close());
    return { process: client, output: () => output };
  }
  const client = Bun.spawn([BINARY, ...args], {
    env: environment,
    stdin: new Blob([kind.input ?? ""]),
    stdout: "ignore",
    stderr: "pipe",
  });
  const read = async () => {
    for await (const chunk of client.stderr) keep(chunk);
  };
  void read();
  return { process: client, output: () => output };
}

/**
 * Runs a session.
 *
 * @param chance a number from 0 to 1 each time.
 * @returns what was wrong; undefined if nothing was.
 */
export async function runSession(
  kind: Kind,
  places: Places,
  id: string,
  chance: () => number,
): Promise<Complaint | undefined> {
  const isKilled = kind.endless === true || chance() < 1 / 3;
  const signal = SIGNALS[Math.floor(chance() * SIGNALS.length)] ?? "SIGKILL";
  const client = start(kind, kind.args(places, id));
  if (isKilled) {
    await Promise.race([client.process.exited, Bun.sleep(chance() * KILLED_WITHIN_MS)]);
    client.process.kill(signal);
    // One that asks to be told twice is told twice.
    const second = setTimeout(() => client.process.kill(signal), 5000);
    const ended = await endOf(client.process);
    clearTimeout(second);
    if (!ended) return complain(`it did not end after two ${signal}: ${client.output()}`);
    return undefined;
  }
  if (!(await endOf(client.process))) return complain(`it did not end: ${client.output()}`);
  const { exitCode } = client.process;
  return exitCode === 0 ? undefined : complain(`status ${exitCode}: ${client.output()}`);

  function complain(what: string): Complaint {
    return { kind: kind.name, what };
  }
}

/** Waits for the end; ends it by force, and returns false, if there is none. */
async function endOf(client: Bun.Subprocess): Promise<boolean> {
  const patience = Promise.withResolvers<false>();
  const timer = setTimeout(() => patience.resolve(false), PATIENCE_MS);
  const ended = await Promise.race([client.exited.then(() => true as const), patience.promise]);
  clearTimeout(timer);
  if (!ended) client.kill("SIGKILL");
  return ended;
}
