/** Where the demo runs: in a guest under QEMU, or on this machine over a Unix socket. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownEnvironment } from "../process/environment.ts";
import { bootGuest } from "../vm/guest.ts";

/** What a shell line gave. */
export interface LineResult {
  status: number;
  /** Standard output and standard error. */
  output: string;
}

/** A place in which shell lines with `vsockbox` in them can be run. */
export interface Place extends AsyncDisposable {
  /** The prompt that is shown in front of each line. */
  prompt: string;
  /** What `$AGENT` stands for. */
  agentAddress: string;
  /** Starts the agent in the background and waits until it is ready. */
  startAgentLine: string;
  run(line: string): Promise<LineResult>;
}

const decoder = new TextDecoder();

/**
 * A guest with a kernel of its own and loopback vsock.
 *
 * @throws {VsockboxError} UNAVAILABLE where QEMU, a kernel or busybox is missing.
 */
export async function guestPlace(
  binary: string,
  onStage: (stage: string) => void,
  signal: AbortSignal,
): Promise<Place> {
  const guest = await bootGuest({ binary, onStage, signal });
  return {
    prompt: "guest$",
    agentAddress: "vsock:1",
    startAgentLine: "vsockbox agent --allow-local --quiet & vsockbox wait $AGENT",
    async run(line) {
      const { status, stdout, stderr } = await guest.run(`AGENT=vsock:1; ${line}`);
      return { status, output: decoder.decode(stdout) + decoder.decode(stderr) };
    },
    [Symbol.asyncDispose]: () => guest.stop(),
  };
}

/** This machine, with the agent on a Unix socket. */
export function localPlace(binary: string): Place {
  const folder = mkdtempSync(join(tmpdir(), "vsockbox-demo-"));
  const address = `unix:${join(folder, "agent.sock")}`;
  const env = { ...ownEnvironment(), AGENT: address, VSOCKBOX: binary };
  const running = new Set<Bun.Subprocess>();
  return {
    prompt: "$",
    agentAddress: address,
    startAgentLine: "vsockbox agent --listen $AGENT --quiet & vsockbox wait $AGENT",
    async run(line) {
      const background = /^(.*) & (.*)$/.exec(line);
      if (background?.[1] !== undefined) {
        running.add(
          Bun.spawn(["sh", "-c", inShell(`exec ${background[1]}`)], {
            env,
            stdio: ["ignore", "ignore", "ignore"],
          }),
        );
      }
      const { exitCode, stdout, stderr } = Bun.spawnSync(
        ["sh", "-c", inShell(background?.[2] ?? line)],
        { env, stdin: "ignore" },
      );
      return { status: exitCode, output: decoder.decode(stdout) + decoder.decode(stderr) };
    },
    async [Symbol.asyncDispose]() {
      for (const subprocess of running) subprocess.kill("SIGTERM");
      await Promise.all([...running].map(({ exited }) => exited));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The word `vsockbox` in a line means this very file, wherever it is. */
function inShell(line: string): string {
  return line.replaceAll(/\bvsockbox (?=exec|wait|agent)/g, '"$VSOCKBOX" ');
}
