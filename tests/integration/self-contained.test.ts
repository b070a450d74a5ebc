/** The self-contained executable: what it needs of a root file system (nothing), and what it leaves. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { ElfFile, PF } from "../../src/elf/elf-file.ts";
import { findBusybox } from "../../src/vm/guest-image.ts";
import { BARE_BINARY, BareRoot } from "../support/bare-root.ts";
import { BINARY, Running, shell, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { AS_RUNTIME, writeRuntimeBinary } from "../support/runtime-binary.ts";
import { describeWith } from "../support/tools.ts";

const isRoot = process.getuid?.() === 0;
const VERSION = /^vsockbox \d+\.\d+\.\d+ \([0-9a-f]{12}\)\n$/;

/** An agent in that root; its socket is in /run. */
const agentIn = (root: BareRoot) =>
  new Running(["agent", "--listen", "unix:/run/a.sock"], {
    through: root.enter(),
    binary: BARE_BINARY,
  });

describe("the file", () => {
  const image = ElfFile.inMemory(readFileSync(BINARY), BINARY);

  test("names no interpreter", () => {
    expect(image.interpreter).toBeUndefined();
    // What Bun was linked against, and the file carries.
    expect(image.needed).toContain("libc.so.6");
  });

  test("has no segment that is written and executed, and rising addresses", () => {
    const { loaded } = image;
    expect(loaded.filter(({ flags }) => (flags & (PF.W | PF.X)) === (PF.W | PF.X))).toEqual([]);
    const ends = loaded.map(({ address, memoryBytes }) => address + memoryBytes);
    for (const [index, { address }] of loaded.entries()) {
      expect(address).toBeGreaterThanOrEqual(ends[index - 1] ?? 0);
    }
    for (const { address, offset, alignment } of loaded) {
      expect(address % alignment).toBe(offset % alignment);
    }
  });
});

describe("a root with nothing but the executable", () => {
  test("without /proc, as root", () => {
    using root = new BareRoot();
    expect(root.run([BARE_BINARY, "--version"])).toEqual({
      status: 0,
      stdout: expect.stringMatching(VERSION),
      stderr: "",
    });
    expect(readdirSync(root.path)).toEqual(["vsockbox"]);
  });

  test.if(isRoot)("as an ordinary user, with a directory that can be written", () => {
    using root = new BareRoot();
    root.scratch("/tmp", 0o1777);
    const { status, stdout } = root.run([BARE_BINARY, "--version"], { user: "1000:1000" });
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(VERSION) });
    expect(readdirSync(root.at("/tmp"))).toEqual([]);
  });

  test.if(isRoot)("as an ordinary user without any: status 70, and what to do", () => {
    using root = new BareRoot();
    expect(root.run([BARE_BINARY, "--version"], { user: "1000:1000" })).toEqual({
      status: 70,
      stdout: "",
      stderr: expect.stringMatching(/^vsockbox: cannot start: .*mount -t proc proc \/proc/),
    });
  });

  test.if(isRoot)("names the first directory and the reason why it cannot be used", () => {
    using root = new BareRoot();
    root.copy(findBusybox(), "/bin/busybox");
    root.scratch("/tmp", 0o755);
    // A library does not fit into a file of 512 bytes: EFBIG, 27. EACCES is 13.
    const command = ["/bin/busybox", "sh", "-c", "trap '' XFSZ; ulimit -f 1; exec /vsockbox"];
    expect(root.run(command, { user: "1000:1000" }).stderr).toEndWith(": error 13\n");
    root.scratch("/tmp", 0o1777);
    expect(root.run(command, { user: "1000:1000" }).stderr).toEndWith(": error 27\n");
    expect(readdirSync(root.at("/tmp"))).toEqual([]);
  });

  test.if(isRoot)("with a directory that looks like /proc", () => {
    using root = new BareRoot();
    root.scratch("/proc/self/fd");
    expect(root.run([BARE_BINARY, "--version"])).toMatchObject({ status: 0, stderr: "" });
  });

  test("with a list of libraries for another libc in /etc/ld.so.preload", () => {
    using root = new BareRoot();
    root.scratch("/etc");
    writeFileSync(root.at("/etc/ld.so.preload"), "/lib/nowhere.so\n");
    expect(root.run([BARE_BINARY, "--version"])).toEqual({
      status: 0,
      stdout: expect.stringMatching(VERSION),
      stderr: "",
    });
  });

  const loaderVariables = [
    ["LD_AUDIT=/nowhere.so"],
    ["LD_BIND_NOW=1"],
    ["LD_DEBUG=libs"],
    ["LD_PRELOAD=/nowhere.so"],
    ["LD_SHOW_AUXV=1"],
    ["LD_TRACE_LOADED_OBJECTS=1"],
  ];
  test.if(isRoot).each(loaderVariables)("as if %s were not there", (variable) => {
    using root = new BareRoot();
    root.copy(findBusybox(), "/bin/busybox");
    root.scratch("/tmp", 0o1777);
    for (const user of [undefined, "1000:1000"]) {
      const command = ["/bin/busybox", "env", variable, BARE_BINARY, "--version"];
      expect(root.run(command, user === undefined ? {} : { user })).toEqual({
        status: 0,
        stdout: expect.stringMatching(VERSION),
        stderr: "",
      });
    }
    expect(readdirSync(root.at("/tmp"))).toEqual([]);
  });

  test("an agent there runs commands, ends with their status, and receives files", async () => {
    using root = new BareRoot();
    root.copy(findBusybox(), "/bin/sh");
    root.scratch("/run");
    root.scratch("/tmp");
    await using agent = agentIn(root);
    await agent.says("listening on");
    const target = `unix:${root.at("/run/a.sock")}`;
    expect(await vsockbox(["exec", target, "--", "/bin/sh", "-c", "echo out; exit 7"])).toEqual({
      status: 7,
      stdout: "out\n",
      stderr: "",
    });
    const counted = await vsockbox(["exec", target, "--shell", "read x; echo got $x"], {
      stdin: "abc\n",
    });
    expect(counted.stdout).toBe("got abc\n");
    expect((await vsockbox(["cp", import.meta.path, `${target}:/tmp/`])).status).toBe(0);
    expect(readFileSync(root.at("/tmp/self-contained.test.ts"))).toEqual(
      readFileSync(import.meta.path),
    );
    expect((await vsockbox(["info", target])).status).toBe(0);
    const user = ["exec", "--user", "1000:1000", target, "--", "/bin/sh", "-c"];
    // The agent starts itself again to become a user with all its groups.
    expect(await vsockbox([...user, "kill -0 1; echo $?"])).toMatchObject({ stdout: "1\n" });
  });
});

describe("no trace", () => {
  const report = `
    const { dlopen } = await import("bun:ffi");
    const libc = dlopen("libc.so.6", { getpid: { returns: "i32" } });
    const child = Bun.spawnSync(["sh", "-c", "env; ls /proc/self/fd"], { stdio: ["ignore", "pipe", "inherit"] });
    console.log(JSON.stringify({
      environment: Object.keys(process.env), path: process.execPath, name: process.argv0,
      sameProcess: libc.symbols.getpid() === process.pid, child: child.stdout.toString().trim().split("\\n"),
      words: process.argv.length - 2, maps: await Bun.file("/proc/self/maps").text(),
      directory: process.cwd(),
    }));`;

  const runtime = new ScratchDirectory();
  const RUNTIME = runtime.file("runtime");
  beforeAll(() => writeRuntimeBinary(RUNTIME));
  afterAll(() => runtime[Symbol.dispose]());

  interface Report {
    environment: string[];
    path: string;
    name: string;
    sameProcess: boolean;
    child: string[];
    words: number;
    maps: string;
    directory: string;
  }

  function reportOf(
    words: readonly string[] = [],
    env: Record<string, string> = {},
    cwd = "/",
  ): Report {
    using scratch = new ScratchDirectory();
    writeFileSync(scratch.file("report.ts"), report);
    const { stdout, stderr } = Bun.spawnSync(
      [RUNTIME, "run", scratch.file("report.ts"), ...words],
      {
        env: { ...AS_RUNTIME, PATH: "/usr/bin:/bin", ...env },
        cwd,
        stdin: "ignore",
      },
    );
    if (stdout.length === 0) throw new Error(stderr.toString());
    return JSON.parse(stdout.toString()) as Report;
  }

  test("in the environment and the descriptors, of us and of a child", () => {
    const { environment, child, path, sameProcess, directory } = reportOf();
    expect(environment.toSorted()).toEqual(["BUN_BE_BUN", "PATH"]);
    const variables = child.filter((line) => line.includes("="));
    expect(variables.map((line) => line.split("=")[0]).toSorted()).toEqual([
      "BUN_BE_BUN",
      "PATH",
      "PWD",
    ]);
    // ls has the directory open itself.
    expect(child.filter((line) => /^\d+$/.test(line))).toEqual(["0", "1", "2", "3"]);
    expect({ path, sameProcess, directory }).toEqual({
      path: RUNTIME,
      sameProcess: true,
      directory: "/",
    });
  });

  test("of the user's own loader variables: a child has them, we do not", () => {
    const own = {
      LD_LIBRARY_PATH: "/nowhere",
      LD_PRELOAD: "/nowhere/lib.so",
      LD_AUDIT: "/nowhere",
      GLIBC_TUNABLES: "glibc.malloc.check=3",
    };
    const { environment, child, maps } = reportOf([], own);
    expect(environment).toEqual(expect.arrayContaining(Object.keys(own)));
    expect(child).toEqual(
      expect.arrayContaining(Object.entries(own).map(([name, value]) => `${name}=${value}`)),
    );
    expect(maps).not.toContain("nowhere");
    const { stderr } = Bun.spawnSync([BINARY, "--version"], { env: own });
    expect(stderr.toString()).toBe("");
  });

  test("of a name that only looks like a loader's: it stays as it is", () => {
    const own = { "\u0001D_PRELOAD": "/nowhere/lib.so", LD_DEBUG_OUTPUT: "x" };
    const { environment, child } = reportOf([], own);
    expect(environment).toEqual(expect.arrayContaining(Object.keys(own)));
    expect(environment).not.toContain("LD_PRELOAD");
    expect(child).toContain("LD_DEBUG_OUTPUT=x");
  });

  test("of options of the runtime's engine, between others", () => {
    const { environment, child } = reportOf([], {
      A: "1",
      BUN_JSC_dumpOptions: "1",
      LD_DEBUG_OUTPUT: "x",
      BUN_JSC_useJIT: "0",
      B: "2",
    });
    expect(environment.toSorted()).toEqual(["A", "B", "BUN_BE_BUN", "LD_DEBUG_OUTPUT", "PATH"]);
    expect(child.filter((line) => line.startsWith("BUN_JSC_"))).toEqual([]);
  });

  test("in memory: no page is written and executed but what the runtime compiles", () => {
    const { maps } = reportOf();
    const files = maps.split("\n").filter((line) => line.includes("rwxp") && line.includes("/"));
    expect(files).toEqual([]);
    // The packed libraries are out of memory again.
    const { loaded } = ElfFile.inMemory(readFileSync(BINARY), BINARY);
    const data = loaded.at(-1)?.address ?? 0;
    expect(maps).not.toContain(`\n${data.toString(16).padStart(8, "0")}-`);
  });

  test("no word is lost: a hundred thousand arguments, and a large environment", () => {
    expect(reportOf(Array.from({ length: 100_000 }, (_, index) => `${index}`)).words).toBe(100_000);
    const large = Object.fromEntries(
      Array.from({ length: 12 }, (_, index) => [`LARGE_${index}`, "x".repeat(130_000)]),
    );
    expect(reportOf([], large).environment.length).toBe(14);
  });

  test.each(["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])(
    "starts with closed streams: %s",
    async (how) => {
      const { status } = await shell(`vsockbox --version ${how}`);
      // Whoever cannot be told the version may be told so; nobody crashes.
      expect(status).toBeLessThan(128);
    },
  );

  test("starts with few descriptors, also if memfds leave none for the loader", async () => {
    const { stdout } = await shell(
      "for n in 8 7 6 5; do (ulimit -n $n; vsockbox --version || echo $n); done 2>&1",
    );
    expect(stdout.trimEnd().split("\n")).toEqual(
      Array.from({ length: 4 }, () => expect.stringMatching(/^vsockbox \d/)),
    );
  });

  test("through a link, a relative path, and the PATH", async () => {
    using scratch = new ScratchDirectory();
    const line = `ln -s "$VSOCKBOX" link; ./link --version; cp "$VSOCKBOX" own; ./own --version; PATH=. own --version`;
    const { stdout } = await shell(line, { cwd: scratch.path });
    expect(stdout.trimEnd().split("\n").length).toBe(3);
  });

  test("started through a loader by hand it uses that one's libraries", () => {
    const dynamic = ElfFile.inMemory(readFileSync(process.execPath), "bun").interpreter ?? "";
    const { stdout } = Bun.spawnSync([dynamic, BINARY, "--version"], { env: {} });
    expect(stdout.toString()).toMatch(VERSION);
  });

  test.if(isRoot)("a set-user-id copy fails with the reason", () => {
    using root = new BareRoot();
    chmodSync(root.at(BARE_BINARY), 0o4755);
    expect(root.run([BARE_BINARY, "--version"], { user: "1000:1000" })).toEqual({
      status: 70,
      stdout: "",
      stderr: expect.stringContaining("cannot have the set-user-id bit"),
    });
  });
});

describeWith(["musl-gcc"], "a root with musl in the place of glibc", () => {
  test("runs there, and runs programs that are linked against musl", async () => {
    using root = new BareRoot();
    const source = root.at("/hello.c");
    writeFileSync(source, '#include <stdio.h>\nint main(void) { puts("from musl"); return 5; }\n');
    const { exitCode } = Bun.spawnSync(["musl-gcc", "-o", root.at("/hello"), source]);
    expect(exitCode).toBe(0);
    const loader = "/lib/ld-musl-x86_64.so.1";
    root.copy(loader, loader);
    root.scratch("/run");
    expect(root.run(["/hello"])).toMatchObject({ status: 5, stdout: "from musl\n" });
    await using agent = agentIn(root);
    await agent.says("listening on");
    const target = `unix:${root.at("/run/a.sock")}`;
    expect(await vsockbox(["exec", target, "--", "/hello"])).toEqual({
      status: 5,
      stdout: "from musl\n",
      stderr: "",
    });
  });
});

describe("variables of the runtime", () => {
  const run = (variable: Record<string, string>, words: string[] = ["--version"]) => {
    using scratch = new ScratchDirectory();
    const script = scratch.file("foreign.js");
    writeFileSync(script, "console.log('foreign code')");
    const env = Object.fromEntries(
      Object.entries(variable).map(([name, value]) => [name, value.replace("SCRIPT", script)]),
    );
    const { stdout, stderr } = Bun.spawnSync([BINARY, ...words], { env, cwd: scratch.path });
    return stdout.toString() + stderr.toString();
  };

  test.each([
    { BUN_OPTIONS: "--preload=SCRIPT" },
    { BUN_OPTIONS: "--help" },
    { BUN_BE_BUN: "1" },
    { BUN_INSPECT_PRELOAD: "SCRIPT" },
    { BUN_JSC_dumpOptions: "1" },
    { GLIBC_TUNABLES: "glibc.malloc.check=x" },
  ])("%p changes nothing", (variable) => {
    expect(run(variable)).toMatch(VERSION);
  });

  test("BUN_INSPECT opens no debugger", async () => {
    using scratch = new ScratchDirectory();
    const unused = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { port } = unused;
    unused.stop(true);
    await using agent = new Running(["agent", "--listen", `unix:${scratch.file("s")}`], {
      env: { BUN_INSPECT: `ws://127.0.0.1:${port}/x` },
    });
    await agent.says("listening on");
    const opened = Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    await expect(opened).rejects.toThrow("connect");
  });

  test("a command that the agent starts has them", async () => {
    using scratch = new ScratchDirectory();
    await using agent = new Running(["agent", "--listen", `unix:${scratch.file("s")}`], {
      env: { BUN_OPTIONS: "--preload=/nowhere", BUN_BE_BUN: "1", GLIBC_TUNABLES: "x=y" },
    });
    await agent.says("listening on");
    const line = "env | grep -e ^BUN_ -e ^GLIBC_ | sort";
    expect(await vsockbox(["exec", `unix:${scratch.file("s")}`, "--shell", line])).toMatchObject({
      stdout: "BUN_BE_BUN=1\nBUN_OPTIONS=--preload=/nowhere\nGLIBC_TUNABLES=x=y\n",
    });
  });
});
