/** Commands that run for long end by the signals that are meant to end them, with their cleanup. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { hasSignal, parseSignalMask } from "../../src/process/signal-masks.ts";
import { eventually, Running, ScratchDirectory, TestAgent } from "../support/binary.ts";
import { catches } from "../support/process-state.ts";

const { signals } = constants;
const STRAYS = [
  ...[signals.SIGUSR1, signals.SIGUSR2, signals.SIGALRM, signals.SIGVTALRM, signals.SIGPROF],
  ...[signals.SIGIO, signals.SIGPWR, signals.SIGSTKFLT, signals.SIGXCPU, signals.SIGXFSZ],
  ...[35, 50, 64],
];

let scratch: ScratchDirectory;
let agent: TestAgent;
beforeEach(async () => {
  scratch = new ScratchDirectory();
  agent = await TestAgent.start();
});
afterEach(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

interface LongRunning {
  words: string[];
  /** Contained in its standard error when it is ready. */
  ready: string;
  /** Socket files of it, which its cleanup removes. */
  sockets: string[];
  /** Its exit status after SIGTERM and SIGQUIT; by default 128 + N. */
  status?: number;
}

const KINDS = {
  bridge: () => {
    const path = scratch.file("b.sock");
    const words = ["bridge", "--uds-path", path, "--to", `unix:${scratch.file("to")}`];
    return { words, ready: "listening on", sockets: [path], status: 0 };
  },
  forward: () => {
    const path = scratch.file("f.sock");
    const words = ["forward", agent.address, "-L", `${path}:localhost:1`];
    return { words, ready: "forwarding", sockets: [path], status: 0 };
  },
  listen: () => {
    const path = scratch.file("l.sock");
    return { words: ["listen", `unix:${path}`], ready: "listening on", sockets: [path] };
  },
  "guest-exec": () => {
    const words = ["guest-exec", `unix:${scratch.file("none.sock")}`, "--retry"];
    return { words, ready: "vsockbox:", sockets: [] };
  },
  "guest-exec-host": () => {
    const path = scratch.file("h.sock");
    const words = ["guest-exec-host", `unix:${path}`, "true"];
    return { words, ready: "listening on", sockets: [path] };
  },
  "hybrid-proxy": () => {
    const [socket, uds] = [scratch.file("d.sock"), scratch.file("d.vsock")];
    const words = ["hybrid-proxy", "--socket", socket, "--uds-path", uds];
    return { words, ready: "waiting for its VMM", sockets: [socket, uds], status: 0 };
  },
  "hybrid-proxy --sandbox": () => {
    const [socket, uds] = [scratch.file("d.sock"), scratch.file("d.vsock")];
    const words = ["hybrid-proxy", "--sandbox", "--socket", socket, "--uds-path", uds];
    return { words, ready: "waiting for its VMM", sockets: [socket, uds], status: 0 };
  },
  "shell-server": () => {
    const path = scratch.file("s.sock");
    const words = ["shell-server", "--listen", `unix:${path}`];
    return { words, ready: "listening on", sockets: [path], status: 0 };
  },
} satisfies Record<string, () => LongRunning>;

const NAMES = Object.keys(KINDS) as (keyof typeof KINDS)[];
const longRunning = (name: keyof typeof KINDS): LongRunning => KINDS[name]();

test.each(NAMES)("%s ignores stray signals, and SIGTERM ends it", async (name) => {
  const { words, ready, sockets, status = 143 } = longRunning(name);
  await using running = new Running(words);
  await running.says(ready);
  for (const stray of STRAYS) process.kill(running.pid, stray);
  expect(sockets.map((path) => existsSync(path))).toEqual(sockets.map(() => true));
  running.process.kill("SIGTERM");
  expect(await running.process.exited).toBe(status);
  expect(sockets.filter((path) => existsSync(path))).toEqual([]);
});

test.each(NAMES)("SIGQUIT ends %s with its cleanup", async (name) => {
  const { words, ready, sockets, status = 131 } = longRunning(name);
  await using running = new Running(words);
  await running.says(ready);
  running.process.kill("SIGQUIT");
  expect(await running.process.exited).toBe(status);
  expect(sockets.filter((path) => existsSync(path))).toEqual([]);
});

test.each(NAMES)("%s started with nohup ignores SIGHUP", async (name) => {
  const { words, ready, sockets, status = 143 } = longRunning(name);
  const through = ["sh", "-c", `trap "" HUP; exec "$@"`, "sh"];
  await using running = new Running(words, { through });
  await running.says(ready);
  // Its handler for SIGTERM is there, so one for SIGHUP would be as well.
  await catches(running.pid, "SIGTERM");
  const caught = parseSignalMask(readFileSync(`/proc/${running.pid}/status`, "utf8"), "SigCgt");
  expect(hasSignal(caught, signals.SIGHUP)).toBe(false);
  process.kill(running.pid, signals.SIGHUP);
  process.kill(running.pid, signals.SIGTERM);
  expect(await running.process.exited).toBe(status);
  await eventually("its sockets are removed", () => !sockets.some((path) => existsSync(path)));
});
