/** The initramfs of a throw-away guest: busybox, vsockbox, the modules it needs, and a runner. */
import { closeSync, existsSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { VsockboxError } from "../errors.ts";
import { EARLY_MAPS } from "../process/init-mounts.ts";
import { type CpioEntry, CpioWriter } from "./cpio.ts";
import { readElfNeeds, sharedObjects } from "./elf.ts";
import { readModule, resolveModules, type Kernel } from "./kernel.ts";

/** Where the running guest finds vsockbox. */
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
  /** This machine's file that becomes {@link GUEST_BINARY}. */
  binary: string;
  /** Variables of all commands in the guest. */
  environment: Readonly<Record<string, string>>;
  files?: readonly GuestFile[];
  /** The device behind which the host's commands come in; see {@link runner}. */
  controlDevice: string;
  /** Modules to be loaded, with all that they depend on. */
  modules: readonly string[];
  /** Arguments of `vsockbox agent --init`, where that is to be the guest's init. */
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
    message: `it is none of ${busyboxPaths.join(", ")}`,
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
 * PID 1. What it does must work without anything but busybox: mounts, modules, the runner.
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
for module in ${modules.join(" ")}; do insmod /modules/$module.ko || echo "init: insmod $module failed"; done
tries=0
while [ ! -e ${controlDevice} ] && [ $tries -lt 500 ]; do sleep 0.02; tries=$((tries + 1)); done
cd /root
exec /runner
`;
}

/**
 * PID 1 where that is to become the agent: modules are all that is done for it. The runner waits for
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
for module in ${modules.join(" ")}; do insmod /modules/$module.ko || echo "init: insmod $module failed"; done
(cd /root; while [ ! -e ${controlDevice} ]; do sleep 0.05; done; exec /runner) &
exec ${GUEST_BINARY} agent --init ${args.join(" ")}
`;
}

/**
 * Takes lines "ID KIND PIECE" from the host: pieces of a command in base64, the last one with the kind
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
  const { agentInit, environment, controlDevice } = options;
  const parts = { modules: modules.map(({ name }) => name), environment, controlDevice };
  const script = agentInit === undefined ? initScript(parts) : agentInitScript(parts, agentInit);
  const text = (content: string) => new TextEncoder().encode(content);
  const entries: CpioEntry[] = [
    { kind: "copy", path: "bin/busybox", mode: 0o755, source: findBusybox() },
    { kind: "file", path: "init", mode: 0o755, data: text(script) },
    { kind: "file", path: "runner", mode: 0o755, data: text(runner(options.controlDevice)) },
    {
      kind: "file",
      path: "etc/passwd",
      mode: 0o644,
      data: text("root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/tmp:/bin/sh\n"),
    },
    {
      kind: "file",
      path: "etc/group",
      mode: 0o644,
      data: text("root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n"),
    },
    ...(agentInit === undefined ? [] : [earlyMaps()]),
    { kind: "character device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    { kind: "character device", path: "dev/null", mode: 0o666, major: 1, minor: 3 },
    ...modules.map((module): CpioEntry => ({
      kind: "file",
      path: `modules/${module.name}.ko`,
      mode: 0o644,
      data: readModule(module),
    })),
    ...[options.binary, ...(options.files ?? []).map(({ source }) => source)]
      .flatMap(sharedObjectsOf)
      .map((library): CpioEntry => ({
        kind: "copy",
        path: library.slice(1),
        mode: 0o755,
        source: library,
      })),
    { kind: "copy", path: GUEST_BINARY.slice(1), mode: 0o755, source: options.binary },
    ...(options.files ?? []).map((file): CpioEntry => ({
      kind: "copy",
      path: file.path.replace(/^\/+/, ""),
      mode: file.mode,
      source: file.source,
    })),
  ];
  writeArchive(path, entries);
}

/** Without it the runtime cannot start before /proc is mounted. */
function earlyMaps(): CpioEntry {
  const data = new TextEncoder().encode(EARLY_MAPS.content);
  return { kind: "file", path: EARLY_MAPS.path.replace(/^\/+/, ""), mode: 0o444, data };
}

function sharedObjectsOf(source: string): string[] {
  try {
    return sharedObjects(source);
  } catch (thrown) {
    // A script or a data file needs nothing.
    if (thrown instanceof VsockboxError && thrown.code === "CONFIG") return [];
    throw thrown;
  }
}

/** Folders that are there although nothing is packed into them. */
const FOLDERS = ["bin", "sbin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "modules"];

function writeArchive(path: string, entries: readonly CpioEntry[]): void {
  const fd = openSync(path, "w", 0o600);
  try {
    const writer = new CpioWriter(fd);
    const made = new Set<string>();
    const makeFolder = (folder: string) => {
      if (folder === "." || folder === "/" || made.has(folder)) return;
      makeFolder(dirname(folder));
      made.add(folder);
      writer.add({ kind: "directory", path: folder, mode: folder === "tmp" ? 0o1777 : 0o755 });
    };
    for (const folder of FOLDERS) makeFolder(folder);
    for (const entry of entries) {
      if (made.has(entry.path)) continue;
      makeFolder(dirname(entry.path));
      writer.add(entry);
      made.add(entry.path);
    }
    writer.finish();
  } finally {
    closeSync(fd);
  }
}
