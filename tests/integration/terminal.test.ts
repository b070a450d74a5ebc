/** On a real terminal: tmux types and reads the screen. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { eventually, processesWith, ScratchDirectory, TestAgent } from "../support/binary.ts";
import { Screen } from "../support/screen.ts";
import { describeWith } from "../support/tools.ts";
import { socketsAt } from "../support/process-state.ts";

describeWith(["tmux"], "on a terminal", () => {
  let agent: TestAgent;
  let scratch: ScratchDirectory;
  beforeAll(async () => {
    agent = await TestAgent.start();
    scratch = new ScratchDirectory();
  });
  afterAll(async () => {
    await agent[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  let terminal: Screen;
  const tmux = (...args: string[]) => terminal.tmux(...args);
  const screen = () => terminal.text;
  const type = (...keys: string[]) => terminal.type(...keys);
  const shows = (what: string | RegExp) => terminal.shows(what);

  let servers = 0;
  beforeEach(() => {
    terminal = new Screen(scratch.file(`tmux-${servers++}.sock`), { A: agent.address });
  });
  afterEach(() => terminal[Symbol.dispose]());

  test("typed lines go to the command, Ctrl-D ends its input, and the terminal is as before", async () => {
    type(
      "stty -a > /tmp/before.$$; vsockbox exec $A -- cat -n; echo status $?; stty -a | cmp - /tmp/before.$$ && echo same",
      "Enter",
    );
    type("typed", "Enter");
    // The width of the tab depends on the column, which the echo may have moved.
    await shows(/1 +typed/);
    type("C-d");
    await shows(/status 0\nsame/);
    // A descriptor left non-blocking would make the shell's next program fail.
    type("cat; echo left $?", "Enter");
    type("still fine", "Enter");
    await shows(/still fine\nstill fine/);
    type("C-d");
    await shows("left 0");
  });

  test("Ctrl-C goes to the command, and the last line names the signal", async () => {
    type(
      "vsockbox exec $A -- sh -c 'trap \"exit 9\" INT; echo up; while :; do sleep 0.1; done'; echo status $?",
      "Enter",
    );
    await shows(/^(# )?up$/m);
    type("C-c");
    await shows("status 9");
    expect(screen()).toContain("SIGINT sent to the command; once more drops it");
  });

  test("wait shows a progress line and erases it", async () => {
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

  test("a progress line of wide characters stays one line", async () => {
    type(`clear; vsockbox wait unix:/${"宿".repeat(33)} --timeout 3; echo status $?`, "Enter");
    await shows(/^1\.\ds waiting for unix:/m);
    expect(screen().match(/^\d\.\ds waiting/gm)).toHaveLength(1);
    await shows("status 75");
  });

  test("Ctrl-C erases a progress line of the terminal's whole width", async () => {
    type(`clear; vsockbox wait unix:/${"n".repeat(80)}; echo status $?`, "Enter");
    await shows(/^0\.\ds waiting for unix:/m);
    type("C-c");
    await shows("status 130");
    expect(screen()).not.toContain("waiting");
  });

  test("Ctrl-C ends a ping that waits for an agent that has stopped", async () => {
    await using other = await TestAgent.start();
    const { process: agentProcess } = other.running;
    type(`clear; vsockbox ping --interval 0.1 --count 0 ${other.address}; echo status $?`, "Enter");
    await shows(/: 2: [\d.]+ ms/);
    agentProcess.kill("SIGSTOP");
    try {
      type("C-c");
      await shows(/round trips: [^]*status 0/);
      const before = socketsAt(other.path);
      type(`clear; vsockbox ping ${other.address}; echo status $?`, "Enter");
      await eventually("it has connected", () => socketsAt(other.path) > before);
      type("C-c");
      await shows("status 130");
    } finally {
      agentProcess.kill("SIGCONT");
    }
  });

  test("cp sums up copies, and not a file that went to standard output", async () => {
    await Bun.write(scratch.file("short"), "its content\n");
    type(`clear; vsockbox cp $A:${scratch.file("short")} -; echo status $?`, "Enter");
    await shows(/^its content\nstatus 0/m);
  });

  test("rm -i asks before each path, and Ctrl-C leaves the rest alone", async () => {
    const files = ["one", "two", "three", "four"].map((name) => scratch.file(name));
    for (const file of files) await Bun.write(file, "");
    const words = files.map((file) => `$A:${file}`).join(" ");
    type(`clear; vsockbox rm -i ${words}; echo status $?`, "Enter");
    await shows(/Remove\W+unix:\S*one\?/);
    type("y");
    await shows(/Remove\W+unix:\S*two\?/);
    expect(existsSync(scratch.file("one"))).toBe(false);
    type("n");
    await shows(/Remove\W+unix:\S*three\?/);
    type("C-c");
    await shows("status 130");
    expect(files.map((file) => existsSync(file))).toEqual([false, true, true, true]);
    type("echo typed", "Enter");
    await shows(/^typed/m);
  });

  describeWith(["less", "vim.tiny"], "shell", () => {
    const open = async () => {
      type(
        "PS1='host$ '; stty -a > /tmp/before.$$; clear; vsockbox shell $A -e SHELL=/bin/sh; echo status $?",
        "Enter",
      );
      await shows(/[#$] *$/m);
      type("PS1='guest> '; clear", "Enter");
      await shows(/^guest> *$/m);
    };

    test("passes the exit status on, and restores the terminal", async () => {
      await open();
      type("exit 42", "Enter");
      await shows("status 42");
      type("stty -a | cmp - /tmp/before.$$ && echo same", "Enter");
      await shows(/^same/m);
    });

    test("vim and less draw a whole screen, and resize reflows it", async () => {
      await open();
      type("seq 100 > /tmp/lines.$$; vim.tiny -u NONE /tmp/lines.$$", "Enter");
      await shows(/^11\n/m);
      tmux("resize-window", "-x", "60", "-y", "20");
      await shows(/^19\n/m);
      type(":q", "Enter");
      await shows(/^guest> *$/m);
      type("less /tmp/lines.$$", "Enter");
      await shows(/^19\n/m);
      tmux("resize-window", "-x", "70", "-y", "25");
      await shows(/^24\n/m);
      type("q");
      await shows(/^guest> *$/m);
      type("stty size", "Enter");
      await shows("25 70");
      type("rm /tmp/lines.$$; exit", "Enter");
      await shows("status 0");
    });

    test("Ctrl-C reaches the program, not us", async () => {
      await open();
      type("sleep 94.5; echo went on", "Enter");
      await eventually("it runs", () => processesWith("sleep 94.5").length > 0);
      type("C-c");
      await eventually("it is gone", () => processesWith("sleep 94.5").length === 0);
      type("echo still here", "Enter");
      await shows(/^still here/m);
      type("exit", "Enter");
      await shows("status");
    });

    test("~. exits with 255, ends the command, and restores the terminal", async () => {
      await open();
      type("sleep 95.5", "Enter");
      await eventually("it runs", () => processesWith("sleep 95.5").length > 0);
      type("Enter", "~", ".");
      await shows("status 255");
      expect(screen()).toContain("connection closed");
      await eventually("it is gone", () => processesWith("sleep 95.5").length === 0);
      type("stty -a | cmp - /tmp/before.$$ && echo same", "Enter");
      await shows(/^same/m);
    });

    test("an agent that dies restores the terminal, too", async () => {
      await using other = await TestAgent.start();
      type(`A=${other.address}`, "Enter");
      await open();
      other.running.process.kill("SIGKILL");
      await shows("status 255");
      type("stty -a | cmp - /tmp/before.$$ && echo same", "Enter");
      await shows(/^same/m);
    });

    test("exec -t runs one command on the terminal", async () => {
      type("vsockbox exec -t $A -- sh -c 'tty; stty size; exit 3'; echo status $?", "Enter");
      await shows(/\/dev\/pts\/\d+\n12 80\nstatus 3/);
    });
  });

  test("a detached terminal can be left and joined again", async () => {
    type("id=$(vsockbox exec -d -t $A -- sh) && vsockbox attach $A $id", "Enter");
    await shows(/^[$#]$/m);
    type("echo $((40 + 2)); tty", "Enter");
    await shows(/42\n\/dev\/pts/);
    type("Enter", "~", ".");
    await shows("goes on");
    type("clear; echo still $(vsockbox ps $A | grep -c running)", "Enter");
    await shows("still 1");
    type("clear; vsockbox attach $A $id; echo left $?", "Enter");
    await shows(/42\n\/dev\/pts/);
    type("exit 7", "Enter");
    await shows("left 7");
  });

  test("cp shows how far it is, and sums up", async () => {
    const source = scratch.file("large");
    type(`head -c 300000000 /dev/zero | tr '\\0' x > ${source}; clear`, "Enter");
    type(`vsockbox cp ${source} $A:${source}.copy; echo done $?`, "Enter");
    await shows(/large +\d+ % +[\d.]+ [MKi]*B of 286 MiB +[\d.]+ .iB\/s/);
    await shows(/1 file, 286 MiB in [\d.]+ s, .*\ndone 0/);
  });

  test("cp reports that no bytes move, and Ctrl-C ends it", async () => {
    await using other = await TestAgent.start();
    const { process: agentProcess } = other.running;
    const source = scratch.file("slow");
    type(`head -c 900000000 /dev/zero | tr '\\0' x > ${source}; clear`, "Enter");
    type(`vsockbox cp ${source} ${other.address}:${source}.copy; echo done $?`, "Enter");
    await shows(/^\d+\.\ds slow .* % /m);
    agentProcess.kill("SIGSTOP");
    try {
      await shows(/^\d+\.\ds slow .* {2}0 B\/s *$/m);
      type("C-c");
      await shows("done 130");
    } finally {
      agentProcess.kill("SIGCONT");
    }
  });
});
