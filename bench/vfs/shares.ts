/** The ways to share a directory with a guest that are compared: vsockbox, 9p of QEMU, and virtiofsd. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { kept } from "../hybrid/children.ts";
import { versionOf } from "../table.ts";
import { VSOCKBOX } from "../transfer-bench.ts";

/** A directory of the host and where the guest mounts it. */
export interface Share {
  name: "vsockbox" | "9p" | "virtiofsd";
  version: string | null;
  /** The directory of the host. */
  source: string;
  /** The directory of the guest. */
  target: string;
  /** The modules that the guest's kernel needs. */
  modules: readonly string[];
  /** Arguments of QEMU. */
  qemu: readonly string[];
  /** The line that mounts it in the guest. */
  mount: string;
  /** The process of the host that serves it, if it has one of its own. */
  server: Bun.Subprocess | undefined;
}

function directories(scratch: string, name: Share["name"]) {
  const source = join(scratch, `shared-${name}`);
  mkdirSync(source);
  return { name, source, target: `/mnt/${name}` };
}

function started(command: readonly string[], log: string): Bun.Subprocess {
  return kept(Bun.spawn([...command], { stdio: ["ignore", "ignore", Bun.file(log)] }));
}

async function listening(socket: string, server: Bun.Subprocess, log: string): Promise<void> {
  while (!existsSync(socket)) {
    if (server.exitCode !== null) throw new Error(readFileSync(log, "utf8"));
    await Bun.sleep(5);
  }
}

/** `vsockbox export` and `vsockbox mount`, over the device of this `--uds-path`. */
export async function ourShare(scratch: string, udsPath: string): Promise<Share> {
  const base = directories(scratch, "vsockbox");
  const log = join(scratch, "export.log");
  const command = [VSOCKBOX, "export", base.source, "--listen", `hybrid:${udsPath}`];
  const server = started(command, log);
  await listening(`${udsPath}_5001`, server, log);
  return {
    ...base,
    version: null,
    modules: ["fuse"],
    qemu: [],
    mount: `vsockbox mount ${base.target} --daemon`,
    server,
  };
}

/** QEMU's own server of 9p: it is a part of QEMU's process. */
export function ninepShare(scratch: string): Share {
  const base = directories(scratch, "9p");
  const device = `local,path=${base.source},mount_tag=ninep,security_model=none`;
  return {
    ...base,
    version: versionOf("qemu-system-x86_64", "--version"),
    modules: ["9pnet_virtio", "9p"],
    qemu: ["-virtfs", device],
    // The message size that QEMU's documentation recommends; without a cache, the kernel's default.
    mount: `mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 ninep ${base.target}`,
    server: undefined,
  };
}

const VIRTIOFSD_PLACES = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/** Returns virtiofsd: the program that VIRTIOFSD names, or one in PATH, ~/.cargo/bin or of the system. */
export function findVirtiofsd(): string | undefined {
  const named = process.env["VIRTIOFSD"];
  const places = [named, Bun.which("virtiofsd"), join(homedir(), ".cargo/bin/virtiofsd")];
  return [...places, ...VIRTIOFSD_PLACES].find(
    (path): path is string => typeof path === "string" && existsSync(path),
  );
}

/** The Rust daemon with its defaults, beside QEMU. */
export async function virtiofsShare(scratch: string, program: string): Promise<Share> {
  const base = directories(scratch, "virtiofsd");
  const socket = join(scratch, "virtiofs.sock");
  const log = join(scratch, "virtiofsd.log");
  const command = [program, "--socket-path", socket, "--shared-dir", base.source];
  const server = started(command, log);
  await listening(socket, server, log);
  return {
    ...base,
    version: versionOf(program, "--version"),
    modules: ["virtiofs"],
    qemu: [
      ...["-chardev", `socket,id=virtiofs,path=${socket}`],
      ...["-device", "vhost-user-fs-pci,chardev=virtiofs,tag=virtiofs"],
    ],
    mount: `mount -t virtiofs virtiofs ${base.target}`,
    server,
  };
}
