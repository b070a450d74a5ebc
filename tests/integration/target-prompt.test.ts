/** The question for a target on a real terminal: tmux types and reads the screen. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { ScratchDirectory, shell, TestAgent } from "../support/binary.ts";
import { Screen } from "../support/screen.ts";
import { describeWith } from "../support/tools.ts";

describeWith(["tmux"], "a command without a target on a terminal", () => {
  let agent: TestAgent;
  let scratch: ScratchDirectory;
  let screen: Screen;
  let count = 0;
  beforeAll(async () => {
    agent = await TestAgent.start();
    scratch = new ScratchDirectory();
    mkdirSync(scratch.file("config/vsockbox"), { recursive: true });
    writeFileSync(
      scratch.file("config/vsockbox/config.yaml"),
      `vms:\n  gone:\n    address: "unix:${scratch.file("none")}"\n  web:\n    address: "${agent.address}"\n`,
    );
  });
  afterAll(async () => {
    await agent[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });
  beforeEach(() => {
    screen = new Screen(scratch.file(`tmux-${count++}.sock`), {
      XDG_CONFIG_HOME: scratch.file("config"),
      XDG_RUNTIME_DIR: scratch.path,
      VSOCKBOX_TARGET: "",
      D: scratch.path,
      LANG: "C.UTF-8",
    });
    screen.resize(120, 40);
    screen.type("cd $D; clear", "Enter");
  });
  afterEach(() => screen[Symbol.dispose]());

  const start = async (line: string) => {
    screen.type(`clear; ${line}; echo status $?`, "Enter");
    await screen.shows("Which VM?");
  };

  test("exec shows the states, runs in the chosen one, and prints the line for next time", async () => {
    await start("vsockbox exec -- sh -c 'echo in $PPID'");
    await screen.shows(/gone \(down, ENOENT/);
    screen.type("Down");
    await screen.shows(/web \(ready, vsockbox /);
    screen.print("a question for the VM");
    screen.type("Enter");
    await screen.shows(`in ${agent.running.pid}`);
    await screen.shows("status 0");
    expect(screen.text).toContain("vsockbox exec web -- sh -c 'echo in $PPID'");
  });

  test("shell opens one in the chosen VM", async () => {
    await start("vsockbox shell -e SHELL=/bin/sh");
    screen.type("Down", "Enter");
    await screen.shows(/vsockbox shell web -e '?SHELL=.bin.sh'?\n/);
    await screen.shows(/[#$] *$/m);
    screen.type("exit 7", "Enter");
    await screen.shows("status 7");
  });

  test("cp asks for the target of a path with a colon alone", async () => {
    writeFileSync(scratch.file("file"), "content");
    await start("vsockbox cp -q file :$D/copy");
    screen.type("Down", "Enter");
    await screen.shows("status 0");
    expect(readFileSync(scratch.file("copy"), "utf8")).toBe("content");
    expect(screen.text).toContain("vsockbox cp -q file web:");
  });

  test("forward forwards to the chosen VM", async () => {
    await start("vsockbox forward -L $D/f.sock:/nowhere.sock");
    screen.type("Down", "Enter");
    await screen.shows(/forwarding \S*f\.sock to /);
    screen.type("C-c");
    await screen.shows("status 0");
  });

  test("Ctrl-C ends the question, and the command is not run", async () => {
    await start("vsockbox exec -- touch $D/touched");
    screen.type("C-c");
    await screen.shows("status 130");
    screen.type("ls", "Enter");
    await screen.shows(/config/);
    expect(screen.text).not.toMatch(/^touched$/m);
  });
});

test("nothing is asked if the input or the output is not a terminal", async () => {
  const env = { VSOCKBOX_TARGET: "", XDG_CONFIG_HOME: "/nowhere" };
  for (const words of ["shell", "exec -- ls", "forward -L 1:localhost:1"]) {
    const { status, stdout, stderr } = await shell(`vsockbox ${words} < /dev/null`, { env });
    expect({ words, status, stdout }).toEqual({ words, status: 64, stdout: "" });
    expect(stderr).toContain("TARGET is missing");
  }
  const { status, stdout } = await shell("vsockbox cp file :/copy < /dev/null", { env });
  expect({ status, stdout }).toEqual({ status: 64, stdout: "" });
});
