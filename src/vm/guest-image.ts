/** The initramfs of a disposable guest: busybox, vsockbox, its modules, and a runner. */
import { existsSync } from "node:fs";
import { VsockboxError } from "../errors.ts";
import type { CpioEntry } from "../initramfs/cpio.ts";
import { readElfNeeds } from "../elf/shared-objects.ts";
import {
  archivePath,
  DEVICE_ENTRIES,
  earlyEntries,
  MOUNT_DIRECTORIES,
  sharedObjectEntries,
} from "../initramfs/executable.ts";
import { withDirectories } from "../initramfs/directories.ts";
import { MODULE_DIRECTORY, moduleEntries, resolveModules } from "../initramfs/modules.ts";
import { writeArchive } from "../initramfs/write.ts";
import type { Kernel } from "./kernel.ts";

/** The path of vsockbox in the running guest. */
export const GUEST_BINARY = "/bin/vsockbox";

/**
 * A piece of a command in a line of {@link runner}, in characters: a terminal of the kernel holds 4,096,
 * and that of User-mode Linux hears nothing any more once it was full.
 */
export const PIECE_CHARACTERS = 3000;

/** A file of the host to be put into the guest. */
export interface GuestFile {
  path: string;
  source: string;
  mode: number;
}

/** What {@link writeGuestImage} packs. */
export interface GuestImageOptions {
  kernel: Kernel;
  /** The local file that becomes {@link GUEST_BINARY}. */
  binary: string;
  /** Variables of all commands in the guest. */
  environment: Readonly<Record<string, string>>;
  files?: readonly GuestFile[];
  /** The device on which the host's commands arrive; see {@link runner}. */
  controlDevice: string;
  /** Modules to be loaded, with all that they depend on. */
  modules: readonly string[];
  /** Arguments of `vsockbox agent --init`, if that is the guest's init. */
  agentInit?: readonly string[] | undefined;
}

const busyboxPaths = ["/bin/busybox", "/usr/bin/busybox", "/sbin/busybox"];

/**
 * busybox as a static program, to be a guest's whole userland.
 *
 * @throws {VsockboxError} UNAVAILABLE with what to install.
 */
export function findBusybox(): string {
  const found = busyboxPaths.find(
    (path) => existsSync(path) && readElfNeeds(path).interpreter === undefined,
  );
  if (found !== undefined) return found;
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "find a static busybox",
    message: `none of ${busyboxPaths.join(", ")} exists`,
    hint: "`apt-get install busybox-static`",
  });
}

interface ScriptParts {
  /** In load order. */
  modules: readonly string[];
  environment: Readonly<Record<string, string>>;
  controlDevice: string;
}

const exports = (environment: Readonly<Record<string, string>>) =>
  Object.entries(environment)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'`)
    .join("\n");

/**
 * PID 1. It depends on busybox alone: mounts, modules, the runner.
 */
function initScript({ modules, environment, controlDevice }: ScriptParts): string {
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin HOME=/root
${exports(environment)}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs run /run
ip link set lo up
for module in ${modules.join(" ")}; do insmod ${MODULE_DIRECTORY}/$module.ko || echo "init: insmod $module failed"; done
tries=0
while [ ! -e ${controlDevice} ] && [ $tries -lt 500 ]; do sleep 0.02; tries=$((tries + 1)); done
cd /root
exec /runner
`;
}

/**
 * PID 1 if it becomes the agent: only modules are loaded for it. The runner waits for
 * the device that the agent's /dev will have.
 */
function agentInitScript(
  { modules, environment, controlDevice }: ScriptParts,
  args: readonly string[],
): string {
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin HOME=/root
${exports(environment)}
for module in ${modules.join(" ")}; do insmod ${MODULE_DIRECTORY}/$module.ko || echo "init: insmod $module failed"; done
(cd /root; while [ ! -e ${controlDevice} ]; do sleep 0.05; done; exec /runner) &
exec ${GUEST_BINARY} agent --init ${args.join(" ")}
`;
}

/**
 * Reads lines "ID KIND PIECE" from the host: pieces of a command in base64, the last one with the kind
 * `.`. Each line is answered with `{"taken":true}`, which the host waits for before it sends the next.
 * A command runs in the background, and is answered with a JSON line: id, status, and stdout and stderr
 * in base64. A terminal is made to hand on bytes as they are. A line in a FIFO is the turn to answer:
 * waiting for it costs no process.
 */
const runner = (controlDevice: string) => `#!/bin/busybox sh
exec 3<>${controlDevice}
[ -t 3 ] && stty raw -echo <&3
mkfifo /run/turn
exec 4<>/run/turn
echo >&4
echo '{"ready":true}' >&3
run() {
  out=/run/$1.out err=/run/$1.err
  base64 -d /run/$1.b64 > /run/$1.sh
  sh /run/$1.sh > $out 2> $err < /dev/null 3>&- 4>&-
  status=$?
  read -r turn <&4
  {
    printf '{"id":%s,"status":%s,"stdout":"' $1 $status
    base64 -w 0 $out
    printf '","stderr":"'
    base64 -w 0 $err
    echo '"}'
  } >&3
  echo >&4
  rm -f /run/$1.*
}
while read -r id kind piece <&3; do
  printf %s "$piece" >> /run/$id.b64
  read -r turn <&4
  echo '{"taken":true}' >&3
  echo >&4
  if [ $kind = . ]; then run $id & fi
done
reboot -f
`;

/** Writes the whole image to `path`. */
export function writeGuestImage(path: string, options: GuestImageOptions): void {
  const modules = resolveModules(options.kernel, options.modules);
  const { agentInit, environment, controlDevice, binary, files = [] } = options;
  const parts = { modules: modules.map(({ name }) => name), environment, controlDevice };
  const script = agentInit === undefined ? initScript(parts) : agentInitScript(parts, agentInit);
  const text = (name: string, mode: number, content: string): CpioEntry => ({
    kind: "file",
    path: name,
    mode,
    data: new TextEncoder().encode(content),
  });
  const copy = (name: string, mode: number, source: string): CpioEntry => ({
    kind: "copy",
    path: archivePath(name),
    mode,
    source,
  });
  const entries: CpioEntry[] = [
    copy("bin/busybox", 0o755, findBusybox()),
    text("init", 0o755, script),
    text("runner", 0o755, runner(controlDevice)),
    text("etc/passwd", 0o644, PASSWD),
    text("etc/group", 0o644, GROUP),
    ...(agentInit === undefined ? [] : earlyEntries(binary)),
    ...DEVICE_ENTRIES,
    ...moduleEntries(modules),
    ...sharedObjectEntries([binary, ...files.map(({ source }) => source)]),
    copy(GUEST_BINARY, 0o755, binary),
    ...files.map(({ path: name, mode, source }) => copy(name, mode, source)),
  ];
  const directories = ["bin", "sbin", "etc", ...MOUNT_DIRECTORIES];
  writeArchive(path, withDirectories(entries, { directories }));
}

const PASSWD = "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/tmp:/bin/sh\n";
const GROUP = "root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n";
