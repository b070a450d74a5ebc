/** The two devices that are compared: started with the same options, and looked at through /proc. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { memoryMib } from "../process-memory.ts";
import { kept } from "./children.ts";

const VSOCKBOX = join(import.meta.dir, "../../dist/vsockbox");

/** The published crate that is measured against. */
export const PEER = { name: "vhost-device-vsock", version: "0.3.0" } as const;

/** Clock ticks of /proc/PID/stat a second: sysconf(_SC_CLK_TCK), 100 on Linux whatever the machine. */
const TICKS_PER_SECOND = 100;

/** The guest's CID in front of every device. */
export const GUEST_CID = 3;

/** A device's command, without its options. */
export interface DeviceKind {
  name: "vsockbox" | typeof PEER.name;
  command: readonly string[];
}

/** Our own. */
export const OURS: DeviceKind = { name: "vsockbox", command: [VSOCKBOX, "hybrid-proxy"] };

/**
 * The peer: the program that VHOST_DEVICE_VSOCK names, or one in PATH or ~/.cargo/bin, or one built
 * into this user's cache. Undefined, with a line that says so, where none of that works.
 */
export async function findPeer(): Promise<DeviceKind | undefined> {
  const named = process.env["VHOST_DEVICE_VSOCK"];
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const root = join(cache, "vsockbox-bench", `${PEER.name}-${PEER.version}`);
  const candidates = [
    named,
    Bun.which(PEER.name) ?? undefined,
    join(homedir(), ".cargo/bin", PEER.name),
    join(root, "bin", PEER.name),
  ];
  const found = candidates.find((path) => path !== undefined && existsSync(path));
  if (named !== undefined && found !== named) throw new Error(`VHOST_DEVICE_VSOCK: no ${named}`);
  const path = found ?? (await buildPeer(root));
  return path === undefined ? undefined : { name: PEER.name, command: [path] };
}

async function buildPeer(root: string): Promise<string | undefined> {
  const cargo = Bun.which("cargo") ?? join(homedir(), ".cargo/bin/cargo");
  if (!existsSync(cargo)) {
    console.warn(
      `SKIPPED: ${PEER.name} is not installed, and cargo, which would build it, neither`,
    );
    return undefined;
  }
  console.warn(`building ${PEER.name} ${PEER.version} into ${root}`);
  const command = [cargo, "install", PEER.name, "--version", PEER.version, "--locked"];
  const child = Bun.spawn([...command, "--root", root], { stdio: ["ignore", "ignore", "inherit"] });
  if ((await child.exited) === 0) return join(root, "bin", PEER.name);
  console.warn(`SKIPPED: ${PEER.name} ${PEER.version} does not build`);
  return undefined;
}

/** Options of both; undefined is the default, which is the same for both. */
export interface DeviceOptions {
  txBufferSize?: string | undefined;
  queueSize?: string | undefined;
}

/** A running device. */
export class Device implements AsyncDisposable {
  readonly kind: DeviceKind;
  /** Where the VMM connects. */
  readonly socket: string;
  /** Where the host connects. */
  readonly udsPath: string;
  readonly #process: Bun.Subprocess;

  private constructor(kind: DeviceKind, base: string, child: Bun.Subprocess) {
    this.kind = kind;
    this.socket = `${base}.socket`;
    this.udsPath = `${base}.vsock`;
    this.#process = child;
  }

  /** Starts one whose sockets are in `directory`, and waits for them. */
  static async start(kind: DeviceKind, scratch: string, options: DeviceOptions): Promise<Device> {
    const base = join(scratch, kind.name);
    const given = [
      ...(options.txBufferSize === undefined ? [] : ["--tx-buffer-size", options.txBufferSize]),
      ...(options.queueSize === undefined ? [] : ["--queue-size", options.queueSize]),
    ];
    for (const end of ["socket", "vsock"]) rmSync(`${base}.${end}`, { force: true });
    const child = kept(
      Bun.spawn(
        [
          ...kind.command,
          ...["--guest-cid", String(GUEST_CID)],
          ...["--socket", `${base}.socket`, "--uds-path", `${base}.vsock`],
          ...given,
        ],
        { stdio: ["ignore", "ignore", Bun.file(`${base}.log`)] },
      ),
    );
    const device = new Device(kind, base, child);
    while (!existsSync(device.socket) || !existsSync(device.udsPath)) {
      if (child.exitCode !== null) throw new Error(readFileSync(`${base}.log`, "utf8"));
      await Bun.sleep(5);
    }
    return device;
  }

  /** Its process. */
  get pid(): number {
    return this.#process.pid;
  }

  /** Seconds of a processor that all its threads have had; proc(5), /proc/PID/stat, utime and stime. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  /** Highest RSS, in MiB. */
  peakMib(): number {
    return memoryMib(this.pid, "VmHWM");
  }

  /** Memory of its own, without the executable's and the guest's pages, in MiB. */
  anonymousMib(): number {
    return memoryMib(this.pid, "RssAnon");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
  }
}
