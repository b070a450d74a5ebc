/** `vsockbox mount` over a Unix socket, with the kernel's FUSE: programs work on the host's directory. */
import { describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { homeOf, systemUsers } from "../../src/process/users.ts";
import { FEATURES } from "../../src/protocols/agent/hello.ts";
import { WAKE_WORD } from "../../src/vfs/mount/wake-word.ts";
import {
  BINARY,
  eventually,
  Running,
  ScratchDirectory,
  shell,
  vsockbox,
} from "../support/binary.ts";
import { hostileAgent } from "../support/hostile-agent.ts";
import { expectShape, shapeOf } from "../support/json-shapes.ts";
import { MountedExport } from "../support/mounted-export.ts";
import { NO_MOUNTS } from "../support/mount-namespace.ts";

const suite = describe.skipIf(NO_MOUNTS !== undefined);
const named = (name: string) =>
  NO_MOUNTS === undefined ? name : `${name} (skipped: ${NO_MOUNTS})`;

const GIT = "git -c user.email=a@example.org -c user.name=a -c init.defaultBranch=main";
/** A tree of every kind of file; its listing with hashes is compared. */
const MAKE_TREE = `mkdir -p t/a/b t/empty && for i in $(seq 120); do echo "line $i" > t/a/f$i; done &&
  head -c 3000000 /dev/urandom > t/a/b/large && ln -s ../a/f1 t/link && ln t/a/f2 t/hard &&
  mkfifo t/fifo && printf x > "t/new
line" && printf x > $'t/\\xff\\xfe' && chmod 751 t/a && touch -d 2001-02-03T04:05:06.789 t/a/f3 &&
  truncate -s 60M t/sparse && chmod u+s,o-r t/a/f4 && chown 12:34 t/a/f5`;
/** A listing with everything of each file; times may be left out. */
const listing = (times: string) =>
  String.raw`find . -printf '%P %y %m %U %G %s %l %n ${times}\0' | sort -z | tr '\0' '\n' &&
  find . -type f -size -50M -print0 | sort -z | xargs -0 sha256sum`;

suite(named("a mounted directory"), () => {
  test.each(["none", "auto", "always"])(
    "holds files of every kind, with --cache %s",
    async (cache) => {
      await using mounted = await MountedExport.start({ mountArgs: ["--cache", cache] });
      await mounted.output(MAKE_TREE);
      // With written data held back, the host's time is that of its own clock's next tick.
      const list = listing(cache === "always" ? "" : "%T@");
      const inside = await mounted.output(`cd t && ${list}`);
      const outside = await shell(list, { cwd: mounted.file("t"), env: { LC_ALL: "C" } });
      expect(inside).toBe(outside.stdout);
      expect(inside).toContain("sparse f 644 0 0 62914560 ");
      await mounted.output(
        "cp -a t copy && tar -S -H pax -cf t.tar t && mkdir x && tar -xf t.tar -C x",
      );
      const copies = ["copy", "x/t"].map((name) => mounted.output(`cd ${name} && ${list}`));
      for (const copy of await Promise.all(copies)) expect(copy).toBe(inside);
      await mounted.output("rm -rf copy x t t.tar");
      await eventually("the host has no files", () => fs.readdirSync(mounted.source).length === 0);
    },
  );

  test("serves git: clone, status, commit, gc, fsck", async () => {
    await using mounted = await MountedExport.start();
    await mounted.output(
      `${GIT} init -q r && cd r && for i in $(seq 60); do echo $i > f$i; done && ${GIT} add -A &&
       ${GIT} commit -qm one && ${GIT} clone -q . ../c && cd ../c && echo more >> f7 && rm f8`,
    );
    expect(await mounted.output(`cd c && git status --short`)).toBe(" M f7\n D f8\n");
    await mounted.output(`cd c && ${GIT} commit -qam two && git gc -q && git fsck --strict`);
    const { stdout } = await shell("git -c safe.directory='*' log --format=%s", {
      cwd: mounted.file("c"),
    });
    expect(stdout).toBe("two\none\n");
  });

  test("obeys POSIX for open files, renames, appends and maps", async () => {
    await using mounted = await MountedExport.start();
    const script = join(import.meta.dir, "../support/posix-files.py");
    const { stdout, stderr, status } = await mounted.run(`python3 ${script}`);
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    expect(stdout).toBe("all hold\n");
  });

  test("appends of two processes at once are all there", async () => {
    await using mounted = await MountedExport.start();
    await mounted.output(
      `for p in a b; do for i in $(seq 200); do echo $p$i >> log; done & done; wait`,
    );
    const lines = fs.readFileSync(mounted.file("log"), "utf8").trimEnd().split("\n");
    const expected = ["a", "b"].flatMap((p) => Array.from({ length: 200 }, (_, i) => p + (i + 1)));
    expect(lines.toSorted()).toEqual(expected.toSorted());
  });
});

suite(named("a directory that both sides use"), () => {
  test.each(["auto", "none"])(
    "keeps what both append to one file, with --cache %s",
    async (mode) => {
      await using mounted = await MountedExport.start({ mountArgs: ["--cache", mode] });
      const log = mounted.file("log");
      const line = "a line of the host that is longer than those of the guest";
      const has = (text: string) =>
        eventually(text, () => fs.readFileSync(log, "utf8").endsWith(text));
      const guest = mounted.spawn(`exec 3>>log; echo one >&3; until [ -e go ]; do sleep 0.05; done
      echo two >&3; cat log`);
      await eventually("the guest's file", () => fs.existsSync(log));
      await has("one\n");
      fs.appendFileSync(log, `${line}\n`);
      fs.writeFileSync(mounted.file("go"), "");
      const all = `one\n${line}\ntwo\n`;
      expect(await new Response(guest.stdout).text()).toBe(all);
      expect(fs.readFileSync(log, "utf8")).toBe(all);
    },
  );

  test("shows at once what has changed on the host", async () => {
    await using mounted = await MountedExport.start();
    fs.writeFileSync(mounted.file("f"), "old");
    fs.mkdirSync(mounted.file("d"));
    expect(await mounted.output("cat f; ls d; stat -c %s f")).toBe("old3\n");
    fs.writeFileSync(mounted.file("f"), "changed");
    fs.writeFileSync(mounted.file("d/new"), "");
    expect(await mounted.output("ls d")).toBe("new\n");
    await eventually("the new size", async () => (await mounted.output("stat -c %s f")) === "7\n");
    expect(await mounted.output("cat f")).toBe("changed");
    fs.writeFileSync(mounted.file("other"), "replaced");
    fs.renameSync(mounted.file("other"), mounted.file("f"));
    await eventually("the new file", async () => (await mounted.output("cat f")) === "replaced");
    fs.rmSync(mounted.file("f"));
    await eventually("no file", async () => (await mounted.run("cat f")).status !== 0);
  });

  test("has files, FIFOs and sockets that poll(2) reports at once", async () => {
    await using mounted = await MountedExport.start();
    const script = `
import os, select, socket
def polled(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLOUT)
    return [events for _, events in poll.poll(60000)]
print(polled(os.open("f", os.O_RDWR | os.O_CREAT)) == [select.POLLIN | select.POLLOUT])
os.mkfifo("fifo")
fifo = os.open("fifo", os.O_RDWR)
print(polled(fifo) == [select.POLLOUT])
os.write(fifo, b"x")
print(polled(fifo) == [select.POLLIN | select.POLLOUT])
server = socket.socket(socket.AF_UNIX)
server.bind("socket")
server.listen()
client = socket.socket(socket.AF_UNIX)
client.connect("socket")
print(polled(server.fileno()) == [select.POLLIN])`;
    expect(await mounted.output(`python3 -c '${script}'`)).toBe("True\n".repeat(4));
  });

  test("reports what it has mounted as JSON", async () => {
    await using mounted = await MountedExport.exportOnly();
    // Without a name it is the first export, whose name the host sends.
    const line = await mounted.startMount(["--json"]);
    expect(JSON.parse(line)).toEqual({
      ...{ mounted: mounted.target, address: mounted.address, export: "src" },
      ...{ read_only: false, dialect: "vsockbox" },
    });
    const mounts = await mounted.output(`grep ' ${mounted.target} ' /proc/self/mounts`, "/");
    expect(mounts).toStartWith(
      `${mounted.address} ${mounted.target} fuse.vsockbox rw,nosuid,nodev`,
    );
    expect(mounts).toContain("default_permissions,allow_other");
  });
});

suite(named("changes on the host, and refused ones of the guest"), () => {
  test.each([
    ["a mount", {}],
    ["a read-only mount", { mountArgs: ["--read-only"] }],
    ["a mount of a read-only export", { exportArgs: ["--read-only"] }],
  ])("wake watches of %s", async (_, options) => {
    await using mounted = await MountedExport.start(options);
    fs.mkdirSync(mounted.file("d"));
    fs.writeFileSync(mounted.file("d/f"), "old");
    const script = join(import.meta.dir, "../support/watch-once.ts");
    const watcher = mounted.spawn(`exec ${process.execPath} ${script} d`);
    let seen = "";
    const reading = (async () => {
      for await (const chunk of watcher.stdout) seen += new TextDecoder().decode(chunk);
    })();
    await eventually("the watch is there", () => seen.includes("watching"));
    const before = fs.statSync(mounted.file("d/f")).mtimeMs;
    await eventually("an event for the file", () => {
      fs.appendFileSync(mounted.file("d/f"), "x");
      return seen.includes("change f");
    });
    expect(fs.statSync(mounted.file("d/f")).mtimeMs).toBeGreaterThan(before);
    fs.writeFileSync(mounted.file("d/new"), "");
    await eventually("an event for a new file", () => / new\n/.test(seen));
    watcher.kill();
    await reading;
  });

  test("make a mount read-only if either side wants it", async () => {
    for (const options of [{ exportArgs: ["--read-only"] }, { mountArgs: ["--read-only"] }]) {
      await using mounted = await MountedExport.exportOnly(options);
      fs.writeFileSync(mounted.file("f"), "data");
      const line = await mounted.startMount(options.mountArgs);
      expect(line).toEndWith(", read-only\n");
      const { stdout, stderr } = await mounted.run("cat f; touch new; rm -f f");
      expect(stdout).toBe("data");
      expect(stderr.match(/Read-only file system/g)?.length).toBe(2);
      const mounts = await mounted.output(`grep ' ${mounted.target} ' /proc/self/mounts`, "/");
      expect(mounts).toContain(" fuse.vsockbox ro,nosuid,nodev");
    }
  });

  test("are refused through another mount of a read-only one", async () => {
    await using mounted = await MountedExport.start({ mountArgs: ["--read-only"] });
    fs.writeFileSync(mounted.file("f"), "data");
    const other = mounted.scratch.file("other");
    fs.mkdirSync(other);
    await mounted.output(`mount --bind ${mounted.target} ${other}`, "/");
    await mounted.output(`mount -o remount,bind,rw ${other}`, "/");
    const lines = ["cat f", "touch -d 2020-01-01 f", "echo x >> f", "rm -f f", "mkdir d", "mv f g"];
    const { stdout, stderr } = await mounted.run(lines.join("; "), other);
    expect(stdout).toBe("data");
    expect(stderr.match(/Read-only file system/g)?.length).toBe(lines.length - 1);
    expect(fs.readdirSync(mounted.source)).toEqual(["f"]);
    expect(fs.readFileSync(mounted.file("f"), "utf8")).toBe("data");
  });

  test("set no times of files that a link of the host leads to", async () => {
    await using mounted = await MountedExport.start();
    const outside = mounted.scratch.file("outside");
    fs.mkdirSync(outside);
    fs.writeFileSync(join(outside, "f"), "");
    fs.utimesSync(join(outside, "f"), 1, 1);
    const woken = `${mounted.target}\\0link/f\\0f\\0`;
    fs.symlinkSync(outside, mounted.file("link"));
    fs.writeFileSync(mounted.file("f"), "");
    fs.utimesSync(mounted.file("f"), 1, 1);
    // The words of the process that wakes watches; this one is not the mount's, and may change files.
    await mounted.output(`printf '${woken}' | $VSOCKBOX ${WAKE_WORD}`, "/");
    expect(fs.statSync(join(outside, "f")).mtimeMs).toBe(1000);
    expect(fs.statSync(mounted.file("f")).mtimeMs).toBeGreaterThan(1000);
  });
});

suite(named("the end of a mount"), () => {
  test.each(["SIGTERM", "SIGINT"] as const)("comes with %s, also in use", async (signal) => {
    await using mounted = await MountedExport.start();
    const user = mounted.spawn("exec 5> open; sleep 100");
    await eventually("the file is there", () => fs.existsSync(mounted.file("open")));
    mounted.mount.process.kill(signal);
    expect(await mounted.mount.process.exited).toBe(0);
    expect(await mounted.isMounted()).toBe(false);
    user.kill();
    await user.exited;
  });

  test("comes with umount, which refuses while files are in use", async () => {
    await using mounted = await MountedExport.start();
    const user = mounted.spawn("sleep 100");
    await eventually("it is in use", async () => {
      const { status, stderr } = await mounted.run(`$VSOCKBOX umount ${mounted.target}`, "/");
      return status === 74 && stderr.includes("--lazy");
    });
    user.kill();
    await user.exited;
    await eventually("unmounted", async () => {
      const { status } = await mounted.run(`$VSOCKBOX umount ${mounted.target}/`, "/");
      return status === 0;
    });
    expect(await mounted.mount.process.exited).toBe(0);
    const again = await mounted.run(`$VSOCKBOX umount ${mounted.target}`, "/");
    expect(again.stderr).toContain("it is not mounted");
    expect(again.status).toBe(74);
    // Each of several directories is tried, and the first failure decides.
    await mounted.startMount();
    const busy = mounted.spawn("sleep 100");
    const both = `$VSOCKBOX umount --json --lazy ${mounted.source} ${mounted.target}`;
    await eventually("it is in use", async () => {
      const { status } = await mounted.run(`$VSOCKBOX umount ${mounted.target}`, "/");
      if (status === 0) await mounted.startMount();
      return status === 74;
    });
    const objects = await mounted.run(both, "/");
    expect(objects.status).toBe(74);
    const [failed, done] = objects.stdout
      .trimEnd()
      .split("\n")
      .map((line): unknown => JSON.parse(line));
    expect(failed).toMatchObject({ error: { code: "IO", message: expect.any(String) } });
    expectShape(done, shapeOf("umount"));
    expect(done).toEqual({ unmounted: mounted.target, detached: true });
    busy.kill();
    await busy.exited;
    const other = await mounted.run("$VSOCKBOX umount /proc", "/");
    expect(other.stderr).toContain("it is a mount of proc, not of vsockbox");
  });

  test("comes with the host's: open files fail at once, and the directory is free", async () => {
    await using mounted = await MountedExport.start();
    fs.writeFileSync(mounted.file("f"), "data");
    mounted.host.process.kill("SIGSTOP");
    const waiting = mounted.run("echo > ready; exec 5<mnt/f; cat <&5", mounted.scratch.path);
    await eventually("the program runs", () => fs.existsSync(mounted.scratch.file("ready")));
    await mounted.killHost();
    const { stderr, status } = await waiting;
    expect(status).not.toBe(0);
    expect(stderr).toContain("Transport endpoint is not connected");
    expect(await mounted.mount.process.exited).toBe(255);
    expect(mounted.mount.stderr).toContain("vsockbox: cannot ");
    expect(await mounted.isMounted()).toBe(false);
  });

  test("by SIGKILL under load fails all requests of its programs", async () => {
    await using mounted = await MountedExport.start();
    fs.writeFileSync(mounted.file("kept"), "kept");
    const load = [1, 2, 3].map((number) =>
      mounted.run(`while echo x > f${number} && cat f${number} && ls; do :; done`),
    );
    await eventually("there is load", () => fs.existsSync(mounted.file("f3")));
    mounted.mount.process.kill("SIGKILL");
    for (const { stderr } of await Promise.all(load)) {
      expect(stderr).toMatch(/Transport endpoint|Software caused connection abort/);
    }
    await mounted.output(`$VSOCKBOX umount --lazy ${mounted.target}`, "/");
    await mounted.startMount();
    expect(await mounted.output("cat kept")).toBe("kept");
  });
});

suite(named("a mount that reconnects"), () => {
  test("goes on after a restart of the host, with its open files", async () => {
    await using mounted = await MountedExport.start({ mountArgs: ["--reconnect"] });
    fs.writeFileSync(mounted.file("kept"), "kept");
    fs.writeFileSync(mounted.file("replaced"), "old");
    fs.mkdirSync(mounted.file("d"));
    const script = `exec 5<kept 6<replaced 7>>written; echo a >&7; mv d e; echo ready > ../ready;
      while [ ! -e ../go ]; do sleep 0.02; done; cat <&5; cat <&6; echo b >&7; cat written; ls`;
    const program = mounted.run(script);
    await eventually("the files are open", () => fs.existsSync(mounted.scratch.file("ready")));
    await mounted.killHost();
    expect((await mounted.run("cat kept")).stderr).toContain("Input/output error");
    fs.writeFileSync(mounted.file("other"), "new");
    fs.renameSync(mounted.file("other"), mounted.file("replaced"));
    await mounted.startHost();
    await mounted.mount.says("connected again, with 2 open files; 1 open file cannot be used");
    fs.writeFileSync(mounted.scratch.file("go"), "");
    const { stdout, stderr } = await program;
    expect(stdout).toBe("kepta\nb\ne\nkept\nreplaced\nwritten\n");
    expect(stderr).toContain("Stale file handle");
    expect(await mounted.output("cat replaced")).toBe("new");
  });

  test("can be unmounted and ended while the host is lost", async () => {
    await using mounted = await MountedExport.start({ mountArgs: ["--reconnect"] });
    await mounted.killHost();
    await mounted.mount.says("files fail until it is back");
    mounted.mount.process.kill("SIGTERM");
    expect(await mounted.mount.process.exited).toBe(0);
    expect(await mounted.isMounted()).toBe(false);
  });
});

suite(named("a mount in the background"), () => {
  test("is made by the helper of mount(8)", async () => {
    await using mounted = await MountedExport.exportOnly();
    const helper = mounted.scratch.file("mount.vsockbox");
    fs.symlinkSync(BINARY, helper);
    const pidFile = mounted.scratch.file("pid");
    fs.writeFileSync(mounted.file("f"), "data");
    const words = `${mounted.address} ${mounted.target} -n -o ro,cache=none,nofail --pid-file ${pidFile}`;
    await mounted.output(`${helper} ${words}`, "/");
    expect(await mounted.output("cat f; touch f 2>/dev/null || echo refused")).toBe(
      "datarefused\n",
    );
    const pid = Number(fs.readFileSync(pidFile, "utf8"));
    await mounted.output(`$VSOCKBOX umount ${mounted.target}`, "/");
    await eventually("it has ended", () => !fs.existsSync(`/proc/${pid}`));
  });

  test("reports why it was not made", async () => {
    await using mounted = await MountedExport.exportOnly();
    const missing = await mounted.run(
      `$VSOCKBOX mount ${mounted.address} ${mounted.target} --export none --daemon`,
      "/",
    );
    expect(missing.stderr).toContain('it does not export "none"');
    expect(missing.stderr).toContain("hint: the host's `vsockbox export` prints the names");
    const nowhere = mounted.scratch.file("no such");
    const absent = await vsockbox(["mount", mounted.address, nowhere]);
    expect(absent.stderr).toContain(`hint: make it first: mkdir -p '${nowhere}'`);
    expect(missing.status).toBe(69);
    const file = await mounted.run(`$VSOCKBOX mount ${mounted.address} ${mounted.source}/x`, "/");
    expect(file.stderr).toContain("no such file or directory");
    expect(await mounted.isMounted()).toBe(false);
  });

  test("waits longer than other services for its host", async () => {
    await using mounted = await MountedExport.exportOnly();
    await mounted.killHost();
    const words = `--wait 40s --pid-file ${mounted.scratch.file("pid")} --daemon`;
    const made = mounted.run(`$VSOCKBOX mount ${mounted.address} ${mounted.target} ${words}`, "/");
    // Longer than the ten seconds of others.
    await Bun.sleep(11_000);
    fs.rmSync(mounted.scratch.file("vfs.sock"));
    await mounted.startHost();
    expect(await made).toMatchObject({ status: 0, stderr: "" });
    await mounted.output(`$VSOCKBOX umount ${mounted.target}`, "/");
  });

  test("waits for a host that does not listen yet", async () => {
    await using mounted = await MountedExport.exportOnly();
    await mounted.killHost();
    fs.rmSync(mounted.scratch.file("vfs.sock"));
    const line = mounted.startMount(["--wait", "60s"]);
    await mounted.startHost();
    expect(await line).toContain("mounted ");
    expect(await mounted.output("ls -A")).toBe("");
  });
});

suite(named("a mount that is refused"), () => {
  test("is refused on a mount, also for the helper, and for a directory that leads there", async () => {
    await using mounted = await MountedExport.start();
    fs.symlinkSync(mounted.target, mounted.scratch.file("link"));
    const helper = mounted.scratch.file("mount.vsockbox");
    fs.symlinkSync(BINARY, helper);
    const words = (target: string) => `mount ${mounted.address} ${target}`;
    const commands = [
      `$VSOCKBOX ${words(mounted.target)}`,
      `$VSOCKBOX ${words(mounted.scratch.file("link"))} --daemon`,
      `${helper} ${mounted.address} ${mounted.target} -o ro`,
    ];
    // A stopped mount answers nothing.
    for (const signal of ["SIGCONT", "SIGSTOP"] as const) {
      mounted.mount.process.kill(signal);
      for (const command of signal === "SIGSTOP" ? commands.slice(0, 1) : commands) {
        expect(await mounted.run(command, "/")).toEqual({
          status: 73,
          stdout: "",
          stderr:
            `vsockbox: cannot mount ${mounted.target}: ${mounted.address} (fuse.vsockbox) is mounted there already (EBUSY)\n` +
            `  hint: end that mount first: vsockbox umount ${mounted.target}\n`,
        });
      }
    }
    mounted.mount.process.kill("SIGCONT");
    const count = await mounted.output(`grep -c ' ${mounted.target} ' /proc/self/mounts`, "/");
    expect(count).toBe("1\n");
  });

  test("is refused if the directory becomes a mount while it waits for the host", async () => {
    await using mounted = await MountedExport.exportOnly();
    const socket = mounted.scratch.file("late.sock");
    const waiting = mounted.run(`$VSOCKBOX mount unix:${socket} ${mounted.target} --wait 60s`, "/");
    await mounted.startMount();
    await using late = new Running(["export", mounted.source, "--listen", `unix:${socket}`]);
    await late.says("listening on");
    expect(await waiting).toMatchObject({
      status: 73,
      stderr: expect.stringContaining("is mounted there already"),
    });
  });

  test.each([
    [["--type", "ext4"], 'invalid value "ext4" for --type: expected a type such as fuse.vsockbox'],
    [["--type", "fuse."], 'invalid value "fuse." for --type'],
    [["--options", "ro,huh"], 'invalid value "huh" for --options'],
    [["--export", "a/b"], 'invalid value "a/b" for --export'],
    [["--go-root", "work"], 'invalid value "work" for --go-root: expected an absolute path'],
    [["--cache", "much"], 'invalid value "much" for --cache'],
  ])("checks %p before it connects", async (options, message) => {
    using scratch = new ScratchDirectory();
    const log = scratch.file("log");
    const words = ["mount", "unix:/nonexistent/x.sock", scratch.path, "--log-file", log];
    expect(await vsockbox([...words, ...options])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining(message),
    });
    expect(fs.existsSync(log)).toBe(false);
  });

  test("without words names the directory", async () => {
    expect(await vsockbox(["mount"])).toMatchObject({
      status: 64,
      stderr:
        "vsockbox: mount: DIR is missing\n  hint: usage: vsockbox mount [OPTIONS] [SOURCE] DIR\n",
    });
  });
});

suite(named("the source of a mount"), () => {
  test("names what answers in place of an export, at once", async () => {
    await using mounted = await MountedExport.exportOnly();
    const socket = mounted.scratch.file("agent.sock");
    await using agent = new Running(["agent", "--listen", `unix:${socket}`]);
    await agent.says("listening on");
    const mount = (address: string, ...options: string[]) =>
      mounted.run(`$VSOCKBOX mount ${address} ${mounted.target} ${options.join(" ")}`, "/");
    // It does not wait for the time-out: that is an error of its own.
    expect(await mount(`unix:${socket}`, "--connect-timeout", "99s")).toEqual({
      status: 65,
      stdout: "",
      stderr:
        `vsockbox: cannot connect to unix:${socket}: a vsockbox agent answers there, not \`vsockbox export\`\n` +
        "  hint: `vsockbox export` listens on port 5001 unless --listen has another address; " +
        `through an agent, its host mounts: \`vsockbox share DIR unix:${socket}:/PATH\`\n`,
    });
    const silent = mounted.scratch.file("silent.sock");
    await using listener = new Running(["listen", "-k", `unix:${silent}`]);
    await listener.says("listening on");
    expect(await mount(`unix:${silent}`, "--connect-timeout", "200ms")).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("has not answered as an export within 0.2 s"),
    });
    const vmm = mounted.scratch.file("vmm");
    await using bridge = new Running([
      ...["bridge", "--uds-path", vmm, "--to", `unix:${vmm}-guest`],
    ]);
    await bridge.says("listening on");
    const guest = `unix:${vmm}-guest_5001`;
    await using inGuest = new Running(["export", mounted.source, "--listen", guest]);
    await inGuest.says("listening on");
    expect(await mount(`unix:${vmm}`)).toMatchObject({
      status: 65,
      stderr: expect.stringContaining(`hint: its address is hybrid:${vmm}:5001`),
    });
  });

  test("finds the name of an export after the path of a socket", async () => {
    await using mounted = await MountedExport.exportOnly({ exportArgs: [] });
    const mount = (source: string) =>
      mounted.run(`$VSOCKBOX mount ${source} ${mounted.target} --daemon`, "/");
    expect(await mount(`${mounted.address}/src`)).toMatchObject({ status: 0 });
    await mounted.output(`$VSOCKBOX umount ${mounted.target}`, "/");
    expect(await mount(`${mounted.address}/other`)).toMatchObject({
      status: 69,
      stderr: expect.stringContaining('it does not export "other"'),
    });
    const none = `unix:${mounted.scratch.file("none.sock")}`;
    expect(await mount(`${none}/src`)).toMatchObject({
      status: 69,
      stderr: expect.stringContaining(
        `hint: if src is the name of an export, write ${none} and --export src\n`,
      ),
    });
  });
});

suite(named("a directory that the host shares into a running guest"), () => {
  test("is mounted through its agent, until a signal", async () => {
    await using mounted = await MountedExport.exportOnly();
    const socket = mounted.scratch.file("agent.sock");
    await using agent = new Running(["agent", "--listen", `unix:${socket}`], {
      through: mounted.namespace.through,
    });
    await agent.says("listening on");
    fs.writeFileSync(mounted.file("f"), "data");
    fs.writeFileSync(mounted.file(".env"), "secret");
    const place = mounted.scratch.file("guest/work");
    await using share = new Running([
      ...["share", mounted.source, `unix:${socket}:${place}`, "--hide", ".env", "--json"],
    ]);
    const reader = share.process.stdout.getReader();
    const { value } = await reader.read();
    expect(JSON.parse(new TextDecoder().decode(value))).toEqual({
      ...{ mounted: `unix:${socket}:${place}`, directory: mounted.source, read_only: false },
    });
    const { stdout } = await mounted.run("ls -A; cat f; echo new > made; mkdir d", place);
    expect(stdout).toBe("f\ndata");
    expect(fs.readFileSync(mounted.file("made"), "utf8")).toBe("new\n");
    share.process.kill("SIGINT");
    expect(await share.process.exited).toBe(0);
    await eventually("it is unmounted", async () => {
      const { status } = await mounted.run(`grep -q ' ${place} ' /proc/self/mounts`, "/");
      return status !== 0;
    });
  });

  test("is mounted at a path below the home directory of the agent's user", async () => {
    await using mounted = await MountedExport.exportOnly();
    const socket = mounted.scratch.file("agent.sock");
    await using agent = new Running(["agent", "--listen", `unix:${socket}`], {
      through: mounted.namespace.through,
    });
    await agent.says("listening on");
    const home = homeOf(undefined, systemUsers());
    const place = mounted.scratch.file("of-home");
    // Up to the root and down again: nothing is made in the home directory itself.
    const path = `~/${"../".repeat(home.split("/").length - 1)}${place.slice(1)}`;
    await using share = new Running(["share", mounted.source, `unix:${socket}:${path}`]);
    const reader = share.process.stdout.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toStartWith("mounted ");
    expect(await mounted.output(`grep -c ' ${place} ' /proc/self/mounts`, "/")).toBe("1\n");
    share.process.kill("SIGINT");
    expect(await share.process.exited).toBe(0);
  });

  test("is refused where it cannot be, with the guest's reason", async () => {
    await using mounted = await MountedExport.exportOnly();
    const socket = mounted.scratch.file("agent.sock");
    await using agent = new Running(["agent", "--listen", `unix:${socket}`], {
      through: mounted.namespace.through,
    });
    await agent.says("listening on");
    fs.writeFileSync(mounted.scratch.file("file"), "");
    const file = await vsockbox([
      ...["share", mounted.source, `unix:${socket}:${mounted.scratch.file("file")}`],
    ]);
    expect(file.stderr).toContain("cannot create directory");
    expect(file.status).toBe(74);
    await mounted.startMount();
    const twice = await vsockbox(["share", mounted.source, `unix:${socket}:${mounted.target}`]);
    expect(twice).toEqual({
      status: 73,
      stdout: "",
      stderr:
        `vsockbox: cannot mount ${mounted.target}: ${mounted.address} (fuse.vsockbox) is mounted there already (EBUSY)\n` +
        `  hint: end that mount first in the guest: vsockbox umount ${mounted.target}\n`,
    });
    const none = await vsockbox(["share", mounted.file("none"), `unix:${socket}:/mnt`]);
    expect(none.stderr).toContain("cannot open directory");
    // The address and its options are checked before the directory is opened.
    const target = `unix:${socket}:/mnt`;
    for (const words of [["none-such:/mnt"], [target, "--token-file", mounted.file("no")]]) {
      const wrong = await vsockbox(["share", mounted.file("none"), ...words]);
      expect(wrong.status).toBe(78);
      expect(wrong.stderr).not.toContain("cannot open directory");
    }
    const local = await vsockbox(["share", mounted.source, "/mnt"]);
    expect(local.stderr).toContain("does not name a guest");
  });

  test("needs an agent that can mount", async () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("old.sock");
    const features = FEATURES.filter((feature) => feature !== "mount");
    using _old = hostileAgent(path, (channel) => channel.finish({}), { features });
    expect(await vsockbox(["share", scratch.path, `unix:${path}:/work`])).toMatchObject({
      status: 69,
      stderr:
        "vsockbox: cannot mount /work: this agent cannot mount directories of the host (EOPNOTSUPP)\n" +
        "  hint: run a newer `vsockbox agent` in the guest\n",
    });
  });
});

suite(named("a shared directory"), () => {
  test.each([
    ["ends", "SIGTERM"],
    ["is killed", "SIGKILL"],
  ] as const)("is mounted again after its agent %s, with --reconnect", async (_, signal) => {
    await using mounted = await MountedExport.exportOnly();
    const socket = mounted.scratch.file("agent.sock");
    const place = mounted.scratch.file("work");
    const { through } = mounted.namespace;
    const words = ["agent", "--listen", `unix:${socket}`];
    await using first = new Running(words, { through });
    await first.says("listening on");
    fs.writeFileSync(mounted.file("f"), "data");
    const shared = ["share", mounted.source, `unix:${socket}:${place}`, "--reconnect"];
    await using share = new Running(shared);
    await eventually("it is mounted", async () => {
      return (await mounted.run(`cat ${place}/f`, "/")).stdout === "data";
    });
    first.process.kill(signal);
    await share.says("mounting again");
    await using second = new Running(words, { through });
    await second.says("listening on");
    await eventually("it is mounted again", async () => {
      return (await mounted.run(`cat ${place}/f`, "/")).stdout === "data";
    });
    await mounted.output(`umount ${place}`, "/");
    expect(await share.process.exited).toBe(0);
  });

  test("is not mounted again without --reconnect", async () => {
    await using mounted = await MountedExport.exportOnly();
    const socket = mounted.scratch.file("agent.sock");
    const place = mounted.scratch.file("work");
    await using agent = new Running(["agent", "--listen", `unix:${socket}`], {
      through: mounted.namespace.through,
    });
    await agent.says("listening on");
    await using share = new Running(["share", mounted.source, `unix:${socket}:${place}`]);
    await eventually("it is mounted", async () => {
      return (await mounted.run(`grep -q ' ${place} ' /proc/self/mounts`, "/")).status === 0;
    });
    agent.process.kill("SIGKILL");
    expect(await share.process.exited).not.toBe(0);
  });
});

test.skipIf(NO_MOUNTS !== undefined)("a mount without a host is refused", async () => {
  await using mounted = await MountedExport.exportOnly();
  await using mount = new Running(["mount", "unix:/nonexistent/x.sock", mounted.target], {
    through: mounted.namespace.through,
  });
  expect(await mount.process.exited).toBe(69);
});
