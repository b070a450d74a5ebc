/** vsock-shell on a real terminal; the screens are in the test's output. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { readdirSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { eventually, processesWith, ScratchDirectory } from "../support/binary.ts";
import { Screen } from "../support/screen.ts";
import { describeWith } from "../support/tools.ts";
import {
  cClientLine,
  CShellServer,
  makeFile,
  sha256,
  TestShellServer,
} from "../support/vsock-shell.ts";

describeWith(["tmux", "vim.tiny", "gcc"], "vsock-shell on a terminal", () => {
  let server: TestShellServer;
  let scratch: ScratchDirectory;
  let screen: Screen;
  let count = 0;
  beforeAll(async () => {
    server = await TestShellServer.start();
    scratch = new ScratchDirectory();
    mkdirSync(scratch.file("config/vsockbox"), { recursive: true });
    writeFileSync(
      scratch.file("config/vsockbox/config.yaml"),
      `vms:\n  web:\n    address: "${server.address}"\n  away:\n    address: "unix:${scratch.file("none")}"\n`,
    );
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });
  beforeEach(() => {
    screen = new Screen(scratch.file(`tmux-${count++}.sock`), {
      A: server.address,
      XDG_CONFIG_HOME: scratch.file("config"),
      D: scratch.path,
      LANG: "C.UTF-8",
    });
    screen.resize(80, 24);
    screen.type("cd $D; stty -g > before; clear", "Enter");
  });
  afterEach(() => screen[Symbol.dispose]());

  const line = (text: string) => screen.type(text, "Enter");
  const isRestored = async () => {
    line("clear; stty -g | cmp - before && echo same");
    await screen.shows(/^same/m);
  };
  /** A new size is on its way while the next line is typed already. */
  const isSized = async (size: string) => {
    await eventually(`the size is ${size}`, async () => {
      line("clear; stty size");
      await Bun.sleep(100);
      return screen.text.includes(size);
    });
  };
  const open = async (command = "vsockbox shell-client $A") => {
    line(`PS1='host$ '; clear; ${command}; echo status $?`);
    await screen.shows(/[#$] *$/m);
    line("PS1='guest> '; clear");
    await screen.shows(/^guest> *$/m);
  };

  test("prompts lead from nothing to a shell", async () => {
    line("vsockbox shell-client; echo status $?");
    await screen.shows("Which VM?");
    await screen.shows("web");
    screen.print("which VM:");
    screen.type("Enter");
    await screen.shows("What?");
    screen.print("what to do:");
    screen.type("Enter");
    await screen.shows("vsockbox shell-client web");
    await screen.shows(/[#$] *\n*$/);
    line("PS1='guest> '; echo $((40 + 2))");
    await screen.shows(/^42$/m);
    screen.print("the shell:");
    line("exit 9");
    await screen.shows("status 9");
    await isRestored();
  });

  test("prompts run one command, and show the line that does the same", async () => {
    line("vsockbox shell-client; echo status $?");
    await screen.shows("Which VM?");
    screen.type("Enter");
    await screen.shows("What?");
    screen.type("Down", "Enter");
    await screen.shows("The command");
    line("echo it runs; exit 3");
    await screen.shows("status 3");
    await screen.shows("vsockbox shell-client web 'echo it runs; exit 3'");
    expect(screen.text).toMatch(/^it runs$/m);
    screen.print("one command:");
  });

  test("prompts send a file with a path picker, and show progress", async () => {
    makeFile(scratch.file("picked.bin"), 400_000_000);
    line("vsockbox shell-client; echo status $?");
    await screen.shows("Which VM?");
    screen.type("Enter");
    await screen.shows("What?");
    screen.type("Down", "Down", "Enter");
    await screen.shows("Which file");
    screen.type("/picked");
    await screen.shows("picked.bin");
    screen.print("the path picker:");
    screen.type("Enter");
    await screen.shows("Where it goes");
    for (let key = 0; key < "/tmp/picked.bin".length; key++) screen.type("BSpace");
    line(scratch.file("sent.bin"));
    await screen.shows(/picked\.bin +[1-9]\d? % +[\d.]+ [KMi]*B of 381 MiB/);
    screen.print("on its way:");
    await screen.shows("status 0");
    expect(screen.text).toMatch(/--upload [^]*picked\.bin:/);
    screen.print("there:");
    expect(await sha256(scratch.file("sent.bin"))).toBe(await sha256(scratch.file("picked.bin")));
  });

  test("prompts download a file", async () => {
    writeFileSync(scratch.file("remote.txt"), "remote");
    mkdirSync(scratch.file("into"));
    line("cd into; vsockbox shell-client; echo status $?");
    await screen.shows("Which VM?");
    screen.type("Enter");
    await screen.shows("What?");
    screen.type("Down", "Down", "Down", "Enter");
    await screen.shows("Which file of the VM");
    line(scratch.file("remote.txt"));
    await screen.shows("Into which directory");
    screen.type("Enter");
    await screen.shows("status 0");
    expect(readFileSync(scratch.file("into/remote.txt"), "utf8")).toBe("remote");
    screen.print("taken:");
  });

  test("prompts can be left, and nothing is asked without a terminal", async () => {
    line("vsockbox shell-client; echo status $?");
    await screen.shows("Which VM?");
    screen.type("C-c");
    await screen.shows("status 130");
    await isRestored();
    line("clear; vsockbox shell-client < /dev/null; echo status $?; vsockbox shell-client | cat");
    await screen.shows(/CID is missing[^]*status 64[^]*CID is missing/);
  });

  const hasCursor = () => screen.tmux("display-message", "-p", "#{cursor_flag}").trim() === "1";

  test("a signal at a prompt leaves the cursor visible", async () => {
    line("vsockbox shell-client; echo status $?");
    await screen.shows("Which VM?");
    await eventually("the prompt hides it", () => !hasCursor());
    line("");
    await screen.shows("What?");
    const [pid] = screen.tmux("display-message", "-p", "#{pane_pid}").trim().split("\n");
    const { stdout } = Bun.spawnSync(["pgrep", "-P", pid ?? "", "vsockbox"]);
    process.kill(Number(stdout.toString()), "SIGTERM");
    await screen.shows("status 143");
    expect(hasCursor()).toBe(true);
    await isRestored();
  });

  test("prompts continue after Ctrl-Z and fg", async () => {
    line("vsockbox shell-client; echo status $?");
    await screen.shows("Which VM?");
    screen.type("C-z");
    await screen.shows("Stopped");
    expect(hasCursor()).toBe(true);
    line("clear; fg; echo left $?");
    await screen.shows(/^vsockbox shell-client/m);
    screen.type("C-c");
    await screen.shows("left 130");
    await isRestored();
  });

  test("vim draws a whole screen, and a resize reflows it", async () => {
    await open();
    line(`seq 100 > ${scratch.file("lines")}; vim.tiny -u NONE ${scratch.file("lines")}`);
    await screen.shows(/^22\n/m);
    screen.resize(60, 16);
    await screen.shows(/^15\n/m);
    screen.print("vim, made smaller:");
    expect(screen.text).not.toMatch(/^17$/m);
    screen.type(":q", "Enter");
    await isSized("16 60");
    line("exit");
    await screen.shows("status 0");
    screen.resize(80, 24);
    await isRestored();
  });

  test("Ctrl-C reaches the program, not us", async () => {
    await open();
    line("sleep 88.5; echo went on");
    await eventually("it runs", () => processesWith("sleep 88.5").length > 0);
    screen.type("C-c");
    await eventually("it is gone", () => processesWith("sleep 88.5").length === 0);
    line("echo still here");
    await screen.shows(/^still here/m);
    screen.print("after Ctrl-C:");
    line("exit 5");
    await screen.shows("status 5");
  });

  test("one command has the terminal's size and TERM, and Ctrl-C", async () => {
    line("clear; vsockbox shell-client $A 'stty size; echo $TERM; sleep 87.5'; echo status $?");
    await screen.shows(/^24 80\n(tmux|screen)/m);
    screen.type("C-c");
    await screen.shows("status 130");
    await isRestored();
  });

  test("~. exits with 255, ends the command, and restores the terminal", async () => {
    await open();
    line("sleep 86.5");
    await eventually("it runs", () => processesWith("sleep 86.5").length > 0);
    screen.type("Enter", "~", "?");
    await screen.shows("~.  leaves the session");
    screen.type("Enter", "~", ".");
    await screen.shows("status 255");
    screen.print("after ~.:");
    await eventually("it is gone", () => processesWith("sleep 86.5").length === 0);
    await isRestored();
  });

  test("a server that dies, and a signal, restore the terminal, too", async () => {
    await using other = await TestShellServer.start();
    await open(`vsockbox shell-client ${other.address}`);
    other.running.process.kill("SIGKILL");
    await screen.shows("status 255");
    await isRestored();
    await open();
    const [pid] = processesWith(`shell-client ${server.address}`);
    process.kill(pid ?? 0, "SIGTERM");
    await screen.shows("status 143");
    await isRestored();
  });

  test("upload and download show how far they are, and sum up", async () => {
    makeFile(scratch.file("large"), 600_000_000);
    line("clear; vsockbox shell-client $A -u large:$PWD/large.up; echo status $?");
    await screen.shows(/large +[1-9]\d? % +[\d.]+ [KMi]*B of 572 MiB +[\d.]+ .iB\/s/);
    screen.print("an upload:");
    await screen.shows(/1 file, 572 MiB in [\d.]+ s, .*\nstatus 0/);
    line("clear; vsockbox shell-client $A -d $PWD/large.up:large.down; echo status $?");
    await screen.shows(/large\.down +[1-9]\d? % +[\d.]+ [KMi]*B of 572 MiB +[\d.]+ .iB\/s/);
    screen.print("a download:");
    await screen.shows(/1 file, 572 MiB in [\d.]+ s, .*\nstatus 0/);
    screen.print("the sum:");
  });

  test("an interrupted transfer leaves no file and is reported", async () => {
    makeFile(scratch.file("cut"), 900_000_000);
    line("clear; vsockbox shell-client $A -u cut:$PWD/cut.up; echo status $?");
    await screen.shows(/ % /);
    screen.type("C-c");
    await screen.shows(/interrupted\nstatus 130/);
    expect(readdirSync(scratch.path).filter((name) => /cut\.up|vsockbox-/.test(name))).toEqual([]);
  });

  test("the C client's shell works on our server: size, keys, resize", async () => {
    await open(cClientLine(server.path, "shell"));
    line("stty size");
    await screen.shows("24 80");
    screen.resize(70, 20);
    await isSized("20 70");
    line("vim.tiny -u NONE");
    await screen.shows(/^~\n~/m);
    screen.print("the C client in vim:");
    screen.type(":q", "Enter");
    // vim discards what is typed before it has ended.
    await screen.shows(/vim\.tiny -u NONE\s+guest> *$/m);
    line("exit");
    await screen.shows("status 0");
  });

  test("our shell works on the C server: size, keys, resize, and leaving", async () => {
    await using c = await CShellServer.start();
    await open(`vsockbox shell-client ${c.address}`);
    line("stty size");
    await screen.shows("24 80");
    screen.resize(70, 20);
    await isSized("20 70");
    screen.print("our client on the C server:");
    line("exit");
    await screen.shows("status 0");
    expect(c.said).toBe("");
    screen.resize(80, 24);
    await open(`vsockbox shell-client ${c.address}`);
    screen.type("Enter", "~", ".");
    await screen.shows("status 255");
    await isRestored();
    expect(c.said).toBe("");
  });
});
