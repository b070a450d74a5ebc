/** On a real terminal: tmux types and reads the screen. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { dirname } from "node:path";
import { BINARY, eventually, TemporaryFolder, TestAgent } from "../support/binary.ts";
import { describeWith } from "../support/tools.ts";

describeWith(["tmux"], "on a terminal", () => {
  let agent: TestAgent;
  let folder: TemporaryFolder;
  let socket: string;
  beforeAll(async () => {
    agent = await TestAgent.start();
    folder = new TemporaryFolder();
    socket = folder.file("tmux.sock");
  });
  afterAll(async () => {
    await agent[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const tmux = (...args: string[]) => {
    const { stdout, stderr, exitCode } = Bun.spawnSync(
      ["tmux", "-S", socket, "-f", "/dev/null", ...args],
      {
        env: {
          ...process.env,
          PATH: `${dirname(BINARY)}:${process.env["PATH"] ?? ""}`,
          VSOCKBOX_NO_VSOCK: "1",
          A: agent.address,
          PS1: "$ ",
          TERM: "xterm",
        },
      },
    );
    if (exitCode !== 0) throw new Error(stderr.toString());
    return stdout.toString();
  };
  const screen = () => tmux("capture-pane", "-p");
  const type = (...keys: string[]) => tmux("send-keys", ...keys);
  const shows = (what: string | RegExp) =>
    eventually(`the screen shows ${String(what)}:\n${screen()}`, () =>
      typeof what === "string" ? screen().includes(what) : what.test(screen()),
    );

  beforeEach(() => void tmux("new-session", "-d", "-x", "80", "-y", "12", "sh"));
  afterEach(() => void tmux("kill-server"));

  test("typed lines go to the command, Ctrl-D ends its input, and the terminal is as before", async () => {
    type(
      "stty -a > /tmp/before.$$; vsockbox exec $A -- cat -n; echo status $?; stty -a | cmp - /tmp/before.$$ && echo same",
      "Enter",
    );
    type("typed", "Enter");
    await shows("1\ttyped".replace("\t", "  "));
    type("C-d");
    await shows(/status 0\nsame/);
    // A descriptor left non-blocking would make the shell's next program fail.
    type("cat; echo left $?", "Enter");
    type("still fine", "Enter");
    await shows(/still fine\nstill fine/);
    type("C-d");
    await shows("left 0");
  });

  test("Ctrl-C goes to the command, and the line says what happened", async () => {
    type(
      "vsockbox exec $A -- sh -c 'trap \"exit 9\" INT; echo up; while :; do sleep 0.1; done'; echo status $?",
      "Enter",
    );
    await shows(/^up$/m);
    type("C-c");
    await shows("status 9");
    expect(screen()).toContain("SIGINT sent to the command; once more drops it");
  });

  test("wait shows a progress line that goes away", async () => {
    type("clear; vsockbox wait unix:$PWD/nobody --timeout 2; echo status $?", "Enter");
    await shows(/^\d\.\ds waiting for unix:.*: ENOENT/m);
    await shows("status 75");
    expect(screen()).not.toMatch(/^\d\.\ds waiting/m);
  });

  test("a terminal of 20 columns is enough", async () => {
    tmux("resize-window", "-x", "20", "-y", "12");
    type("clear; vsockbox wait unix:/no/b --timeout 1; echo st $?", "Enter");
    await shows(/^\d\.\ds waiting for/m);
    await shows("st 75");
  });
});
