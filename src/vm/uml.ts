/** Guests under User-mode Linux: a real kernel as an ordinary program, up in seconds without KVM. */
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VsockboxError } from "../errors.ts";
import { moduleIndexes } from "../initramfs/module-index.ts";
import { resolveModules } from "../initramfs/modules.ts";
import { DEFAULT_PATH } from "../process/environment.ts";
import type { GuestFile } from "./guest-image.ts";
import type { Kernel } from "./kernel.ts";
import { DEFAULT_MEMORY_MIB, type BootOptions, type GuestKind } from "./machine.ts";

/** The virtio device type of vsock, virtio 1.2 section 5.10.1. */
const VIRTIO_ID_VSOCK = 19;

/** The device's driver, and loopback vsock: CID 1. */
const MODULES = ["vsock_loopback", "vmw_vsock_virtio_transport"];

/** UML's first serial line. */
const CONTROL_DEVICE = "/dev/ttyS0";

/** Space that a guest's directory needs in addition to the guest's memory: the initrd. */
const DIRECTORY_SPARE_BYTES = 512 * 1024 * 1024;

/** f_type of a tmpfs, statfs(2). */
const TMPFS_MAGIC = 0x0102_1994;

const INSTALL_HINT = "`apt-get install user-mode-linux`";

/**
 * UML starts helpers that outlive it, in a session that it makes for itself. So a shell sees to it that
 * all of them end with UML, and UML with them when descriptor 3, a pipe, has no writer any more: when
 * vsockbox is gone or wants it so. A kernel that panics dumps core. Background jobs of a shell have no
 * standard input, hence descriptor 4.
 */
const SUPERVISOR = `ulimit -c 0
exec 4<&0
"$@" <&4 3<&- 4<&- &
uml=$!
exec < /dev/null > /dev/null 2>&1 4<&-
{ read -r line <&3; kill -9 $uml -$uml; } &
wait $uml
kill -9 -$uml $!`;

/**
 * User-mode Linux with its modules: `executable`, or linux.uml in PATH.
 *
 * @throws {VsockboxError} UNAVAILABLE with what to install.
 */
export function findUml(executable = Bun.which("linux.uml") ?? undefined): Kernel {
  const missing = (message: string, address?: string) =>
    new VsockboxError({
      code: "UNAVAILABLE",
      operation: "find linux.uml",
      address,
      message,
      hint: INSTALL_HINT,
    });
  if (executable === undefined) throw missing("it is not in PATH");
  const { exitCode, stdout } = Bun.spawnSync([executable, "--version"], { stderr: "ignore" });
  const version = stdout.toString().trim();
  if (exitCode !== 0) throw missing("it does not print its version", executable);
  // Beside the executable, so that an unpacked package works as well.
  const modules = join(executable, "../../lib/uml/modules", version);
  if (!existsSync(join(modules, "modules.dep"))) {
    throw missing(`its modules are not in ${modules}`, executable);
  }
  return { version, image: executable, modules, installHint: INSTALL_HINT };
}

/**
 * What {@link bootGuest} needs for a guest under User-mode Linux.
 *
 * @throws {VsockboxError} UNAVAILABLE if it is missing.
 */
export function umlMachine({ memoryMib, vsockDevices = [] }: BootOptions): GuestKind {
  const kernel = findUml();
  const memory = memoryMib ?? DEFAULT_MEMORY_MIB;
  return {
    kernel,
    parent: memoryDirectory(memory * 1024 * 1024 + DIRECTORY_SPARE_BYTES),
    controlDevice: CONTROL_DEVICE,
    modules: MODULES,
    attempts: (directory) => [
      {
        stallMs: Infinity,
        vmm: {
          command: [
            "sh",
            "-c",
            SUPERVISOR,
            "uml",
            kernel.image,
            ...umlArguments(directory, memory, vsockDevices),
          ],
          // The guest's memory is a file in TMPDIR, which is unlinked at once.
          environment: { PATH: DEFAULT_PATH, HOME: directory, TMPDIR: directory },
          supervised: true,
        },
      },
    ],
  };
}

function umlArguments(
  directory: string,
  memoryMib: number,
  vsockDevices: readonly string[],
): string[] {
  return [
    `mem=${memoryMib}M`,
    `initrd=${join(directory, "initrd")}`,
    // By default both would be in ~/.uml.
    ...[`uml_dir=${directory}`, "umid=uml"],
    // All consoles are off but the first, which is written to standard error.
    ...["con=null", "con0=null,fd:2"],
    ...["ssl=null", "ssl0=fd:0,fd:1"],
    ...vsockDevices.map((socket) => `virtio_uml.device=${socket}:${VIRTIO_ID_VSOCK}`),
    ...["quiet", "noreboot"],
  ];
}

/**
 * Returns the directory for UML's memory file: /dev/shm if it is a tmpfs with enough space from which
 * programs may run, else the directory for temporary files.
 */
function memoryDirectory(bytes: number): string {
  const directory = "/dev/shm";
  if (!existsSync(directory)) return tmpdir();
  const { type, bavail, bsize } = statfsSync(directory);
  if (type !== TMPFS_MAGIC || bavail * bsize < bytes) return tmpdir();
  const mount = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .findLast(([, where]) => where === directory);
  return mount?.[3]?.split(",").includes("noexec") === true ? tmpdir() : directory;
}

/**
 * The files with which a guest can run {@link findUml}'s User-mode Linux in turn, at the places where
 * the package has them: the executable and the modules that its own guests need.
 *
 * @throws {VsockboxError} UNAVAILABLE if it is missing.
 */
export function umlGuestFiles(kernel = findUml()): GuestFile[] {
  const home = join("/usr/lib/uml/modules", kernel.version);
  const modules = resolveModules(kernel, MODULES).map(({ path }) => path);
  return [
    { path: "/usr/bin/linux.uml", source: kernel.image, mode: 0o755 },
    ...[...moduleIndexes(kernel), ...modules].map((source) => ({
      path: join(home, source.slice(kernel.modules.length)),
      source,
      mode: 0o644,
    })),
  ];
}
