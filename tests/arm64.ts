/**
 * The arm64 executable in a real arm64 Linux, emulated: `bun run tests/arm64.ts`. It fetches a kernel,
 * glibc and busybox from Debian's packages, builds the executable, packs an initramfs with
 * it, boots that under qemu-system-aarch64 behind hybrid-proxy, and uses the guest from this machine.
 * About two minutes, the first time three; each step says how long it took.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { randomBytes } from "node:crypto";

const ROOT = join(import.meta.dir, "..");
const OURS = join(ROOT, "dist/vsockbox");
const HELP = `Usage: bun run tests/arm64.ts [--cache DIR]

Needs Debian with qemu-system-arm, kmod and the network; the packages stay in DIR
(default ${join(tmpdir(), "vsockbox-arm64")}).
`;

const { values } = parseArgs({
  options: {
    cache: { type: "string", default: join(tmpdir(), "vsockbox-arm64") },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

/** Runs to the end; gives standard output. */
function run(command: string[], input = "", cwd = ROOT): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, {
    cwd,
    stdin: Buffer.from(input),
    env: { ...process.env, VSOCKBOX_NO_VSOCK: "1", NO_COLOR: "1" },
  });
  if (exitCode === 0) return stdout.toString();
  throw new Error(`${command.join(" ")} ended with ${exitCode}:\n${stderr.toString()}`);
}

async function step<T>(name: string, work: () => T | Promise<T>): Promise<T> {
  const begin = performance.now();
  const result = await work();
  console.log(`ok   ${name} (${((performance.now() - begin) / 1000).toFixed(1)} s)`);
  return result;
}

function expectEqual(what: string, actual: string, expected: string | RegExp): void {
  const isRight = typeof expected === "string" ? actual === expected : expected.test(actual);
  if (!isRight) throw new Error(`${what}: ${JSON.stringify(actual)}, not ${String(expected)}`);
}

/** Debian's packages for arm64, unpacked, with an apt state of their own. */
function fetchPackages(cache: string): string {
  const root = join(cache, "root");
  if (existsSync(join(root, "done"))) return root;
  for (const scratch of ["lists/partial", "archives/partial", "debs"]) {
    mkdirSync(join(cache, scratch), { recursive: true });
  }
  writeFileSync(join(cache, "status"), "");
  const options = [
    ...["APT::Architecture=arm64", "APT::Architectures::=arm64", "APT::Sandbox::User=root"],
    ...[`Dir::State::Lists=${cache}/lists`, `Dir::State::status=${cache}/status`],
    ...[`Dir::Cache=${cache}`, "APT::Get::List-Cleanup=0"],
  ].flatMap((option) => ["-o", option]);
  run(["apt-get", ...options, "update"]);
  const depends = run(["apt-cache", ...options, "depends", "linux-image-arm64"]);
  const kernel = /linux-image-\S+-arm64/.exec(depends.split("\n").slice(1).join("\n"))?.[0] ?? "";
  const debs = join(cache, "debs");
  run(["apt-get", ...options, "download", kernel, "libc6", "busybox-static"], "", debs);
  for (const deb of readdirSync(debs)) run(["dpkg-deb", "-x", join(debs, deb), root]);
  const [version = ""] = readdirSync(join(root, "lib/modules"));
  run([existsSync("/sbin/depmod") ? "/sbin/depmod" : "depmod", "-b", root, version]);
  writeFileSync(join(root, "done"), "");
  return root;
}

interface Device {
  address: string;
  socket: string;
  process: Bun.Subprocess;
}

async function startDevice(scratch: string): Promise<Device> {
  const [socket, uds] = [join(scratch, "vhost.sock"), join(scratch, "vm.vsock")];
  const child = Bun.spawn(
    [OURS, "hybrid-proxy", "--vm", `guest-cid=3,socket=${socket},uds-path=${uds}`],
    { stdio: ["ignore", "ignore", "ignore"] },
  );
  while (!existsSync(socket)) await Bun.sleep(20);
  return { address: `hybrid:${uds}`, socket, process: child };
}

function bootGuest(scratch: string, kernel: string, { socket }: Device): Bun.Subprocess {
  return Bun.spawn(
    [
      ...["qemu-system-aarch64", "-M", "virt,memory-backend=mem", "-cpu", "max"],
      ...["-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024"],
      ...["-nodefaults", "-display", "none", "-no-reboot"],
      ...["-object", "memory-backend-memfd,id=mem,size=1024M,share=on"],
      ...["-chardev", `socket,id=v,path=${socket}`, "-device", "vhost-user-vsock-pci,chardev=v"],
      ...["-serial", `file:${join(scratch, "console.log")}`],
      ...["-kernel", kernel, "-initrd", join(scratch, "initrd")],
      ...["-append", "console=ttyAMA0 panic=-1"],
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
}

/** What the guest is to be able to do. */
const CHECKS: readonly [name: string, check: (address: string, scratch: string) => void][] = [
  [
    "it is arm64, and the executable is self-contained",
    (address) => {
      expectEqual("uname", run([OURS, "exec", address, "--", "uname", "-m"]), "aarch64\n");
      const version = run([
        OURS,
        "exec",
        address,
        "--",
        "/usr/bin/vsockbox",
        "--version",
        "--json",
      ]);
      expectEqual("version", version, /"target":"linux-arm64"/);
      expectEqual(
        "lib",
        run([OURS, "exec", address, "--shell", "ls /lib /lib64 2> /dev/null; true"]),
        "",
      );
    },
  ],
  [
    "no trace of the loader in a child",
    (address) => {
      const line = "env | grep -c ^LD_; ls /proc/self/fd | tr '\\n' ' '";
      expectEqual("child", run([OURS, "exec", address, "--shell", line]), "0\n0 1 2 3 ");
    },
  ],
  [
    "input, output, exit status and a terminal",
    (address) => {
      expectEqual(
        "wc",
        run([OURS, "exec", address, "--", "wc", "-c"], "x".repeat(100_000)),
        "100000\n",
      );
      const status = Bun.spawnSync([OURS, "exec", address, "--", "sh", "-c", "exit 7"]).exitCode;
      expectEqual("status", String(status), "7");
      const line = `${OURS} exec -t ${address} -- sh -c 'tty; stty size'`;
      const terminal = run(["script", "-qec", `stty rows 30 cols 90; ${line}`, "/dev/null"]);
      expectEqual("terminal", terminal, /\/dev\/pts\/\d+\r+\n30 90\r+\n/);
    },
  ],
  [
    "another user, by starting itself again; and the sandbox, with its system calls",
    (address) => {
      const id = run([OURS, "exec", "--user", "1000:1000", address, "--", "id", "-u"]);
      expectEqual("id", id, "1000\n");
      const line = "mkdir /tmp/m; mount -t tmpfs x /tmp/m 2>&1; grep Seccomp: /proc/self/status";
      const confined = run([OURS, "exec", "--sandbox", "all", address, "--shell", line]);
      expectEqual("sandbox", confined, /(not permitted|denied)[^]*Seccomp:\s+2\n$/);
    },
  ],
  [
    "3 MB there and back",
    (address, scratch) => {
      const bytes = randomBytes(3_000_000);
      writeFileSync(join(scratch, "there"), bytes);
      run([OURS, "cp", join(scratch, "there"), `${address}:/tmp/there`]);
      run([OURS, "cp", "--checksum", `${address}:/tmp/there`, join(scratch, "back")]);
      if (!readFileSync(join(scratch, "back")).equals(bytes)) throw new Error("they differ");
    },
  ],
];

const scratch = mkdtempSync(join(tmpdir(), "vsockbox-arm64-run-"));
const begin = performance.now();
let device: Device | undefined;
let guest: Bun.Subprocess | undefined;
try {
  const root = await step("Debian's arm64 packages", () => fetchPackages(values.cache));
  const libraries = join(root, "lib/aarch64-linux-gnu");
  await step("build", () => {
    run(["bun", "run", "build.ts", "--quiet"]);
    const only = ["--only", "linux-arm64", "--zstd", "0", "--outdir", scratch];
    run(["bun", "run", "build.ts", ...only, "--libraries-arm64", libraries]);
  });
  const [version = ""] = readdirSync(join(root, "lib/modules"));
  await step("initramfs", () => {
    run([
      ...[OURS, "initramfs", "-o", join(scratch, "initrd")],
      ...["--executable", join(scratch, "vsockbox-linux-arm64")],
      ...["--kernel-modules", join(root, "lib/modules", version)],
      ...["--file", `${join(root, "bin/busybox")}:/bin/busybox:755`],
    ]);
  });
  const started = await startDevice(scratch);
  device = started;
  await step(`boot of Linux ${version}, until the agent is ready`, () => {
    guest = bootGuest(scratch, join(root, `boot/vmlinuz-${version}`), started);
    run([OURS, "wait", started.address, "--timeout", "300"]);
  });
  await step("a program without a shell: busybox installs itself", () => {
    run([OURS, "exec", started.address, "--", "/bin/busybox", "--install", "-s", "/bin"]);
  });
  for (const [name, check] of CHECKS) await step(name, () => check(started.address, scratch));
  await step("shutdown", async () => {
    run([OURS, "shutdown", started.address]);
    await guest?.exited;
  });
  console.log(`done in ${((performance.now() - begin) / 1000).toFixed(0)} s`);
} catch (thrown) {
  console.error(`FAIL ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  const log = join(scratch, "console.log");
  if (existsSync(log)) console.error(readFileSync(log, "utf8").split("\n").slice(-20).join("\n"));
  process.exitCode = 1;
} finally {
  guest?.kill("SIGKILL");
  device?.process.kill();
  rmSync(scratch, { recursive: true, force: true });
}
