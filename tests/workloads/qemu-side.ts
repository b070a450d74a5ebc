/**
 * A mount in a guest under QEMU, through hybrid-proxy. The programs are the host's: a second, read-only
 * export is mounted as /usr of a directory, which is the root of each line's processes.
 */
import { join } from "node:path";
import { ScratchDirectory } from "../support/scratch-directory.ts";
import type { CacheMode } from "../../src/vfs/mount/cache-policy.ts";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { findKernel } from "../../src/vm/kernel.ts";
import { BINARY, Running } from "../support/binary.ts";
import { guestFiles, LOAD_FUSE } from "../support/guest-files.ts";
import { runIn } from "../support/guest-lines.ts";
import { failedLine, type MountedSide, strict } from "./mounted-side.ts";
import { ENVIRONMENT } from "./workload.ts";

/** Limit of a line, in milliseconds: an emulated processor is slow, a hang is a failure. */
const LINE_MS = 1_800_000;
/** Port of the export of programs. */
const PROGRAMS_PORT = 5002;
const ROOT = "/host";
/** The mount, as the guest and as the lines see it. */
const WORK = "/work";

const MAKE_ROOT = [
  `mkdir -p ${ROOT} && mount -t tmpfs -o mode=755 host ${ROOT} && cd ${ROOT}`,
  `mkdir usr work tmp proc dev etc root && ln -s usr/bin usr/sbin usr/lib usr/lib64 .`,
  "mount -t proc proc proc && mount -t devtmpfs dev dev && mount -t tmpfs tmp tmp",
  "cp /etc/passwd /etc/group etc/",
  LOAD_FUSE,
  `vsockbox mount 2:${PROGRAMS_PORT} ${ROOT}/usr --read-only --cache always --daemon --log-file /tmp/usr.log`,
].join(" && ");

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

const VARIABLES = Object.entries({ PATH: "/usr/bin:/usr/sbin", HOME: "/root", ...ENVIRONMENT })
  .map(([name, value]) => quoted(`${name}=${value}`))
  .join(" ");

/** A guest with a mount. */
export class QemuSide implements MountedSide {
  readonly isEmulated = true;
  readonly #scratch = new ScratchDirectory();
  readonly #services: Running[] = [];
  #guest: Guest | undefined;

  /** Boots the guest. */
  static async start(exported: string): Promise<QemuSide> {
    const side = new QemuSide();
    try {
      await side.#boot(exported);
      return side;
    } catch (thrown) {
      await side[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  async #serve(args: readonly string[], text: string): Promise<void> {
    const service = new Running(args);
    this.#services.push(service);
    await service.says(text);
  }

  async #boot(exported: string): Promise<void> {
    const [socket, uds] = ["vhost.sock", "vm4.vsock"].map((name) => this.#scratch.file(name));
    const device = ["--guest-cid", "4", "--socket", `${socket}`, "--uds-path", `${uds}`];
    await this.#serve(["hybrid-proxy", ...device], "waiting for its VMM");
    await this.#serve(["export", exported, "--listen", `hybrid:${uds}`], "listening on");
    const programs = ["export", "/usr", "--read-only", "--listen"];
    await this.#serve([...programs, `hybrid:${uds}:${PROGRAMS_PORT}`], "listening on");
    const kernel = findKernel();
    this.#guest = await bootGuest({
      binary: BINARY,
      memoryMib: 3072,
      kernel,
      files: guestFiles(this.#scratch, kernel),
      vsockDevices: [`${socket}`],
    });
    await runIn(this.#guest, MAKE_ROOT);
  }

  get #booted(): Guest {
    if (this.#guest === undefined) throw new Error("no guest was booted");
    return this.#guest;
  }

  async mount(cache: CacheMode): Promise<void> {
    const daemon = "--daemon --log-file /tmp/work.log";
    await runIn(this.#booted, `vsockbox mount ${ROOT}${WORK} --cache ${cache} ${daemon}`);
  }

  async unmount(): Promise<void> {
    await runIn(this.#booted, `vsockbox umount ${ROOT}${WORK}`);
  }

  async run(line: string, directory: string): Promise<string> {
    const script = quoted(strict(`cd ${join(WORK, directory)}; ${line}`));
    const command = `chroot ${ROOT} /usr/bin/env -i ${VARIABLES} /usr/bin/bash -c ${script}`;
    const { status, stdout, stderr } = await this.#booted.run(command, { timeoutMs: LINE_MS });
    const [output, complaint] = [stdout, stderr].map((bytes) => Buffer.from(bytes).toString());
    if (status !== 0) throw failedLine(line, status, `${complaint}${output}`);
    return output ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#guest?.stop();
    for (const service of this.#services) await service[Symbol.asyncDispose]();
    this.#scratch[Symbol.dispose]();
  }
}
