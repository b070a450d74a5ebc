import { describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { LIBC_NAMES } from "../../src/ffi/libc.ts";
import { RUN_AS_WORD } from "../../src/process/run-as-word.ts";
import { Environment } from "../../src/process/environment.ts";
import { handOver } from "../../src/process/start-instructions.ts";
import { resolveSpawn } from "../../src/process/spawn.ts";
import { ALL_OPTIONS, type SandboxOption } from "../../src/process/sandbox/sandbox-options.ts";
import type { SandboxedRequest, SandboxedResult } from "../fixtures/sandboxed.ts";
import { BINARY, eventually, processesWith, ScratchDirectory } from "../support/binary.ts";
import { describeWith, findTool } from "../support/tools.ts";

const FIXTURE = join(import.meta.dir, "../fixtures/sandboxed.ts");
const { SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1, SIGSEGV } = constants.signals;
const NOBODY = { uid: 65534, gid: 65534, groups: [] };

/** Runs the request; `prefix` starts the script that starts the command. */
function sandboxed(request: SandboxedRequest, prefix: readonly string[] = []): SandboxedResult {
  const { stdout, stderr } = Bun.spawnSync(
    [...prefix, process.execPath, FIXTURE, JSON.stringify(request)],
    { stdin: "ignore", timeout: 120_000 },
  );
  try {
    return JSON.parse(stdout.toString()) as SandboxedResult;
  } catch {
    throw new Error(`it gave ${JSON.stringify(stdout.toString())} and said ${stderr.toString()}`);
  }
}

const shell = (sandbox: string, line: string, more: Partial<SandboxedRequest> = {}) =>
  sandboxed({ argv: ["sh", "-c", line], sandbox, ...more });

/** What /proc/self/status says in the sandbox. */
function statusOf(sandbox: string, more: Partial<SandboxedRequest> = {}): Record<string, string> {
  const { stdout } = shell(sandbox, "cat /proc/self/status", more);
  return Object.fromEntries(
    Array.from(stdout.matchAll(/^(\w+):\s*(.*)$/gm), ([, name = "", value = ""]) => [name, value]),
  );
}

/** The group is skipped where this machine does not let us make what it is about. */
function describeWhere(option: SandboxOption, body: () => void): void {
  const { code, stderr } = sandboxed({ argv: ["true"], sandbox: option });
  if (code === 0) return describe(option, body);
  console.warn(`SKIPPED: ${option}: ${stderr.trim()}`);
  return describe.skip(option, body);
}

const isRoot = process.getuid?.() === 0;

describeWhere("no-new-privs", () => {
  test("sets the flag, and nothing else", () => {
    expect(statusOf("")).toMatchObject({ NoNewPrivs: "0" });
    const { NoNewPrivs, Seccomp, CapEff } = statusOf("no-new-privs");
    expect([NoNewPrivs, Seccomp, CapEff]).toEqual(["1", "0", statusOf("")["CapEff"]]);
  });

  test.skipIf(!isRoot)("a set-user-ID program gains no privilege", () => {
    using scratch = new ScratchDirectory();
    chmodSync(scratch.path, 0o755);
    const program = scratch.file("id");
    copyFileSync(Bun.which("id") ?? "/usr/bin/id", program);
    chmodSync(program, 0o4755);
    const uid = (sandbox: string) =>
      sandboxed({ argv: [program, "-u"], sandbox, user: NOBODY }).stdout.trim();
    expect([uid(""), uid("no-new-privs")]).toEqual(["0", "65534"]);
  });
});

describeWhere("seccomp", () => {
  test("installs one filter and implies no-new-privs", () => {
    expect(statusOf("seccomp")).toMatchObject({ Seccomp: "2", NoNewPrivs: "1" });
  });

  // Nothing that would harm the machine where the filter is not in place.
  test.each(["unshare -m true", "unshare -U true", "mount -t tmpfs none $(mktemp -d)"])(
    "refuses %s",
    (line) => {
      const { code, stderr } = shell("seccomp", line);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/not permitted|permission denied|must be superuser/i);
    },
  );

  test("refuses ptrace, and this runtime works under it", () => {
    const script = `
      const { dlopen } = require("bun:ffi");
      for (const name of ${JSON.stringify(LIBC_NAMES)}) {
        try {
          const { ptrace } = dlopen(name, {
            ptrace: { args: ["i32", "i32", "pointer", "pointer"], returns: "i32" },
          }).symbols;
          const child = Bun.spawnSync(["true"]).exitCode;
          console.log(child, ptrace(0, 0, null, null));
          break;
        } catch {}
      }`;
    const result = (sandbox: string) =>
      sandboxed({ argv: [process.execPath, "-e", script], sandbox }).stdout.trim();
    expect([result(""), result("seccomp")]).toEqual(["0 0", "0 -1"]);
  });
});

describeWith(
  process.arch === "x64" ? ["gcc"] : ["gcc", "an x86-64 machine"],
  "32-bit calls",
  () => {
    test("end the program by SIGSYS", () => {
      using scratch = new ScratchDirectory();
      const program = scratch.file("int80");
      writeFileSync(
        scratch.file("int80.c"),
        `int main(void) { int pid; __asm__ volatile("int $0x80" : "=a"(pid) : "a"(20)); return 5; }`,
      );
      Bun.spawnSync(["gcc", "-o", program, scratch.file("int80.c")]);
      const result = sandboxed({ argv: [program], sandbox: "seccomp" });
      expect(result).toMatchObject({ code: 159, signal: "SIGSYS" });
    });
  },
);

describeWhere("drop-caps", () => {
  const NONE = "0000000000000000";

  test.each([{ user: undefined }, { user: NOBODY }])("leaves none in any set: %p", ({ user }) => {
    expect(statusOf("drop-caps", user === undefined ? {} : { user })).toMatchObject({
      CapInh: NONE,
      CapPrm: NONE,
      CapEff: NONE,
      CapBnd: NONE,
      CapAmb: NONE,
      NoNewPrivs: "0",
      Uid: user === undefined ? expect.stringMatching(/^0\s/) : expect.stringMatching(/^65534\s/),
    });
  });

  test("root is root by name alone", () => {
    using scratch = new ScratchDirectory();
    const file = scratch.file("file");
    writeFileSync(file, "");
    const { code, stderr } = shell("drop-caps", `id -u; chown 1:1 ${file}`);
    expect([code, stderr]).toEqual([1, expect.stringContaining("not permitted")]);
  });
});

describeWhere("pid-namespace", () => {
  test("the command sees its own processes alone, and is not PID 1", () => {
    const { stdout } = shell("pid-namespace", "echo $$; cd /proc; ls -d [0-9]*");
    const [own, ...visible] = stdout.trim().split("\n").map(Number);
    expect(own).toBeGreaterThan(1);
    expect(visible).toContain(1);
    expect(visible).toContain(own ?? 0);
    expect(visible.length).toBeLessThanOrEqual(3);
  });

  test("its /proc shows its own processes alone", () => {
    const before = Bun.spawnSync(["cat", "/proc/self/mounts"]).stdout.toString();
    shell("pid-namespace", "true");
    expect(Bun.spawnSync(["cat", "/proc/self/mounts"]).stdout.toString()).toBe(before);
  });

  test("it inherits no descriptors but the three", () => {
    const { stdout } = shell("all", "ls /proc/self/fd");
    // The fourth is that of ls for the directory.
    expect(stdout.trim().split("\n")).toEqual(["0", "1", "2", "3"]);
  });

  test.each([0, 7, 126, 137, 255])("passes exit status %d on", (status) => {
    expect(shell("pid-namespace", `exit ${status}`)).toMatchObject({ code: status });
  });

  test.each([
    ["TERM", 143],
    ["KILL", 137],
    ["SEGV", 139],
    ["INT", 130],
  ])("passes the end by SIG%s on", (signal, code) => {
    const result = shell("pid-namespace", `kill -${signal} $$`);
    expect(result).toMatchObject({ code, signal: `SIG${signal}` });
  });

  test.each([SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGSEGV, SIGKILL])(
    "signal %d to the group ends the command",
    (signal) => {
      const steps = [{ at: "ready", signal }];
      const result = shell("all", "echo ready; exec sleep 30", { steps });
      expect(result.code).toBe(128 + signal);
    },
  );

  test("the command handles a signal itself, and the helpers wait for it", () => {
    const line = 'trap "echo handled; exit 5" TERM; echo ready; while :; do sleep 0.1; done';
    const result = shell("all", line, { steps: [{ at: "ready", signal: SIGTERM }] });
    expect(result).toMatchObject({ code: 5, stdout: "ready\nhandled\n" });
  });

  test.each([0, 20, 40, 60, 80, 100])("SIGTERM %d ms after the start is not lost", (after) => {
    const result = shell("all", "exec sleep 30", { steps: [{ after, signal: SIGTERM }] });
    expect(result).toMatchObject({ code: 143, signal: "SIGTERM" });
  });

  test("background processes of the command end with it, in other sessions too", async () => {
    const result = shell("pid-namespace", "setsid sleep 4710.1 & sleep 4710.2 & exit 3");
    expect(result.code).toBe(3);
    expect(processesWith("sleep 4710")).toEqual([]);
  });

  test("SIGKILL to the group ends also what has left it", async () => {
    const line = "setsid sleep 4711 & echo ready; wait";
    const result = shell("pid-namespace", line, { steps: [{ at: "ready", signal: SIGKILL }] });
    expect(result.signal).toBe("SIGKILL");
    await eventually("sleep is gone", () => processesWith("sleep 4711").length === 0);
  });

  test("the command cannot end PID 1, nor examine it without capabilities", () => {
    const { stdout, stderr } = shell("all", "kill -9 1; cat /proc/1/environ; echo still here");
    expect(stdout).toBe("still here\n");
    expect(stderr).toContain("/proc/1/environ: Permission denied");
  });

  test("root is root of a user namespace, and owns its own pipes and files alone", () => {
    using scratch = new ScratchDirectory();
    chmodSync(scratch.path, 0o777);
    const line = `id -u; echo kept > /dev/stdout; echo x > ${scratch.path}/made; cat /proc/self/uid_map`;
    const { stdout, stderr } = shell("all", line);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^0\nkept\n +0 1878982656 +65536\n$/);
    expect(statSync(scratch.file("made")).uid).toBe(1_878_982_656);
    chmodSync(scratch.path, 0o755);
    const denied = shell("all", `echo x > ${scratch.path}/other; rm ${scratch.path}/made`);
    expect(denied.code).not.toBe(0);
    expect(denied.stderr.match(/permission denied/gi)?.length).toBe(2);
  });

  test("the kernel's files are read-only or empty, and devices are few", () => {
    const line = `
      for path in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/mm/ksm/run; do
        [ ! -e $path ] || (: > $path) 2> /dev/null && [ -e $path ] && echo written $path
      done
      for path in kcore keys timer_list kmsg interrupts; do
        [ ! -e /proc/$path ] || [ ! -s /proc/$path -a -z "$(head -c 1 /proc/$path)" ] || echo $path has bytes
      done
      ls -A /sys/firmware /sys/kernel/debug 2> /dev/null | grep -v :
      for file in /dev/*; do [ -c $file ] || [ -b $file ] && echo $file; done`;
    for (const user of [undefined, NOBODY]) {
      const { stdout } = shell("all", line, user === undefined ? {} : { user });
      const devices = ["full", "null", "ptmx", "random", "tty", "urandom", "zero"];
      expect(stdout.trim().split("\n").filter(Boolean)).toEqual(
        devices.map((name) => `/dev/${name}`),
      );
    }
  });

  test("protect-kernel alone does the same in place, and shows the other processes", () => {
    const line = "(: > /proc/sys/kernel/hostname) 2>&1; ls /dev; ls -d /proc/[0-9]* | wc -l";
    const { stdout } = shell("protect-kernel", line);
    expect(stdout).toMatch(/Read-only file system|cannot create/);
    expect(stdout).not.toMatch(/^(kmsg|mem|userfaultfd)$/m);
    expect(Number(stdout.trim().split("\n").at(-1))).toBeGreaterThan(3);
  });

  test("no-network leaves a loopback interface, and no AF_VSOCK", () => {
    const line = "cat /proc/net/dev | grep -c :; cat /proc/net/if_inet6 /proc/net/route; echo end";
    for (const sandbox of ["no-network", "all,no-network"]) {
      const { code, stdout } = shell(sandbox, line);
      expect(code).toBe(0);
      expect(stdout).toMatch(/^1\n/);
      expect(stdout).not.toMatch(/eth|ens/);
    }
  });

  test.each([
    ["open-files=20", "ulimit -n", "20"],
    ["file-size=1M", "ulimit -f", "2048"],
    ["memory=64M", "ulimit -d", "65536"],
    ["processes=50", "ulimit -p 2> /dev/null || ulimit -u", "50"],
  ])("%s is a limit", (limit, line, value) => {
    const shown = shell(`no-new-privs,${limit}`, line, { user: NOBODY });
    expect([shown.stdout, shown.stderr]).toEqual([`${value}\n`, ""]);
  });

  test("limits hold: a file, memory, and processes of a root in its user namespace", () => {
    const file = shell("all,file-size=64K", "head -c 1000000 /dev/zero > /dev/shm/x", {});
    expect(file.code).toBe(153);
    const memory = shell("all,memory=32M", "head -c 200000000 /dev/zero | tail -c 199999999");
    expect(memory.code).not.toBe(0);
    const line = "n=0; while [ $n -lt 40 ]; do sleep 30 & n=$((n+1)); done; echo all; exit";
    expect(shell("all,processes=100", line).stdout).toBe("all\n");
    const few = shell("all,processes=10", line);
    expect(few.stdout).toBe("");
    expect(few.stderr).toMatch(/fork/i);
  });

  test("runs as another user with its groups", () => {
    const user = { uid: 65534, gid: 65534, groups: [10, 20] };
    const { stdout } = shell("all", "id -u; id -g; id -G", { user });
    expect(stdout).toBe("65534\n65534\n65534 10 20\n");
  });

  test("a program that cannot be run is reported as such", () => {
    using scratch = new ScratchDirectory();
    chmodSync(scratch.path, 0o755);
    const file = scratch.file("program");
    writeFileSync(file, "\x7fno program");
    chmodSync(file, 0o755);
    const { code, stderr } = sandboxed({ argv: [file], sandbox: "all" });
    expect([code, stderr]).toEqual([
      126,
      expect.stringContaining(`run ${file}: this kernel cannot execute it`),
    ]);
  });
});

describeWhere("pid-namespace", () => {
  const terminal = true;

  test("on a terminal Ctrl-C ends the command, and Ctrl-Z does not stop it", () => {
    const steps = [
      { at: "ready", type: "\u001a" },
      { after: 200, type: "\u0003" },
    ];
    const result = shell("all", "tty; echo ready; exec sleep 30", { terminal, steps });
    expect(result).toMatchObject({ code: 130, stdout: expect.stringMatching(/^\/dev\/pts\/\d/) });
  });

  test("on a terminal the session's end reaches the command", () => {
    const line = 'trap "echo handled; exit 6" TERM; echo ready; while :; do sleep 0.1; done';
    const steps = [{ at: "ready", terminate: true }];
    expect(shell("all", line, { terminal, steps })).toMatchObject({ code: 6 });
  });

  test("a signal to the foreground reaches the command", () => {
    const steps = [{ at: "ready", signalForeground: SIGUSR1 }];
    const result = shell("all", "echo ready; exec sleep 30", { terminal, steps });
    expect(result).toMatchObject({ code: 138, signal: "SIGUSR1" });
  });

  const shells = [
    ["bash", "--norc", "-i"],
    ["dash", "-i"],
    ["busybox", "sh", "-i"],
  ] as [string, ...string[]][];
  for (const argv of shells) {
    test.skipIf(findTool(argv[0]) === undefined)(`${argv[0]} has its job control`, () => {
      const { code, stdout } = sandboxed({
        argv,
        sandbox: "all",
        terminal,
        steps: [
          { at: "# ", type: "sleep 30\n" },
          { at: "30", after: 300, type: "\u001a" },
          { at: "Stopped" },
          { at: "# ", type: "fg\n" },
          { at: "fg\r\n" },
          { at: "sleep", after: 300, type: "\u0003" },
          { at: "# ", type: "echo one | cat\n" },
          { at: "\none\r\n", type: "exit 4\n" },
        ],
      });
      expect(stdout).not.toContain("job control");
      expect(code).toBe(4);
    });
  }

  test("the compiled executable does it as well", async () => {
    const child = spawnCompiled(["sh", "-c", "ls -d /proc/[0-9]*; exit 9"], ALL_OPTIONS);
    const text = await new Response(child.stdout).text();
    expect(await child.exited).toBe(9);
    expect(text.trim().split("\n").length).toBeLessThanOrEqual(3);
  });

  test("the end of the outer helper alone ends everything", async () => {
    const child = spawnCompiled(["sleep", "4712"], ["pid-namespace"]);
    const running = () => processesWith("sleep 4712").length;
    await eventually("it runs", () => running() === 1);
    child.kill("SIGKILL");
    await eventually("nothing of it is left", () => running() === 0);
  });
});

/** The compiled executable as the helper of a command. */
function spawnCompiled(argv: [string, ...string[]], sandbox: readonly SandboxOption[]) {
  const env = Environment.fromRecord({ PATH: "/usr/bin:/bin" });
  const handover = handOver(resolveSpawn({ argv, env, sandbox }));
  try {
    return Bun.spawn([BINARY, RUN_AS_WORD], {
      env: handover.env,
      stdio: ["ignore", "pipe", "inherit", ...handover.descriptors],
    });
  } finally {
    handover.closeChildEnds();
  }
}

describeWith(["capsh"], "without the right", () => {
  const lacking = ["capsh", "--drop=cap_sys_admin,cap_setpcap", "--", "-c", 'exec "$@"', "sh"];

  test.skipIf(!isRoot)("a refusal names the missing privilege", () => {
    const pidNamespace = sandboxed({ argv: ["true"], sandbox: "pid-namespace" }, lacking);
    expect([pidNamespace.code, pidNamespace.stderr]).toEqual([
      125,
      expect.stringContaining("make a namespace: operation not permitted; it needs CAP_SYS_ADMIN"),
    ]);
    const dropCaps = sandboxed({ argv: ["true"], sandbox: "drop-caps" }, lacking);
    expect([dropCaps.code, dropCaps.stderr]).toEqual([125, expect.stringContaining("CAP_SETPCAP")]);
  });

  test.skipIf(!isRoot)("no-new-privs and seccomp need none", () => {
    const result = sandboxed({ argv: ["true"], sandbox: "no-new-privs,seccomp" }, lacking);
    expect(result).toMatchObject({ code: 0, stderr: "" });
  });
});
