/** Commands on a terminal: its modes travel, its bytes are not changed, and it is as before. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { eventually, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { OwnTerminal } from "../support/own-terminal.ts";

let agent: TestAgent;
let scratch: ScratchDirectory;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  agent = await TestAgent.start();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

describe("exec -t", () => {
  test("copies the modes and characters of the client's terminal to the command's", async () => {
    await using terminal = new OwnTerminal();
    terminal.stty(
      "intr",
      "^X",
      "erase",
      "^H",
      "susp",
      "undef",
      "-ixon",
      "iutf8",
      "-echoe",
      "tostop",
    );
    const run = terminal.run(["exec", "-t", agent.address, "--", "stty", "-a"]);
    expect(await terminal.exited(run)).toBe(0);
    await terminal.shows("-echoprt");
    for (const shown of [
      "intr = ^X",
      "erase = ^H",
      "susp = <undef>",
      " -ixon",
      " iutf8",
      " -echoe ",
      " tostop",
    ]) {
      expect(terminal.text).toContain(shown);
    }
    expect(terminal.text).toContain("rows 30; columns 90");
  });

  test("keeps a terminal without iutf8 and with Ctrl-S as it is there, too", async () => {
    await using terminal = new OwnTerminal();
    terminal.stty("-iutf8", "ixon", "echoe");
    const run = terminal.run(["exec", "-t", agent.address, "--", "stty", "-a"]);
    expect(await terminal.exited(run)).toBe(0);
    await terminal.shows("-iutf8");
    expect(terminal.text).toMatch(/ ixon.* -iutf8/s);
  });

  test.each([
    ["printf 'a\\nb\\n'", "a\r\nb\r\n"],
    ["stty -opost; printf 'a\\nb\\n'", "a\nb\n"],
    ["stty -onlcr ocrnl; printf 'a\\rb\\n'", "a\nb\n"],
  ])("shows the output of %j as the guest's terminal made it", async (line, expected) => {
    await using terminal = new OwnTerminal();
    const run = terminal.run(["exec", "-t", agent.address, "--", "sh", "-c", line]);
    expect(await terminal.exited(run)).toBe(0);
    await terminal.shows("b");
    expect(terminal.text).toBe(expected);
  });

  test("with its output in a file has the terminal's size and keys", async () => {
    await using terminal = new OwnTerminal({ rows: 41, cols: 123 });
    const before = terminal.settings;
    const file = scratch.file("output");
    const line = "stty size; read line; echo got $line";
    const run = terminal.run(["exec", "-t", agent.address, "--", "sh", "-c", line], Bun.file(file));
    await eventually("it is raw", () => terminal.settings !== before);
    await eventually("it has begun", () => readFileSync(file, "utf8").includes("41 123\r\n"));
    await terminal.type("typed\r");
    expect(await terminal.exited(run)).toBe(0);
    expect(readFileSync(file, "utf8")).toBe("41 123\r\ntyped\r\ngot typed\r\n");
    expect(terminal.text).toBe("");
    expect(terminal.settings).toBe(before);
  });

  test("refuses to begin if standard input is not a terminal", async () => {
    for (const words of [
      ["exec", "-t", agent.address, "--", "true"],
      ["shell", agent.address],
    ]) {
      expect(await vsockbox(words)).toMatchObject({
        status: 64,
        stdout: "",
        stderr: expect.stringContaining("standard input is not a terminal"),
      });
    }
  });

  const SIGNALS = [
    ...["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2"],
    ...["SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU"],
  ] as NodeJS.Signals[];
  test.each(SIGNALS)(
    "is ended by %s, also if the agent has stopped, and restores the terminal",
    async (signal) => {
      await using stopped = await TestAgent.start();
      for (const isStopped of [false, true]) {
        await using terminal = new OwnTerminal();
        const before = terminal.settings;
        const line = "echo begun; exec sleep 1000";
        const run = terminal.run(["exec", "-t", stopped.address, "--", "sh", "-c", line]);
        await terminal.shows("begun");
        expect(terminal.settings).not.toBe(before);
        if (isStopped) stopped.running.process.kill("SIGSTOP");
        run.kill(signal);
        expect(await terminal.exited(run)).toBeGreaterThan(128);
        expect(terminal.settings).toBe(before);
      }
    },
  );

  test("makes the terminal raw again if it goes on after a stop", async () => {
    await using terminal = new OwnTerminal();
    const before = terminal.settings;
    const line = "echo begun; read line; exit 3";
    const run = terminal.run(["exec", "-t", agent.address, "--", "sh", "-c", line]);
    await terminal.shows("begun");
    const raw = terminal.settings;
    run.kill("SIGSTOP");
    terminal.stty("sane");
    run.kill("SIGCONT");
    await eventually("it is raw", () => terminal.settings === raw);
    await terminal.type("\r");
    expect(await terminal.exited(run)).toBe(3);
    expect(terminal.settings).toBe(before);
  });
});

describe("the modes of a full-screen program", () => {
  const ON = "\u001B[?1049h\u001B[?2004h\u001B[?1000;1006h\u001B[?1h\u001B[?25l";
  const OFF = [
    ...["\u001B[?1000l", "\u001B[?1006l", "\u001B[?2004l"],
    ...["\u001B[?1l", "\u001B[?1049l", "\u001B[?25h"],
  ].join("");
  const line = `printf '$ \\033[?1049h\\033[?2004h\\033[?1000;1006h\\033[?1h\\033[?25l\\033[Hbegun'`;

  /** Starts the program, has `end` end the session, and returns what is shown after that. */
  async function shownAfter(
    words: readonly string[],
    end: (run: Bun.Subprocess, terminal: OwnTerminal) => unknown,
  ): Promise<string> {
    await using terminal = new OwnTerminal();
    const run = terminal.run(words);
    await terminal.shows(`$ ${ON}\u001B[Hbegun`);
    await end(run, terminal);
    await terminal.exited(run);
    return terminal.text.slice(terminal.text.indexOf("begun") + "begun".length);
  }

  const waiting = ["sh", "-c", `${line}; exec sleep 1000`];

  test("are reset if the agent is killed, and the error has its own line", async () => {
    await using own = await TestAgent.start();
    const shown = await shownAfter(["exec", "-t", own.address, "--", ...waiting], () =>
      own.running.process.kill("SIGKILL"),
    );
    expect(shown.startsWith(`${OFF}\r\nvsockbox: `)).toBe(true);
  });

  test("are reset if the user ends the session by ~.", async () => {
    const words = ["exec", "-t", agent.address, "--", ...waiting];
    const shown = await shownAfter(words, (_run, terminal) => terminal.type("~."));
    expect(shown).toBe(`${OFF}\r\nvsockbox: connection closed\r\n`);
  });

  test("are reset if a signal ends the client", async () => {
    const words = ["exec", "-t", agent.address, "--", ...waiting];
    const shown = await shownAfter(words, (run) => run.kill("SIGTERM"));
    expect(shown).toBe(`${OFF}\r\nvsockbox: connection closed\r\n`);
  });

  test("are reset if the user detaches from a session", async () => {
    const start = ["exec", "-d", "-t", "-i", agent.address, "--", ...waiting];
    await using own = new OwnTerminal();
    expect(await own.exited(own.run(start))).toBe(0);
    const id = own.text.trim();
    const shown = await shownAfter(["attach", agent.address, id], (_run, terminal) =>
      terminal.type("~."),
    );
    expect(shown.startsWith(`${OFF}\r\nvsockbox: detached`)).toBe(true);
    await vsockbox(["kill", agent.address, id]);
  });

  test("are left alone if the program ends by itself", async () => {
    const words = ["exec", "-t", agent.address, "--", "sh", "-c", `${line}; read key; exit 3`];
    expect(await shownAfter(words, (_run, terminal) => terminal.type("\r"))).toBe("\r\n");
  });

  test("are not reset in a file", async () => {
    await using terminal = new OwnTerminal();
    const file = scratch.file("modes");
    const words = ["exec", "-t", agent.address, "--", ...waiting];
    const run = terminal.run(words, Bun.file(file));
    await eventually("it has begun", () => readFileSync(file, "utf8").includes("begun"));
    run.kill("SIGTERM");
    await terminal.exited(run);
    expect(readFileSync(file, "utf8").endsWith("begun")).toBe(true);
    expect(terminal.text).toBe("vsockbox: connection closed\r\n");
  });
});

describe("shell", () => {
  const ask = 'echo "$0|$PWD|$HOME|$SHELL|$USER|$LOGNAME|"; exit 7\r';

  /** The passwd(5) entry of the user who runs the tests. */
  function ownAccount() {
    const entries = readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .map((line) => line.split(":"));
    const entry = entries.find(([, , uid]) => Number(uid) === process.getuid?.()) ?? [];
    const [name = "", , , , , home = "", shell = ""] = entry;
    return { name, home, shell };
  }

  /** What a login shell of the guest says of itself. */
  async function answers(...words: string[]): Promise<string[]> {
    await using terminal = new OwnTerminal({ rows: 30, cols: 200 });
    const run = terminal.run(["shell", agent.address, ...words]);
    await terminal.type(ask);
    expect(await terminal.exited(run)).toBe(7);
    // Behind a prompt, maybe; the typed line has dollar signs.
    const [said] = /-\w+\|[^$]*\|(?=\r\n)/.exec(terminal.text) ?? [terminal.text];
    return said.split("|");
  }

  test("is the login shell of the agent's user, in its home", async () => {
    const { name, home, shell } = ownAccount();
    const argv0 = `-${shell.slice(shell.lastIndexOf("/") + 1)}`;
    const expected = [argv0, home, home, shell, name, name, ""];
    expect(await answers()).toEqual(expected);
    expect(await answers("--user", name)).toEqual(expected);
    expect((await answers("--cwd", "/usr"))[1]).toBe("/usr");
    expect((await answers("--env", "HOME=/usr"))[2]).toBe("/usr");
  });

  test.skipIf(process.getuid?.() !== 0)("of a uid without an entry begins in /", async () => {
    const [argv0, cwd, home, , user] = await answers("--user", "54321");
    expect([argv0, cwd, home, user]).toEqual(["-sh", "/", "/", ""]);
  });
});

test.skipIf(process.getuid?.() !== 0)(
  "a uid without an entry has the home / and no name",
  async () => {
    const line = 'echo "$HOME|$USER|$LOGNAME|$SHELL"';
    const words = ["exec", "--user", "54321", agent.address, "--", "sh", "-c", line];
    expect((await vsockbox(words)).stdout).toBe("/|||\n");
  },
);
