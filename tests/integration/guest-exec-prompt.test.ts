/** The prompt of guest-exec-host on a real terminal: tmux types and reads the screen. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { BINARY, eventually, Running, ScratchDirectory } from "../support/binary.ts";
import { describeWith } from "../support/tools.ts";

describeWith(["tmux"], "guest-exec-host on a terminal", () => {
  let scratch: ScratchDirectory;
  let address: string;

  const tmux = (...args: string[]) => {
    const { stdout, stderr, exitCode } = Bun.spawnSync(
      ["tmux", "-S", scratch.file("tmux"), "-f", "/dev/null", ...args],
      {
        env: {
          ...process.env,
          PATH: `${dirname(BINARY)}:${process.env["PATH"] ?? ""}`,
          VSOCKBOX_NO_VSOCK: "1",
          XDG_STATE_HOME: scratch.file("state"),
          A: address,
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
  const shows = async (what: string | RegExp) => {
    const seen = () => (typeof what === "string" ? screen().includes(what) : what.test(screen()));
    try {
      await eventually("it is on the screen", seen);
    } catch {
      throw new Error(`the screen does not show ${String(what)}:\n${screen()}`);
    }
  };
  const open = async (options = "--persistent --report") => {
    type(`clear; vsockbox guest-exec-host $A ${options}; echo status $?`, "Enter");
    await shows(/^no guest> *$/m);
    await shows("listening on");
  };
  const guest = () => new Running(["guest-exec", address, "persistent", "--report", "-q"]);

  beforeEach(() => {
    scratch = new ScratchDirectory();
    address = `unix:${scratch.file("h.sock")}`;
    tmux("new-session", "-d", "-x", "80", "-y", "24", "sh");
  });
  afterEach(() => {
    tmux("kill-server");
    scratch[Symbol.dispose]();
  });

  test("shows who is connected, and results above the prompt", async () => {
    await open();
    await using first = guest();
    await shows(/^vsockbox: guest 1 is connected \(unix\)\nguest 1> *$/m);
    type("echo a result; exit 3", "Enter");
    await shows(/^1 \| a result\nvsockbox: guest 1: command 1 exited with status 3\nguest 1> *$/m);
    await using _second = guest();
    await shows(/^guests 1 2> *$/m);
    type("echo both", "Enter");
    await shows("1 | both");
    await shows("2 | both");
    first.process.kill("SIGTERM");
    await shows(/^guest 2> *$/m);
    type("C-d");
    await shows("status 3");
  });

  test("the typed text stays on the line when a guest connects", async () => {
    await open();
    type("echo half");
    await shows(/^no guest> echo half *$/m);
    await using _guest = guest();
    await shows(/^guest 1> echo half *$/m);
    type(" typed", "Enter");
    await shows("1 | half typed");
  });

  test("a typed line may have several rows", async () => {
    tmux("resize-window", "-x", "30", "-y", "24");
    await open();
    type(`echo ${"long ".repeat(8)}`);
    await shows(/^long long/m);
    await using _guest = guest();
    await shows(/^vsockbox: guest 1 is connected/m);
    await shows(/^guest 1> echo long/m);
    expect(screen()).not.toContain("no guest> echo");
  });

  test("continues after Ctrl-Z and fg", async () => {
    await open();
    await using _guest = guest();
    await shows(/^guest 1> *$/m);
    type("C-z");
    await shows("Stopped");
    type("fg", "Enter");
    await shows(/guest 1> *$/m);
    type("echo went on", "Enter");
    await shows("1 | went on");
    type("C-d");
    await shows(/^vsockbox: guest 1 has closed\n[$#] *$/m);
  });

  test("a line that is typed before a guest is there waits for it", async () => {
    await open("--persistent --report --once");
    type("echo early", "Enter");
    await shows("waiting for a guest");
    await using early = guest();
    await shows(/^early$/m);
    type("C-d");
    await shows("status 0");
    expect(await early.process.exited).toBe(0);
  });

  test("has the lines of the last time", async () => {
    for (const word of ["one", "two"]) {
      await open();
      await using _guest = guest();
      await shows(/^guest 1> *$/m);
      if (word === "one") type("echo remembered", "Enter");
      else type("Up", "Enter");
      await shows("1 | remembered");
      type("C-d");
      await shows("status 0");
    }
    const file = scratch.file("state/vsockbox/guest-exec-history");
    expect(readFileSync(file, "utf8")).toBe("echo remembered\n");
  });

  test("Ctrl-C empties the line, then asks, then exits; the terminal is as before", async () => {
    type("stty -a > /tmp/before.$$", "Enter");
    await open();
    type("abc");
    await shows("no guest> abc");
    type("C-c");
    await shows(/^no guest> *$/m);
    type("C-c");
    await shows("once more, or Ctrl-D, ends the prompt");
    type("C-c");
    await shows("status 130");
    type("stty -a | cmp - /tmp/before.$$ && echo same; rm /tmp/before.$$", "Enter");
    await shows(/^same/m);
    expect(existsSync(scratch.file("h.sock"))).toBe(false);
  });

  test("a line that no guest accepts is reported and not sent", async () => {
    await open();
    tmux("set-buffer", "x".repeat(2100));
    tmux("paste-buffer");
    type("Enter");
    await shows("not sent: it has 2100 bytes");
    type("C-d");
    await shows("status 0");
  });
});
